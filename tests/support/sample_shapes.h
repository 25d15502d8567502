#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace varve {

/// A series as a monitored cluster makes them.
struct ShapedSeries {
  std::string shape;
  std::vector<int64_t> timestamps;
  std::vector<double> values;
};

struct ShapeOptions {
  uint64_t seed = 1;
  size_t series = 1000;
  size_t samples = 480;
  int64_t interval_ms = 15000;
  /// Of the scrapes' times, as a standard deviation.
  double jitter_ms = 0;
  /// Leave out the series that never change.
  bool changing_only = false;
};

/// Synthetic Kubernetes: constants, counters of every pace, CPU seconds of two
/// to nine decimals, bytes in pages, gauges, histogram buckets and sums,
/// latencies, clock times. The same for the same options.
std::vector<ShapedSeries> MakeClusterSeries(const ShapeOptions& options);

}  // namespace varve
