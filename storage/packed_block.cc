#include "storage/packed_block.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "storage/adaptive_ints.h"
#include "storage/coding.h"
#include "storage/column_kernels.h"

namespace varve {
namespace {

uint64_t ZigZagWord(uint64_t v) { return ZigZag(static_cast<int64_t>(v)); }
unsigned BitLength(uint64_t v) {
  return static_cast<unsigned>(std::bit_width(v));
}
/// Of a varint of so many bits.
constexpr uint32_t VarintBytes(unsigned bits) {
  return bits == 0 ? 1 : (bits + 6) / 7;
}

/// The smallest word, and nine of them in order.
struct Probe {
  int64_t least = 0;
  std::array<int64_t, 9> sample{};
};

Probe MakeProbe(std::span<const uint64_t> words) {
  Probe p;
  p.least = BestColumnKernels().least(words.data(), words.size());
  for (size_t k = 0; k < p.sample.size(); ++k) {
    const auto v = static_cast<int64_t>(words[k * (words.size() - 1) / 8]);
    size_t at = k;
    for (; at > 0 && p.sample[at - 1] > v; --at) {
      p.sample[at] = p.sample[at - 1];
    }
    p.sample[at] = v;
  }
  return p;
}

uint64_t Distance(int64_t high, int64_t low) {
  return static_cast<uint64_t>(high) - static_cast<uint64_t>(low);
}

}  // namespace

size_t ZigZagBytes(uint64_t word) {
  return VarintBytes(BitLength(ZigZagWord(word)));
}

BlockPlan PlanBlockWithBase(std::span<const uint64_t> words, uint64_t base) {
  LengthCounts counts;
  BestColumnKernels().count_lengths(words.data(), words.size(), base, &counts);
  uint32_t exceptions = 0;
  uint32_t exception_bytes = 0;
  for (unsigned bits = 1; bits <= 64 && counts.any_below; ++bits) {
    exceptions += counts.below[bits];
    exception_bytes += counts.below[bits] * (1 + VarintBytes(bits));
  }
  const auto n = static_cast<uint32_t>(words.size());
  BlockPlan best{base, 8 * n, 64, 0};
  // An offset of w bits has a zigzag code of w + 1 bits.
  unsigned width = counts.longest_above == 0 ? 0 : counts.longest_above - 1;
  for (;; --width) {
    const uint32_t bytes =
        (n * width + 7) / 8 + exception_bytes + (exceptions > 0 ? 1 : 0);
    if (bytes < best.bytes) {
      best = {base, bytes, static_cast<uint8_t>(width),
              static_cast<uint8_t>(exceptions)};
    }
    if (width == 0 || exception_bytes >= best.bytes) break;
    exceptions += counts.above[width + 1];
    exception_bytes += counts.above[width + 1] * (1 + VarintBytes(width + 1));
  }
  best.bytes += 1 + static_cast<uint32_t>(ZigZagBytes(base));
  return best;
}

BlockPlan PlanBlock(std::span<const uint64_t> words) {
  const Probe p = MakeProbe(words);
  BlockPlan best = PlanBlockWithBase(words, static_cast<uint64_t>(p.least));
  int64_t tried = p.least;
  const auto consider = [&](int64_t base) {
    if (base == tried) return;
    tried = base;
    const BlockPlan plan =
        PlanBlockWithBase(words, static_cast<uint64_t>(base));
    if (plan.bytes < best.bytes) best = plan;
  };
  const auto& s = p.sample;
  if (Distance(s[0], p.least) > Distance(s[8], s[0]) / 2) consider(s[0]);
  if (Distance(s[1], p.least) > 2 * Distance(s[7], s[1])) consider(s[1]);
  if (s[4] == s[3] || s[4] == s[5]) consider(s[4]);
  return best;
}

void PutPackedBlock(std::string* out, std::span<const uint64_t> words,
                    const BlockPlan& plan) {
  const uint64_t mask =
      plan.width == 64 ? ~uint64_t{0} : (uint64_t{1} << plan.width) - 1;
  std::array<char, 8 * kPackedBlock + 8> packed;
  std::array<uint8_t, kPackedBlock> places;
  std::array<uint64_t, kPackedBlock> offsets;
  size_t exceptions = 0;
  char* at = packed.data();
  uint64_t bits = 0;
  unsigned used = 0;
  for (size_t i = 0; i < words.size(); ++i) {
    uint64_t v = words[i] - plan.base;
    if (v > mask) {
      places[exceptions] = static_cast<uint8_t>(i);
      offsets[exceptions++] = v;
      v = 0;
    }
    bits |= v << used;
    used += plan.width;
    if (used >= 64) {
      StoreFixed(at, bits);
      at += 8;
      used -= 64;
      bits = used == 0 ? 0 : v >> (plan.width - used);
    }
  }
  StoreFixed(at, bits);
  at += (used + 7) / 8;

  PutU8(out,
        static_cast<uint8_t>(
            plan.width | (exceptions > 0 ? internal::kBlockHasExceptions : 0)));
  if (exceptions > 0) PutU8(out, static_cast<uint8_t>(exceptions));
  PutZigZag(out, static_cast<int64_t>(plan.base));
  out->append(packed.data(), static_cast<size_t>(at - packed.data()));
  out->append(reinterpret_cast<const char*>(places.data()), exceptions);
  for (size_t i = 0; i < exceptions; ++i) {
    PutZigZag(out, static_cast<int64_t>(offsets[i]));
  }
}

}  // namespace varve
