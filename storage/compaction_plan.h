#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "storage/block_store.h"

namespace varve {

// Which blocks to merge next. Pure: looks at nothing but its arguments.
//
// A day that is complete becomes one block, so that what came in order is
// rewritten once. Late samples make small blocks beside it; a block is only
// rewritten with blocks that together have a quarter of its bytes at least, so
// every byte is rewritten a few times at most, and the number of blocks grows
// with the logarithm of the number of seals.

struct CompactionPlanOptions {
  /// Whether all of the day's windows are sealed and no more are expected.
  std::function<bool(int32_t day)> complete;
  /// Blocks that cannot be merged, besides those that are set aside.
  std::function<bool(const BlockInfo&)> excluded;
};

/// A block is merged if it is at most so many times as large as all smaller
/// ones together.
inline constexpr uint64_t kCompactionRatio = 4;
/// Small blocks of a window, or beside a day's large one, that may wait.
inline constexpr size_t kCompactionPartsMax = 4;

/// Blocks of one day to be merged into one, at least two, or none. The oldest
/// day comes first. No other block that overlaps them stands between them in
/// the order.
std::vector<BlockInfo> PlanCompaction(std::span<const BlockInfo> blocks,
                                      const CompactionPlanOptions& options);

}  // namespace varve
