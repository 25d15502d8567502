#pragma once

#include <memory>
#include <vector>

#include "query/operator.h"

namespace varve::promql {

/// All samples of one series that any window of the grid may hold, floats and
/// histograms apart, each in ascending time order. Stale markers are gone.
struct RangeSeries {
  uint32_t series = 0;
  std::vector<int64_t> times;
  std::vector<double> values;
  /// Start timestamps of the floats, or empty when none is known.
  std::vector<int64_t> starts;
  std::vector<int64_t> histogram_times;
  std::vector<HistogramPtr> histograms;
  std::vector<int64_t> histogram_starts;
  /// Of the columns that `times` consist of. Equal non-empty lists within one
  /// input mean equal `times`; empty: unknown.
  std::vector<uint64_t> times_ids;

  void Clear();
  void ClearButTimes();  ///< times and times_ids stay
};

/// The form in which a histogram sample is worked with. If it has no reset hint
/// and `before`, the sample right before it in the series, is given, it gets
/// the hint that follows.
HistogramPtr MakeFloatHistogram(const Histogram& sample,
                                const Histogram* before);

/// Decodes series into reused buffers, one for each of a series' first batches:
/// batches at the same place of neighbouring series mostly have the same
/// timestamps, which are then copied neither by the source nor here.
/// Single-thread.
class SampleReader {
 public:
  SampleReader(EvalContext& context, bool derive_hints)
      : context_(context), derive_hints_(derive_hints) {}

  ~SampleReader() { context_.query.ReleaseSamples(held_); }
  SampleReader(const SampleReader&) = delete;
  SampleReader& operator=(const SampleReader&) = delete;

  /// Replaces all of `out` but its series. The samples are charged until the
  /// next call.
  absl::Status Read(SeriesCursor& cursor, RangeSeries* out);

 private:
  void AddFloats(const SampleColumns& columns, RangeSeries* out);
  void AddHistograms(const SampleColumns& columns, RangeSeries* out);
  void AddTimes(const SampleColumns& columns, RangeSeries* out);
  void StopKeeping(RangeSeries* out);
  bool HasStarts(const SampleColumns& columns) const;

  static constexpr size_t kBuffersMax = 64;

  EvalContext& context_;
  const bool derive_hints_;
  std::vector<SampleColumns> buffers_;
  bool shared_ = true;  ///< times_ids names all timestamps so far
  /// As long as the batches have the ids that `out` has already: how many of
  /// its times and ids are also this series'.
  bool keeping_ = false;
  size_t kept_times_ = 0;
  size_t kept_ids_ = 0;
  std::shared_ptr<const Histogram> before_;
  int64_t held_ = 0;  ///< samples that are charged
};

}  // namespace varve::promql
