#include "storage/column_kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "storage/coding.h"
#include "storage/sample.h"
#include "tests/support/seed.h"

namespace varve {
namespace {

// Every supported set of kernels against the obvious twin, in memory that ends
// where the kernels may read and write (for the address sanitizer).

using Words = std::vector<uint64_t>;

class ColumnKernelsTest : public testing::TestWithParam<size_t> {
 protected:
  const ColumnKernels& kernels() const {
    return *SupportedColumnKernels()[GetParam()];
  }
  std::mt19937_64 random_{TestSeed()};

  Words RandomWords(size_t n) {
    Words words(n);
    for (uint64_t& w : words) w = random_() >> (random_() % 64);
    return words;
  }
  /// Runs `f` on a copy of `words` that has nothing around it.
  template <typename F>
  static Words Run(const Words& words, const F& f) {
    if (words.empty()) {
      f(std::make_unique<char[]>(0).get());
      return {};
    }
    const std::unique_ptr<char[]> x(new char[8 * words.size()]);
    std::memcpy(x.get(), words.data(), 8 * words.size());
    f(x.get());
    Words out(words.size());
    std::memcpy(out.data(), x.get(), 8 * words.size());
    return out;
  }
};

TEST(ColumnKernels, SayWhichRun) {
  for (const ColumnKernels* k : SupportedColumnKernels()) {
    std::printf("tested: %s kernels\n", k->name);
  }
  EXPECT_EQ(SupportedColumnKernels()[0]->name, std::string("portable"));
  EXPECT_EQ(SupportedColumnKernels().back(), &BestColumnKernels());
}

TEST_P(ColumnKernelsTest, UnpacksEveryWidthAndLength) {
  for (unsigned width = 0; width <= 64; ++width) {
    for (size_t n = 0; n <= 130; ++n) {
      const size_t size = (n * width + 7) / 8;
      const std::unique_ptr<char[]> packed(new char[size]);
      for (size_t i = 0; i < size; ++i) {
        packed[i] = static_cast<char>(random_());
      }
      const uint64_t base = random_() >> (random_() % 64);
      const Words out = Run(Words(n), [&](char* x) {
        kernels().unpack(packed.get(), width, n, base, x);
      });
      for (size_t i = 0; i < n; ++i) {
        uint64_t expected = 0;
        for (unsigned b = 0; b < width; ++b) {
          const size_t bit = i * width + b;
          const uint64_t set =
              static_cast<uint8_t>(packed[bit / 8]) >> (bit % 8) & 1;
          expected |= set << b;
        }
        ASSERT_EQ(out[i], expected + base) << width << " " << n << " " << i;
      }
    }
  }
}

TEST_P(ColumnKernelsTest, SumsAndLines) {
  for (size_t n = 0; n <= 70; ++n) {
    const Words in = RandomWords(n);
    const uint64_t start = random_();
    const uint64_t delta = random_();
    const unsigned shift = random_() % 64;
    Words sum(n), sum2(n), line(n), scaled(n);
    uint64_t s = start, d = delta, s2 = start;
    for (size_t i = 0; i < n; ++i) {
      sum[i] = s += in[i];
      d += in[i];
      sum2[i] = s2 += d;
      line[i] = in[i] + start + i * delta;
      scaled[i] = start + (in[i] << shift);
    }
    const ColumnKernels& k = kernels();
    EXPECT_EQ(Run(in, [&](char* x) { k.sum(x, n, start); }), sum);
    EXPECT_EQ(Run(in, [&](char* x) { k.sum2(x, n, start, delta); }), sum2);
    EXPECT_EQ(Run(in, [&](char* x) { k.add_line(x, n, start, delta); }), line);
    EXPECT_EQ(Run(in, [&](char* x) { k.scale(x, n, shift, start); }), scaled);
  }
}

TEST_P(ColumnKernelsTest, SpreadsInPlace) {
  for (size_t n = 1; n <= 70; ++n) {
    for (int round = 0; round < 20; ++round) {
      const uint64_t dense = random_() % 9;
      const std::unique_ptr<char[]> bitmap(new char[(n + 7) / 8]());
      size_t changed = 0;
      for (size_t i = 0; i < n; ++i) {
        if (random_() % 8 >= dense) continue;
        bitmap[i / 8] = static_cast<char>(bitmap[i / 8] | 1 << (i % 8));
        ++changed;
      }
      Words in = RandomWords(n);
      const uint64_t first = random_();
      Words expected(n);
      uint64_t last = first;
      size_t next = n - changed;
      for (size_t i = 0; i < n; ++i) {
        if (bitmap[i / 8] >> (i % 8) & 1) last = in[next++];
        expected[i] = last;
      }
      EXPECT_EQ(Run(in,
                    [&](char* x) {
                      kernels().spread(bitmap.get(), n, changed, first, x);
                    }),
                expected);
    }
  }
}

TEST_P(ColumnKernelsTest, DividesWithOneRoundingEach) {
  for (size_t n = 0; n <= 70; ++n) {
    Words in = RandomWords(n);
    for (uint64_t& w : in) {
      if (random_() % 2 == 0) w = -w;
      // Halfway cases of the conversion.
      if (random_() % 4 == 0) w = (w | uint64_t{1} << 62) & ~uint64_t{0x1ff};
      if (random_() % 4 == 0) w |= 0x200;
      if (random_() % 9 == 0) w = uint64_t{1} << 63;
    }
    for (const double power : {1.0, 10.0, 1e9, 1e18}) {
      Words expected(n);
      for (size_t i = 0; i < n; ++i) {
        expected[i] = std::bit_cast<uint64_t>(
            static_cast<double>(static_cast<int64_t>(in[i])) / power);
      }
      EXPECT_EQ(Run(in, [&](char* x) { kernels().divide(x, n, power); }),
                expected);
    }
  }
}

TEST_P(ColumnKernelsTest, FindsTheSameDecimals) {
  const double telling[] = {
      0.0,     -0.0,  0.1,    -0.3,       1e15 + 0.5, 0x1p53,    0x1p62, 0x1p63,
      -0x1p63, 1e300, 5e-324, StaleNan(), -1.0 / 0.0, 1.0 / 0.0, 2.5};
  for (int round = 0; round < 2000; ++round) {
    const size_t n = random_() % 40;
    std::vector<double> v(n);
    for (double& d : v) {
      d = static_cast<double>(random_() % 100000) / 100;
      if (random_() % 40 == 0) d = telling[random_() % std::size(telling)];
    }
    const double power = random_() % 2 == 0 ? 100 : 1;
    const double limit = power == 1 ? 0x1p63 : 0x1p53;
    std::vector<int64_t> out(n), expected(n);
    const size_t good =
        kernels().decimals(v.data(), n, power, limit, out.data());
    ASSERT_EQ(good, SupportedColumnKernels()[0]->decimals(
                        v.data(), n, power, limit, expected.data()));
    for (size_t i = 0; i < good; ++i) {
      ASSERT_EQ(out[i], expected[i]);
      ASSERT_EQ(std::bit_cast<uint64_t>(static_cast<double>(out[i]) / power),
                std::bit_cast<uint64_t>(v[i]));
    }
  }
}

TEST_P(ColumnKernelsTest, CountsLengths) {
  for (size_t n = 1; n <= 128; ++n) {
    for (int round = 0; round < 10; ++round) {
      Words in = RandomWords(n);
      const unsigned spread = random_() % 65;
      for (uint64_t& w : in) {
        w = spread == 0 ? 0 : random_() >> (64 - spread);
        if (random_() % 20 == 0) w = -w;
      }
      const uint64_t base = random_() % 2 == 0 ? in[0] : random_();
      int above[65] = {}, below[65] = {}, longest = 0;
      int64_t least = INT64_MAX;
      bool any_below = false;
      for (const uint64_t w : in) {
        least = std::min(least, static_cast<int64_t>(w));
        const auto offset = static_cast<int64_t>(w - base);
        const int bits = std::bit_width(ZigZag(offset));
        any_below |= offset < 0;
        ++(offset < 0 ? below : above)[bits];
        if (offset >= 0) longest = std::max(longest, bits);
      }
      LengthCounts out;
      std::memset(&out, 0x55, sizeof(out));
      const std::unique_ptr<uint64_t[]> words(new uint64_t[n]);
      std::copy(in.begin(), in.end(), words.get());
      kernels().count_lengths(words.get(), n, base, &out);
      EXPECT_EQ(kernels().least(words.get(), n), least);
      ASSERT_EQ(out.any_below, any_below);
      ASSERT_EQ(out.longest_above, longest);
      for (int b = 0; b <= 64; ++b) {
        if (b <= longest) {
          ASSERT_EQ(out.above[b], above[b]);
        }
        if (any_below) {
          ASSERT_EQ(out.below[b], below[b]);
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, ColumnKernelsTest,
                         testing::Range(size_t{0},
                                        SupportedColumnKernels().size()),
                         [](const auto& info) {
                           return std::string(
                               SupportedColumnKernels()[info.param]->name);
                         });

}  // namespace
}  // namespace varve
