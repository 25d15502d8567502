#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "storage/labels.h"
#include "storage/matcher.h"
#include "storage/query_context.h"
#include "storage/sample.h"

namespace varve {

/// What the caller will do with the series; a source may ignore all but the
/// time range.
struct SelectHints {
  /// Samples wanted: start_ms <= t <= end_ms.
  int64_t start_ms = 0;
  int64_t end_ms = 0;
  /// Step and window of the query, 0 for an instant query / no window.
  int64_t step_ms = 0;
  int64_t range_ms = 0;
  /// PromQL name of the function or aggregation directly above the selector.
  std::string_view function;
  /// Labels the caller needs: those in `grouping` (by), or all but those.
  std::span<const std::string> grouping;
  bool by = false;
  /// The labels that the caller does not need may be left out of
  /// SeriesSet::labels(), whose label sets need not be unique then.
  bool project = false;
  /// At most so many series are needed; 0: all.
  int64_t limit = 0;
  /// The coarsest resolution of downsampled data that is acceptable; 0: raw.
  int64_t resolution_ms_max = 0;
};

/// Reads the samples of one series once, in ascending time order.
/// Single-thread; different cursors may be used by different threads at once.
class SeriesCursor {
 public:
  virtual ~SeriesCursor() = default;

  /// Replaces `out` by the next samples (at least one) and returns true; false
  /// at the end. Gives only samples inside the hints' time range; timestamps
  /// ascend strictly over all batches. The kind may change between batches.
  /// A batch is a chunk's worth of samples: some hundreds.
  virtual absl::StatusOr<bool> Next(SampleColumns* out) = 0;
};

/// The series that a selector found, in SeriesLess order, each label set once.
/// Single-thread. Lives no longer than its source's snapshot needs: it pins
/// what it reads.
class SeriesSet {
 public:
  virtual ~SeriesSet() = default;

  /// Moves to the next series (at first: to the first one); false at the end.
  virtual absl::StatusOr<bool> Next() = 0;
  /// REQUIRES: the last Next() gave true. Valid until the next Next().
  virtual const Labels& labels() const = 0;
  /// A new cursor over the current series. It stays valid after Next() and
  /// after the set is gone. Cheap: nothing is decoded before its Next(). The
  /// series may turn out to have no sample in the range.
  virtual std::unique_ptr<SeriesCursor> Cursor() = 0;
};

/// Anything that holds series: the head, a block, an archive, a merge of them,
/// a map in a test. Thread-safe; every call sees one consistent snapshot.
class SeriesSource {
 public:
  virtual ~SeriesSource() = default;

  /// Series that match all matchers and may have samples in the range. Data
  /// that cannot be read is left out and named by context.AddWarning; an error
  /// is returned only when the query cannot go on (cancelled, over budget).
  virtual absl::StatusOr<std::unique_ptr<SeriesSet>> Select(
      QueryContext& context, std::span<const Matcher> matchers,
      const SelectHints& hints) const = 0;

  /// Names of the labels of series that match, sorted, without duplicates, at
  /// most hints.limit + 1 of them when a limit is set (so that the caller can
  /// tell that there are more).
  virtual absl::StatusOr<std::vector<std::string>> LabelNames(
      QueryContext& context, std::span<const Matcher> matchers,
      const SelectHints& hints) const = 0;

  /// Values of one label over series that match; else as LabelNames.
  virtual absl::StatusOr<std::vector<std::string>> LabelValues(
      QueryContext& context, std::string_view name,
      std::span<const Matcher> matchers, const SelectHints& hints) const = 0;
};

}  // namespace varve
