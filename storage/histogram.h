#pragma once

#include <cstdint>
#include <variant>
#include <vector>

namespace varve {

/// Consecutive buckets: `offset` is the gap to the end of the previous span
/// (for the first span, the index of its first bucket).
struct HistogramSpan {
  int32_t offset = 0;
  uint32_t length = 0;
  friend bool operator==(const HistogramSpan&, const HistogramSpan&) = default;
};

/// Whether a counter reset lies between a histogram and the one before it.
enum class ResetHint : uint8_t { kUnknown = 0, kReset, kNotReset, kGauge };

/// The schema of histograms with custom bucket bounds.
inline constexpr int32_t kCustomBucketsSchema = -53;

/// A native histogram as Prometheus defines it. Bucket i of an exponential
/// schema s covers (2^((i-1)*2^-s), 2^(i*2^-s)]; schema -53 takes upper bounds
/// from custom_values, with a last bucket up to +Inf. Bucket counts are
/// absolute (not deltas), one per bucket named by the spans.
template <typename Count>
struct BasicHistogram {
  ResetHint reset_hint = ResetHint::kUnknown;
  int32_t schema = 0;
  double zero_threshold = 0;
  Count zero_count = 0;
  Count count = 0;
  double sum = 0;
  std::vector<HistogramSpan> positive_spans;
  std::vector<HistogramSpan> negative_spans;
  std::vector<Count> positive_buckets;
  std::vector<Count> negative_buckets;
  std::vector<double> custom_values;
};

using IntHistogram = BasicHistogram<uint64_t>;
using FloatHistogram = BasicHistogram<double>;
/// Integer histograms stay integers from the wire to the disk and back.
using Histogram = std::variant<IntHistogram, FloatHistogram>;

/// The form in which queries work.
FloatHistogram ToFloat(const Histogram& histogram);

/// Equal in every bit of every number (NaN equals the same NaN).
bool BitEqual(const Histogram& a, const Histogram& b);

/// True if the histogram is a staleness marker (its sum is the stale NaN).
bool IsStale(const Histogram& histogram);

}  // namespace varve
