#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "storage/sample.h"

namespace varve {

/// A stretch of time with both ends.
struct TimeRange {
  int64_t first_ms = 0;
  int64_t last_ms = 0;

  bool Holds(const TimeRange& other) const {
    return first_ms <= other.first_ms && last_ms >= other.last_ms;
  }
  bool Meets(const TimeRange& other) const {
    return first_ms <= other.last_ms && last_ms >= other.first_ms;
  }
  friend bool operator==(const TimeRange&, const TimeRange&) = default;
};

/// Adds a range to sorted ranges that do not touch, so that they stay so.
void AddRange(TimeRange range, std::vector<TimeRange>* ranges);

/// Takes the samples out whose times lie in one of the ranges (sorted, not
/// touching); returns how many.
size_t RemoveSamples(std::span<const TimeRange> ranges, SampleColumns* columns);

}  // namespace varve
