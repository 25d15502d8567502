#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "storage/block_store.h"
#include "storage/retention_policy.h"

namespace varve {

// Which blocks have to go. Pure: looks at nothing but its arguments.

struct RetentionPlan {
  std::vector<BlockInfo> expired;   ///< by time, from the oldest day on
  std::vector<BlockInfo> too_much;  ///< by size, besides these
};

/// `other_bytes`: what counts besides the blocks.
RetentionPlan PlanRetention(std::span<const BlockInfo> blocks,
                            uint64_t other_bytes, const RetentionPolicy& policy,
                            int64_t now_ms);

}  // namespace varve
