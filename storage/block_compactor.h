#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "storage/block_store.h"
#include "storage/labels.h"
#include "storage/time_range.h"

namespace varve {

struct CompactOptions {
  /// Which samples of a series in an input are left out: sorted ranges that do
  /// not touch. Asked once per input and series, in the inputs' order. What
  /// BlockStore::Delete was told is left out in any case. Null: nothing else.
  std::function<std::vector<TimeRange>(const BlockInfo& input,
                                       const Labels& labels)>
      dropped;
  /// Asked every few milliseconds of work, and a last time when all that is
  /// left to do is to publish; true ends the work with Cancelled and leaves
  /// everything as it was. Null: never.
  std::function<bool()> cancelled;
};

/// What a compaction did, also when it failed.
struct CompactReport {
  uint64_t series = 0;           ///< in the new block
  uint64_t samples = 0;          ///< in the new block
  uint64_t samples_dropped = 0;  ///< left out by CompactOptions::dropped
  uint64_t chunks_copied = 0;    ///< as they were
  uint64_t chunks_encoded = 0;   ///< anew
  uint64_t bytes_before = 0;     ///< of the inputs, index included
  uint64_t bytes_after = 0;      ///< of the new block, index included
  /// Inputs that cannot be read in full, and why.
  std::vector<BlockInfo> damaged;
  absl::Status damage;
};

/// Puts one block in the place of `inputs` (one or more blocks of one day): the
/// same series and samples, without those that `options.dropped` names, and
/// without the series that have none left; no block if no series is left. Where
/// inputs hold the same timestamp of a series, the one that was stored first
/// stays. Queries that run meanwhile keep reading the inputs.
///
/// Memory: a series' chunks (its samples too where inputs overlap), and the
/// labels of all series. One synced
/// manifest batch publishes; at any error, and at a crash before it, the inputs
/// stay as they were.
///
/// DataLoss when an input is damaged in any part: such a block is never
/// rewritten, since what cannot be read would vanish without a word; report
/// names it. Aborted when an input is not there any more. Cancelled.
///
/// REQUIRES: what NewBlockInsteadOf requires; nobody else compacts these blocks
/// at the same time.
absl::Status CompactBlocks(BlockStore* store, std::span<const BlockInfo> inputs,
                           const CompactOptions& options,
                           CompactReport* report);

}  // namespace varve
