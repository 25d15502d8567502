#include "storage/adaptive_values.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <random>

#include "storage/sample.h"
#include "tests/support/sample_shapes.h"
#include "tests/support/seed.h"

namespace varve {
namespace {

// Values are handled as bits, so that no test compares NaN with NaN.
using Values = std::vector<double>;

uint64_t Bits(double v) { return std::bit_cast<uint64_t>(v); }
double FromBits(uint64_t bits) { return std::bit_cast<double>(bits); }

bool SameBits(const Values& a, const Values& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), 8 * a.size()) == 0);
}

std::string Encode(const Values& values) {
  std::string bytes;
  PutAdaptiveValues(&bytes, values);
  return bytes;
}

/// In memory of exactly the bytes' size, so that a sanitizer sees every read
/// beyond them.
ColumnRead Decode(std::string_view bytes, const ColumnKernels& kernels,
                  Values* out, size_t* used = nullptr) {
  const std::unique_ptr<char[]> copy(new char[bytes.size()]);
  std::memcpy(copy.get(), bytes.data(), bytes.size());
  Decoder in(std::string_view(copy.get(), bytes.size()));
  const ColumnRead result = GetAdaptiveValues(&in, *out, kernels);
  if (used != nullptr) *used = in.offset();
  return result;
}

void ExpectRoundTrip(const Values& values, size_t bytes_max = SIZE_MAX) {
  const std::string bytes = Encode(values);
  EXPECT_LE(bytes.size(), bytes_max);
  for (const ColumnKernels* kernels : SupportedColumnKernels()) {
    for (const std::string& input : {bytes, bytes + "\xff\xff\xff"}) {
      Values out(values.size(), 4711);
      size_t used = 0;
      ASSERT_EQ(Decode(input, *kernels, &out, &used), ColumnRead::kOk);
      ASSERT_TRUE(SameBits(out, values))
          << kernels->name << testing::PrintToString(values);
      ASSERT_EQ(used, bytes.size());
    }
  }
}

const Values& TellingValues() {
  static const Values values = {0.0,
                                -0.0,
                                1,
                                -1,
                                0.1,
                                0.3,
                                1e15 + 0.5,
                                123456.789,
                                0x1p53,
                                0x1p53 + 2,
                                -0x1p53,
                                0x1p62,
                                0x1p63,
                                -0x1p63,
                                9.3e18,
                                1e300,
                                -1e308,
                                5e-324,
                                2.2250738585072011e-308,
                                std::numeric_limits<double>::infinity(),
                                -std::numeric_limits<double>::infinity(),
                                StaleNan(),
                                FromBits(kNormalNanBits),
                                FromBits(0x7ff0000000000001),
                                FromBits(0xfff0000000000002),
                                FromBits(~uint64_t{0}),
                                FromBits(0x7ff7ffffffffffff)};
  return values;
}

TEST(AdaptiveValues, SizesOfTellingShapes) {
  ExpectRoundTrip({}, 0);
  ExpectRoundTrip({1.5}, 4);
  ExpectRoundTrip(Values(1000, 0.1), 4);
  ExpectRoundTrip(Values(1000, 1.0 / 3), 9);
  ExpectRoundTrip(Values(1000, StaleNan()), 9);
  Values counter, cpu, noisy, sum;
  std::mt19937_64 random(1);
  double c = 0;
  double s = 0;
  for (int i = 0; i < 480; ++i) {
    counter.push_back(c += static_cast<double>(random() % 16));
    cpu.push_back(c / 100);
    s += static_cast<double>(random() % 1000) / 1000;
    sum.push_back(s);
  }
  ExpectRoundTrip(counter, 480 * 4 / 8 + 20);
  ExpectRoundTrip(cpu, 480 * 4 / 8 + 40);
  // Ten bits a step and some for the rounding, not the 40 of the bit patterns.
  ExpectRoundTrip(sum, 480 * 20 / 8);
  // Stale markers take two bytes each, wherever they are, and a value among
  // decimals that is not one about ten.
  for (size_t i = 10; i < 480; i += 16) counter[i] = StaleNan();
  ExpectRoundTrip(counter, 480 * 4 / 8 + 40 + 2 * 30);
  cpu[77] = std::sqrt(2);
  cpu[200] = -0.0;
  ExpectRoundTrip(cpu, 480 * 4 / 8 + 40 + 20);
}

TEST(AdaptiveValues, TellingValuesSurviveInTwosAndThrees) {
  const Values& all = TellingValues();
  std::mt19937_64 r(TestSeed());
  for (const double a : all) {
    ExpectRoundTrip({a});
    for (const double b : all) {
      ExpectRoundTrip({a, b});
      for (size_t c = r() % 4; c < all.size(); c += 4) {
        ExpectRoundTrip({a, b, all[c], all[c], a});
      }
    }
  }
}

/// One of many shapes with telling values strewn in.
Values RandomValues(std::mt19937_64* random) {
  auto& r = *random;
  Values values(1 + (r() % 8 == 0 ? r() % 4000 : r() % 400));
  const unsigned shape = r() % 9;
  const double power = std::pow(10, static_cast<double>(r() % 12));
  const uint64_t odd = r() % 2 == 0 ? 1 + r() % 60 : 1000000;
  double v = 0;
  for (double& out : values) {
    const auto step = static_cast<double>(r() % 1000);
    switch (shape) {
      case 0:
        v += step;
        break;
      case 1:
        v = std::round(v * power + step) / power;
        break;
      case 2:
        v += step / 1000;
        break;
      case 3:
        v = FromBits(r());
        break;
      case 4:
        v = FromBits(Bits(v) + r() % 1000);  // denormals
        break;
      case 5:
        v = 0x1p53 + step * 4 - 2000;
        break;
      case 6:
        v = static_cast<double>(static_cast<int64_t>(r()));
        break;
      case 7:
        v = static_cast<double>(r() >> 11) * 0x1p-53;
        break;
      default:
        v = TellingValues()[r() % TellingValues().size()];
    }
    out = r() % odd == 0 ? TellingValues()[r() % TellingValues().size()] : v;
  }
  return values;
}

TEST(AdaptiveValues, RandomColumnsSurvive) {
  std::mt19937_64 random(TestSeed());
  for (int round = 0; round < 1000; ++round) {
    ExpectRoundTrip(RandomValues(&random));
    if (HasFatalFailure()) return;
  }
}

TEST(AdaptiveValues, ClusterSeriesSurviveAndAreSmall) {
  size_t bytes = 0;
  size_t samples = 0;
  const auto all = MakeClusterSeries({.series = 200});
  for (const ShapedSeries& s : all) {
    ExpectRoundTrip(s.values);
    bytes += Encode(s.values).size();
    samples += s.values.size();
  }
  const double per_sample =
      static_cast<double>(bytes) / static_cast<double>(samples);
  std::printf("%.3f bytes a sample\n", per_sample);
  EXPECT_LT(per_sample, 0.9);
}

TEST(AdaptiveValues, CutColumnsAreCorrupt) {
  std::mt19937_64 random(TestSeed());
  for (int round = 0; round < 20; ++round) {
    const Values values = RandomValues(&random);
    const std::string bytes = Encode(values);
    for (size_t n = 0; n < bytes.size() && n < 200; ++n) {
      for (const ColumnKernels* kernels : SupportedColumnKernels()) {
        Values out(values.size());
        ASSERT_EQ(Decode(bytes.substr(0, n), *kernels, &out),
                  ColumnRead::kCorrupt);
      }
    }
  }
}

TEST(AdaptiveValues, AllKernelsAgreeOnDamagedBytes) {
  std::mt19937_64 random(TestSeed());
  int good = 0;
  for (int round = 0; round < 5000; ++round) {
    const Values values = RandomValues(&random);
    std::string bytes = Encode(values);
    for (size_t flips = 1 + random() % 3; flips > 0; --flips) {
      bytes[random() % std::min<size_t>(bytes.size(), 40)] =
          static_cast<char>(random());
    }
    Values first(values.size());
    const ColumnRead expected =
        Decode(bytes, *SupportedColumnKernels()[0], &first);
    good += expected == ColumnRead::kOk;
    for (const ColumnKernels* kernels : SupportedColumnKernels()) {
      Values out(values.size());
      ASSERT_EQ(Decode(bytes, *kernels, &out), expected);
      if (expected == ColumnRead::kOk) {
        ASSERT_TRUE(SameBits(out, first)) << kernels->name;
      }
    }
  }
  EXPECT_GT(good, 200);
}

TEST(AdaptiveValues, UnknownHeadsAreNotCorruption) {
  for (const char head : {'\x00', '\x3f', '\x53', '\x9f', '\xc2', '\xdf'}) {
    Values out(3);
    EXPECT_EQ(Decode(std::string(20, head), BestColumnKernels(), &out),
              ColumnRead::kUnknown)
        << static_cast<int>(head);
  }
}

}  // namespace
}  // namespace varve
