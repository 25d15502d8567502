#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "storage/block_store.h"
#include "tests/support/map_source.h"

namespace varve {

/// How RandomData makes data.
struct RandomDataOptions {
  TimeWindow window{0, 7200 * 1000};
  int series = 100;
  int samples_max = 300;  ///< per series
  bool histograms = true;
};

/// Series with labels that overlap in many ways, values of every kind of bit
/// pattern, shared and own timestamps, some with the samples of another,
/// floats, histograms of changing layouts, start timestamps.
MapSource RandomData(const RandomDataOptions& options, std::mt19937_64* random);

/// Any integer or float histogram that is possible in memory.
Histogram RandomHistogram(std::mt19937_64* random);

/// Selectors over the labels of RandomData: every type, names that do not
/// exist, values that match the empty string.
std::vector<Matcher> RandomMatchers(std::mt19937_64* random);

/// Adds all samples of `data` inside `window` to the builder, in chunks of at
/// most `chunk_samples`.
absl::Status AddAll(const MapSource& data, TimeWindow window,
                    size_t chunk_samples, BlockBuilder* builder);

/// Drops whole days that end at or before `time_ms`; returns how many blocks.
absl::StatusOr<int> DropDaysBefore(BlockStore* store, int64_t time_ms);

}  // namespace varve
