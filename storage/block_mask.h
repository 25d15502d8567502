#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "storage/deletion.h"
#include "storage/index_reader.h"
#include "storage/mutex.h"
#include "storage/query_context.h"

namespace varve {

/// Which samples of a block are deleted: time ranges, each for some of its
/// series. Immutable.
class BlockMask {
 public:
  /// Of a block whose samples lie in `whole`.
  explicit BlockMask(TimeRange whole) : whole_(whole) {}

  /// Adds samples of these series (ascending) in `range`.
  void Add(std::span<const uint32_t> ids, TimeRange range);

  bool empty() const { return groups_.empty(); }
  /// Sorted, not touching, inside the block's range; empty: none.
  std::vector<TimeRange> RangesOf(uint32_t id) const;
  /// Those of `ids` (ascending) of which nothing is left in `range`.
  Ids Gone(std::span<const uint32_t> ids, TimeRange range) const;
  /// Whether any of `ids` (ascending) has something in `range` that is not
  /// deleted already, as far as the block's range tells.
  bool HasMore(std::span<const uint32_t> ids, TimeRange range) const;
  /// Series of which nothing is left, ascending.
  Ids GoneWholly() const;
  int64_t bytes() const;

 private:
  /// Neighbouring ids, both ends included.
  using Run = std::pair<uint32_t, uint32_t>;
  struct Group {
    TimeRange range;
    std::vector<Run> runs;  // ascending, not touching
  };

  TimeRange Clip(TimeRange range) const;

  TimeRange whole_;
  std::vector<Group> groups_;  // no two have the same range
};

/// The deletions that a block has not been rewritten for. Which of its series
/// they are about is found out when somebody asks first. Thread-safe.
class BlockDeletions {
 public:
  /// `whole` is the range of the block's samples; the deletions meet it.
  BlockDeletions(TimeRange whole, std::vector<DeletionPtr> deletions)
      : whole_(whole), deletions_(std::move(deletions)) {}

  /// The same and one more.
  std::shared_ptr<const BlockDeletions> With(DeletionPtr deletion) const;

  /// Never null. Errors are those of reading the index and of the context; the
  /// next call tries again.
  absl::StatusOr<std::shared_ptr<const BlockMask>> Mask(
      const QueryContext& context, const IndexReader& index) const;

  const std::vector<DeletionPtr>& deletions() const { return deletions_; }

 private:
  const TimeRange whole_;
  const std::vector<DeletionPtr> deletions_;

  mutable Mutex mutex_;
  mutable std::shared_ptr<const BlockMask> mask_ ABSL_GUARDED_BY(mutex_);
  /// So many of the deletions are in the mask.
  mutable size_t resolved_ ABSL_GUARDED_BY(mutex_) = 0;
};

/// The block's series that the selectors name, ascending.
absl::StatusOr<Ids> SelectAny(const QueryContext& context,
                              const IndexReader& index,
                              const Selectors& selectors);

}  // namespace varve
