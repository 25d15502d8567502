#include "storage/chunk_neighbours.h"

#include <bit>
#include <cmath>
#include <utility>

#include "storage/coding.h"

namespace varve {
namespace {

constexpr double kIntegerMax = 0x1p62;

/// About how many bits the steps of a[i] - b[i] have; with no b, of a[i].
uint64_t StepBits(std::span<const int64_t> a, std::span<const int64_t> b) {
  const auto at = [&](size_t i) {
    const auto value = static_cast<uint64_t>(a[i]);
    return b.empty() ? value : value - static_cast<uint64_t>(b[i]);
  };
  uint64_t bits = 0;
  for (size_t i = 1; i < a.size(); ++i) {
    const auto step = static_cast<int64_t>(at(i) - at(i - 1));
    bits += static_cast<uint64_t>(std::bit_width(ZigZag(step)));
  }
  return bits;
}

}  // namespace

std::optional<std::vector<int64_t>> ToIntegers(std::span<const double> values) {
  std::vector<int64_t> integers(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    if (!(std::fabs(values[i]) <= kIntegerMax)) return std::nullopt;
    integers[i] = static_cast<int64_t>(values[i]);
    if (std::bit_cast<uint64_t>(static_cast<double>(integers[i])) !=
        std::bit_cast<uint64_t>(values[i])) {
      return std::nullopt;
    }
  }
  return integers;
}

const ChunkNeighbours::Column* ChunkNeighbours::FindNear(
    uint64_t times, std::span<const int64_t> integers) const {
  // An eighth less, or it is chance.
  uint64_t best_bits = StepBits(integers, {}) * 7 / 8;
  const Column* best = nullptr;
  size_t compared = 0;
  for (size_t i = 0; i < ring_.size() && compared < kComparedMax; ++i) {
    const Column& column = ring_[(next_ + ring_.size() - 1 - i) % ring_.size()];
    if (column.times != times || column.integers.size() != integers.size()) {
      continue;
    }
    ++compared;
    const uint64_t bits = StepBits(integers, column.integers);
    if (bits >= best_bits) continue;
    best_bits = bits;
    best = &column;
  }
  return best;
}

void ChunkNeighbours::Remember(Column column) {
  if (ring_.size() < kColumns) {
    ring_.push_back(std::move(column));
    return;
  }
  ring_[next_] = std::move(column);
  next_ = (next_ + 1) % kColumns;
}

}  // namespace varve
