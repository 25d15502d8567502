#pragma once

#include <absl/status/status.h>

#include <algorithm>
#include <iterator>
#include <vector>

#include "query/operator.h"
#include "storage/query_context.h"
#include "storage/status_macros.h"

// What operators need to stay inside their query's limits and to end soon after
// it is cancelled.

namespace varve::promql {

/// Bytes that are charged to a query until they are cleared or this ends.
class HeldBytes {
 public:
  explicit HeldBytes(QueryContext& query) : query_(query) {}
  ~HeldBytes() { Clear(); }
  HeldBytes(const HeldBytes&) = delete;
  HeldBytes& operator=(const HeldBytes&) = delete;

  absl::Status Add(int64_t bytes) {
    VARVE_RETURN_IF_ERROR(query_.ChargeBytes(bytes));
    bytes_ += bytes;
    return absl::OkStatus();
  }
  void Clear() {
    query_.ReleaseBytes(bytes_);
    bytes_ = 0;
  }
  /// A copy of these, in the place of all that was held.
  absl::Status SetSeries(const std::vector<SeriesInfo>& series) {
    Clear();
    int64_t bytes = 0;
    for (const SeriesInfo& info : series) bytes += BytesOf(info.labels);
    return Add(bytes);
  }
  /// A series' labels and its place in some vectors.
  static int64_t BytesOf(const Labels& labels) {
    return static_cast<int64_t>(sizeof(SeriesInfo) + 32 +
                                labels.packed().size());
  }

 private:
  QueryContext& query_;
  int64_t bytes_ = 0;
};

/// Whether to go on, asked once per cheap piece of work.
class PacedCheck {
 public:
  explicit PacedCheck(const QueryContext& query) : query_(query) {}

  absl::Status operator()() {
    return ++count_ % kEvery == 0 ? query_.Check() : absl::OkStatus();
  }

 private:
  static constexpr uint32_t kEvery = 1024;

  const QueryContext& query_;
  uint32_t count_ = 0;
};

/// std::stable_sort that can be stopped: between the sorting of short runs and
/// between their merges.
template <typename T, typename Before>
absl::Status CheckedSort(const QueryContext& query, std::vector<T>* items,
                         const Before& before) {
  constexpr size_t kRun = 4096;
  const auto at = [&](size_t i) {
    return items->begin() + static_cast<ptrdiff_t>(std::min(i, items->size()));
  };
  for (size_t i = 0; i < items->size(); i += kRun) {
    VARVE_RETURN_IF_ERROR(query.Check());
    std::stable_sort(at(i), at(i + kRun), before);
  }
  std::vector<T> merged;
  for (size_t run = kRun; run < items->size(); run *= 2) {
    merged.clear();
    merged.reserve(items->size());
    for (size_t i = 0; i < items->size(); i += 2 * run) {
      VARVE_RETURN_IF_ERROR(query.Check());
      std::merge(std::make_move_iterator(at(i)),
                 std::make_move_iterator(at(i + run)),
                 std::make_move_iterator(at(i + run)),
                 std::make_move_iterator(at(i + 2 * run)),
                 std::back_inserter(merged), before);
    }
    items->swap(merged);
  }
  return absl::OkStatus();
}

}  // namespace varve::promql
