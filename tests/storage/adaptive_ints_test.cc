#include "storage/adaptive_ints.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <random>

#include "storage/packed_block.h"
#include "tests/support/sample_shapes.h"
#include "tests/support/seed.h"

namespace varve {
namespace {

using Ints = std::vector<int64_t>;
using Words = std::vector<uint64_t>;

constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

std::string Encode(const Ints& values) {
  std::string bytes;
  PutAdaptiveInts(&bytes, values);
  EXPECT_EQ(bytes.size(), AdaptiveIntsBytes(values));
  return bytes;
}

/// In memory of exactly the bytes' size, so that a sanitizer sees every read
/// beyond them.
ColumnRead Decode(std::string_view bytes, const ColumnKernels& kernels,
                  Ints* out, size_t* used = nullptr) {
  const std::unique_ptr<char[]> copy(new char[bytes.size()]);
  std::memcpy(copy.get(), bytes.data(), bytes.size());
  Decoder in(std::string_view(copy.get(), bytes.size()));
  const ColumnRead result = GetAdaptiveInts(&in, *out, kernels);
  if (used != nullptr) *used = in.offset();
  return result;
}

void ExpectRoundTrip(const Ints& values, size_t bytes_max = SIZE_MAX) {
  const std::string bytes = Encode(values);
  EXPECT_LE(bytes.size(), bytes_max);
  for (const ColumnKernels* kernels : SupportedColumnKernels()) {
    for (const std::string& input : {bytes, bytes + "\xff\xff\xff"}) {
      Ints out(values.size(), 4711);
      size_t used = 0;
      ASSERT_EQ(Decode(input, *kernels, &out, &used), ColumnRead::kOk);
      ASSERT_EQ(out, values) << kernels->name;
      ASSERT_EQ(used, bytes.size());
    }
  }
}

TEST(AdaptiveInts, TellingShapesAndTheirSizes) {
  ExpectRoundTrip({}, 0);
  ExpectRoundTrip({-5}, 2);
  ExpectRoundTrip(Ints(1000, 7), 2);
  Ints linear, jitter, counter, pages, sparse, noise;
  int64_t c = 0;
  std::mt19937_64 random(1);
  for (int i = 0; i < 480; ++i) {
    linear.push_back(1700000000000 + i * 15000);
    jitter.push_back(1700000000000 + i * 15000 +
                     static_cast<int64_t>(random() % 15));
    counter.push_back(c += 1000 + static_cast<int64_t>(random() % 16));
    pages.push_back(4096 * static_cast<int64_t>(random() % 64));
    sparse.push_back(i / 20);
    noise.push_back(static_cast<int64_t>(random() % 256));
  }
  ExpectRoundTrip(linear, 10);
  ExpectRoundTrip(jitter, 480 * 4 / 8 + 30);
  ExpectRoundTrip(counter, 480 * 4 / 8 + 30);
  ExpectRoundTrip(pages, 480 * 6 / 8 + 30);
  ExpectRoundTrip(sparse, 80);
  ExpectRoundTrip(noise, 480 + 20);
  // One odd value costs a few bytes, not a wider column.
  counter[100] += 1'000'000'000;
  ExpectRoundTrip(counter, 480 * 4 / 8 + 60);
}

TEST(AdaptiveInts, ExtremesSurvive) {
  const Ints telling = {0, 1, -1, kMin, kMax, kMin + 1, kMax - 1, 1LL << 53};
  const size_t k = telling.size();
  // All columns of four of them.
  for (size_t code = 0; code < k * k * k * k; ++code) {
    ExpectRoundTrip({telling[code % k], telling[code / k % k],
                     telling[code / k / k % k], telling[code / k / k / k]});
  }
}

TEST(AdaptiveInts, EveryShortColumnOfSmallStepsSurvives) {
  for (int code = 0; code < 4 * 4 * 4 * 4 * 4 * 4; ++code) {
    Ints values = {100};
    for (int rest = code, i = 0; i < 6; ++i, rest /= 4) {
      values.push_back(values.back() + (rest % 4) * 8 - 8);
    }
    ExpectRoundTrip(values);
  }
}

/// One of many shapes, with gaps, resets and outliers.
Ints RandomColumn(std::mt19937_64* random) {
  auto& r = *random;
  Ints values(1 + (r() % 8 == 0 ? r() % 4000 : r() % 400));
  const unsigned width = r() % 65;
  const unsigned order = r() % 4;
  const unsigned shift = r() % 3 == 0 ? r() % 20 : 0;
  const uint64_t odd = r() % 3 == 0 ? 40 : 1000000;
  const uint64_t change = r() % 3 == 0 ? 1 + r() % 10 : 1;
  uint64_t sums[3] = {r() >> (r() % 64), r() >> (r() % 64), 0};
  for (int64_t& v : values) {
    uint64_t step = width == 0 ? 0 : r() >> (64 - width);
    if (r() % odd == 0) step = r();
    if (r() % change != 0) step = 0;
    step <<= shift;
    for (unsigned k = order; k-- > 0;) {
      if (k < 3) sums[k] += k + 1 == order ? step : sums[k + 1];
    }
    v = static_cast<int64_t>(order == 0 ? step : sums[0]);
  }
  return values;
}

TEST(AdaptiveInts, RandomColumnsSurvive) {
  std::mt19937_64 random(TestSeed());
  for (int round = 0; round < 700; ++round) {
    ExpectRoundTrip(RandomColumn(&random));
    if (HasFatalFailure()) return;
  }
}

TEST(AdaptiveInts, EveryModeIsWrittenAndRead) {
  std::mt19937_64 random(7);
  bool seen[kIntModes] = {};
  bool shifted = false;
  const auto note = [&](const Ints& values) {
    const auto head = static_cast<uint8_t>(Encode(values)[0]);
    seen[head & internal::kIntModeMask] = true;
    shifted |= (head & internal::kIntShifted) != 0;
  };
  for (int round = 0; round < 300; ++round) note(RandomColumn(&random));
  Ints jitter;
  for (int i = 0; i < 200; ++i) {
    jitter.push_back(i * 1000 + static_cast<int64_t>(random() % 9));
  }
  note(jitter);
  note(Ints(9, 9));
  for (size_t m = 0; m < kIntModes; ++m) EXPECT_TRUE(seen[m]) << m;
  EXPECT_TRUE(shifted);
}

// ---- damaged bytes

TEST(AdaptiveInts, CutColumnsAreCorrupt) {
  std::mt19937_64 random(TestSeed());
  for (int round = 0; round < 20; ++round) {
    const Ints values = RandomColumn(&random);
    const std::string bytes = Encode(values);
    for (size_t n = 0; n < bytes.size() && n < 200; ++n) {
      for (const ColumnKernels* kernels : SupportedColumnKernels()) {
        Ints out(values.size());
        ASSERT_EQ(Decode(bytes.substr(0, n), *kernels, &out),
                  ColumnRead::kCorrupt);
      }
    }
  }
}

TEST(AdaptiveInts, AllKernelsAgreeOnDamagedBytes) {
  std::mt19937_64 random(TestSeed());
  int good = 0;
  for (int round = 0; round < 5000; ++round) {
    std::string bytes;
    size_t n = random() % 300;
    if (random() % 2 == 0) {
      const Ints values = RandomColumn(&random);
      n = values.size();
      bytes = Encode(values);
      for (size_t flips = 1 + random() % 3; flips > 0; --flips) {
        bytes[random() % std::min<size_t>(bytes.size(), 40)] =
            static_cast<char>(random());
      }
    } else {
      bytes.resize(random() % 100);
      for (char& c : bytes) c = static_cast<char>(random() >> (random() % 8));
      if (!bytes.empty()) bytes[0] = static_cast<char>(0x40 | random() % 7);
    }
    Ints first(n, 1);
    size_t first_used = 0;
    const ColumnRead expected =
        Decode(bytes, *SupportedColumnKernels()[0], &first, &first_used);
    good += expected == ColumnRead::kOk;
    for (const ColumnKernels* kernels : SupportedColumnKernels()) {
      Ints out(n, 2);
      size_t used = 0;
      ASSERT_EQ(Decode(bytes, *kernels, &out, &used), expected);
      if (expected != ColumnRead::kOk) continue;
      ASSERT_EQ(out, first) << kernels->name;
      ASSERT_EQ(used, first_used);
    }
  }
  EXPECT_GT(good, 200);
}

TEST(AdaptiveInts, UnknownHeadsAreNotCorruption) {
  for (const char head : {'\x00', '\x05', '\x47', '\x4f', '\x50', '\x80'}) {
    Ints out(3);
    EXPECT_EQ(Decode(std::string(20, head), BestColumnKernels(), &out),
              ColumnRead::kUnknown);
  }
}

// ---- the planner against all there is to choose

size_t VarintSize(uint64_t v) {
  size_t n = 1;
  for (; v >= 0x80; v >>= 7) ++n;
  return n;
}
size_t ZigZagSize(uint64_t v) {
  return VarintSize(ZigZag(static_cast<int64_t>(v)));
}

/// Every word as the base, every width.
size_t BestBlockBytes(const Words& words) {
  size_t best = SIZE_MAX;
  for (const uint64_t base : words) {
    size_t out_count[66] = {};  // by the least width that a word fits in
    size_t out_bytes[66] = {};
    for (const uint64_t word : words) {
      const uint64_t d = word - base;
      const auto width = static_cast<size_t>(std::bit_width(d));
      out_count[width] += 1;
      out_bytes[width] += 1 + ZigZagSize(d);
    }
    size_t count = 0;
    size_t bytes = 0;
    for (size_t width = 65; width-- > 0;) {
      const size_t total = 1 + ZigZagSize(base) +
                           (words.size() * width + 7) / 8 + bytes +
                           (count > 0 ? 1 : 0);
      best = std::min(best, total);
      count += out_count[width];
      bytes += out_bytes[width];
    }
  }
  return best;
}

size_t BestBlocksBytes(const Words& words) {
  size_t bytes = 0;
  for (size_t i = 0; i < words.size(); i += kPackedBlock) {
    const auto begin = words.begin() + static_cast<ptrdiff_t>(i);
    const auto end = begin + static_cast<ptrdiff_t>(
                                 std::min(kPackedBlock, words.size() - i));
    bytes += BestBlockBytes(Words(begin, end));
  }
  return bytes;
}

/// The fewest bytes over all modes, with and without the shift, and for lines
/// over the slopes of many pairs.
size_t BestColumnBytes(const Ints& x) {
  const size_t n = x.size();
  Words d(n - 1);
  uint64_t any = 0;
  bool linear = true;
  const auto word = [&](size_t i) { return static_cast<uint64_t>(x[i]); };
  for (size_t i = 0; i + 1 < n; ++i) {
    d[i] = word(i + 1) - word(i);
    any |= d[i];
    linear &= d[i] == d[0];
  }
  const size_t head = 1 + ZigZagSize(word(0));
  if (any == 0) return head;
  if (linear) return head + ZigZagSize(d[0]);
  size_t best = SIZE_MAX;
  const auto full = static_cast<unsigned>(std::countr_zero(any));
  for (const unsigned shift : {0U, full}) {
    const size_t h = head + (shift > 0 ? 1 : 0);
    const auto down = [&](uint64_t v) {
      return static_cast<uint64_t>(static_cast<int64_t>(v) >> shift);
    };
    Words plain, delta, delta2, changes;
    for (size_t i = 0; i < n; ++i) {
      plain.push_back(shift == 0 ? word(i) : down(word(i) - word(0)));
      if (i >= 1) delta.push_back(down(d[i - 1]));
      if (i >= 1 && d[i - 1] != 0) changes.push_back(delta.back());
      if (i >= 2) delta2.push_back(down(d[i - 1]) - down(d[i - 2]));
    }
    best =
        std::min({best, h + BestBlocksBytes(plain), h + BestBlocksBytes(delta),
                  h + ZigZagSize(delta[0]) + BestBlocksBytes(delta2),
                  h + (n + 6) / 8 + BestBlocksBytes(changes)});
    for (size_t k = 1; k <= 12; ++k) {
      const size_t from = (k - 1) * (n - 1) / 24;
      const size_t to = n - 1 - from;
      const auto rise = static_cast<int64_t>(down(word(to) - word(from)));
      const auto slope = static_cast<uint64_t>(std::llround(
          static_cast<double>(rise) / static_cast<double>(to - from)));
      Words rests;
      for (size_t i = 1; i < n; ++i) {
        rests.push_back(down(word(i) - word(0)) - i * slope);
      }
      best = std::min(best, h + ZigZagSize(slope) + BestBlocksBytes(rests));
    }
  }
  return best;
}

TEST(AdaptiveInts, ThePlannerComesNearTheBest) {
  size_t bytes = 0;
  size_t best = 0;
  std::map<std::string, std::pair<size_t, size_t>> by_shape;
  const auto add = [&](const std::string& shape, const Ints& column) {
    const size_t b = AdaptiveIntsBytes(column);
    const size_t least = BestColumnBytes(column);
    bytes += b;
    best += least;
    by_shape[shape].first += b;
    by_shape[shape].second += least;
  };
  for (const double jitter : {0.0, 3.0}) {
    for (const ShapedSeries& s :
         MakeClusterSeries({.seed = 3, .series = 30, .jitter_ms = jitter})) {
      Ints column;
      for (const double v : s.values) {
        column.push_back(std::llround(v * 1000));
      }
      add(s.shape, column);
      add(jitter == 0 ? "times" : "jittered times", s.timestamps);
    }
  }
  for (const auto& [shape, sizes] : by_shape) {
    std::printf("%-16s %8zu bytes, best %8zu: +%.2f %%\n", shape.c_str(),
                sizes.first, sizes.second,
                100.0 * static_cast<double>(sizes.first) /
                        static_cast<double>(sizes.second) -
                    100);
  }
  std::printf(
      "all: +%.2f %%\n",
      100.0 * static_cast<double>(bytes) / static_cast<double>(best) - 100);
  EXPECT_LE(static_cast<double>(bytes), 1.03 * static_cast<double>(best));
}

}  // namespace
}  // namespace varve
