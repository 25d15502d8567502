#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "storage/labels.h"
#include "storage/matcher.h"
#include "storage/time_range.h"

namespace varve {

/// Series by their labels: those that match all matchers of one of the lists.
/// An empty list matches nothing.
using Selectors = std::vector<std::vector<Matcher>>;

bool Selects(const Selectors& selectors, const Labels& labels);

/// An accepted deletion, see storage/deletion.md. It is about samples that were
/// stored before it: those in blocks that say that they know fewer deletions,
/// and those of the log's segments before `wal_segment`. Immutable once shared.
struct Deletion {
  /// From 1, ascending in the order of acceptance.
  uint64_t number = 0;
  Selectors selectors;
  TimeRange range;
  uint64_t wal_segment = 0;
};
using DeletionPtr = std::shared_ptr<const Deletion>;

/// The selectors of one deletion have at most so many bytes in encoded form.
inline constexpr size_t kDeletionBytesMax = size_t{256} << 10;
/// At most so many deletions, and bytes of them, wait to be carried out.
inline constexpr size_t kDeletionsMax = 4096;
inline constexpr size_t kDeletionsBytesMax = size_t{16} << 20;

/// The value of a manifest row, all but the number.
std::string EncodeDeletion(const Deletion& deletion);
/// DataLoss when it is malformed.
absl::StatusOr<DeletionPtr> DecodeDeletion(uint64_t number,
                                           std::string_view bytes);

/// For people: `{a="b"} | {c="d"}`.
std::string SelectorsText(const Selectors& selectors);

}  // namespace varve
