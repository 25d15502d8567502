#pragma once

#include <cstdint>
#include <random>

#include "tests/support/map_source.h"

namespace varve {

/// Random numbers that are the same with every standard library.
class RandomNumbers {
 public:
  explicit RandomNumbers(uint64_t seed) : generator_(seed) {}

  /// 0 ... n - 1. REQUIRES: n > 0.
  uint64_t Below(uint64_t n) { return generator_() % n; }
  bool OneIn(uint64_t n) { return Below(n) == 0; }
  /// 0 <= x < 1.
  double Fraction() {
    return static_cast<double>(generator_() >> 11) * 0x1p-53;
  }

 private:
  std::mt19937_64 generator_;
};

struct RandomSeriesOptions {
  /// Samples lie in [start_ms, end_ms]: of a third of the series interval_ms
  /// apart from start_ms on, so that they meet the bounds of windows, of the
  /// others irregularly.
  int64_t start_ms = 0;
  int64_t end_ms = 1'800'000;
  int64_t interval_ms = 15'000;
};

/// Adds some fifty series that hold what queries trip over, labelled by `job`
/// (a, b), `inst` and `zone`:
///
///   counter_total, fast_total   counters with resets, gaps and stale markers
///   gauge, whole                gauges; the second of few different values
///   wild                        NaN, infinities, huge and tiny numbers
///   on_off                      series that come and go
///   about{job, version}         one per job, for group_left
///   classic_bucket{le}, classic_sum, classic_count
///   native, native_gauge        exponential histograms, integer and float
///   custom                      histograms with custom buckets
///   mixed                       floats and histograms in one series
void AddRandomSeries(uint64_t seed, const RandomSeriesOptions& options,
                     MapSource* source);

}  // namespace varve
