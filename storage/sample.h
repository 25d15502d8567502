#pragma once

#include <bit>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "storage/histogram.h"
#include "storage/labels.h"

namespace varve {

/// The NaN that says "this series ended here". Compared as bits: it is a
/// signalling NaN, and any arithmetic on it would change it.
inline constexpr uint64_t kStaleNanBits = 0x7ff0000000000002;
/// The NaN that Prometheus makes for an ordinary "not a number".
inline constexpr uint64_t kNormalNanBits = 0x7ff8000000000001;

inline bool IsStaleNan(double v) {
  return std::bit_cast<uint64_t>(v) == kStaleNanBits;
}
inline double StaleNan() { return std::bit_cast<double>(kStaleNanBits); }

/// "No start timestamp is known" in a start-timestamp column.
inline constexpr int64_t kNoStartTimestamp = 0;

/// Some samples of one series in ascending time order, as columns. All samples
/// of one SampleColumns are floats or all are histograms. A reused object keeps
/// its memory. Thread-compatible.
struct SampleColumns {
  enum class Kind : uint8_t { kFloat, kHistogram };

  Kind kind = Kind::kFloat;
  /// Milliseconds since 1970; strictly ascending.
  std::vector<int64_t> timestamps;
  /// One per timestamp if kind is kFloat, else empty.
  std::vector<double> values;
  /// One per timestamp if kind is kHistogram, else empty. Never null.
  std::vector<std::shared_ptr<const Histogram>> histograms;
  /// One per timestamp (kNoStartTimestamp where unknown), or empty.
  std::vector<int64_t> start_timestamps;
  /// Equal non-zero ids within one query mean equal `timestamps`, so that work
  /// that depends on times alone can be shared across series. 0: unknown.
  uint64_t timestamps_id = 0;

  size_t size() const { return timestamps.size(); }
  void Clear() {
    kind = Kind::kFloat;
    timestamps.clear();
    values.clear();
    histograms.clear();
    start_timestamps.clear();
    timestamps_id = 0;
  }
};

/// An exemplar: a sample of an observation with labels of its own.
struct Exemplar {
  Labels labels;
  double value = 0;
  int64_t timestamp_ms = 0;
};

/// What a target says of a metric family.
struct Metadata {
  /// counter, gauge, histogram, gaugehistogram, summary, info, stateset,
  /// unknown.
  std::string type;
  std::string unit;
  std::string help;
  friend bool operator==(const Metadata&, const Metadata&) = default;
};

}  // namespace varve
