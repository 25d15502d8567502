#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "storage/label_index.h"

namespace varve {

/// The positions of the series, each given by its pairs, in SeriesLess order.
/// The caller pins the pairs.
std::vector<uint32_t> SeriesOrder(
    const LabelIndex& index, std::span<const std::span<const PairId>> series);

}  // namespace varve
