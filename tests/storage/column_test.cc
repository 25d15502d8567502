#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <random>

#include "storage/float_column.h"
#include "storage/int_column.h"
#include "storage/sample.h"
#include "tests/support/seed.h"

namespace varve {
namespace {

using Ints = std::vector<int64_t>;
using Floats = std::vector<double>;

void ExpectIntRoundTrip(const Ints& values, size_t bytes_max = SIZE_MAX) {
  std::string bytes;
  PutIntColumn(&bytes, values);
  EXPECT_LE(bytes.size(), bytes_max);
  const std::string more = bytes + "more";
  for (const std::string_view input :
       {std::string_view(bytes), std::string_view(more)}) {
    Decoder in(input);
    Ints out(values.size());
    const absl::Status s = GetIntColumn(&in, out);
    ASSERT_TRUE(s.ok()) << s;
    EXPECT_EQ(out, values);
    EXPECT_EQ(in.offset(), bytes.size());
  }
  for (size_t n = 0; n < bytes.size() && n < 300; ++n) {
    Decoder in(std::string_view(bytes).substr(0, n));
    Ints out(values.size());
    EXPECT_TRUE(absl::IsDataLoss(GetIntColumn(&in, out)));
  }
}

Floats Decode(std::string_view bytes, size_t n) {
  Floats out(n);
  const absl::Status s = GetFloatColumn(bytes, out);
  EXPECT_TRUE(s.ok()) << s;
  return out;
}

bool SameBits(const Floats& a, const Floats& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * 8) == 0);
}

void ExpectFloatRoundTrip(const Floats& values, size_t bytes_max = SIZE_MAX) {
  std::string bytes;
  PutFloatColumn(&bytes, values);
  EXPECT_LE(bytes.size(), bytes_max);
  EXPECT_TRUE(SameBits(Decode(bytes, values.size()), values));
}

TEST(IntColumn, ShapesAndSizes) {
  ExpectIntRoundTrip({});
  ExpectIntRoundTrip({-5}, 2);
  ExpectIntRoundTrip(Ints(1000, 7), 2);
  Ints linear;
  Ints jitter;
  Ints counter;
  for (int i = 0; i < 480; ++i) {
    linear.push_back(1700000000000 + i * 15000);
    jitter.push_back(1700000000000 + i * 15000 + i * i % 5);
    counter.push_back(i * i * i);
  }
  ExpectIntRoundTrip(linear, 10);
  ExpectIntRoundTrip(jitter, 480);
  ExpectIntRoundTrip(counter, 800);
  jitter[100] += 3600000;
  ExpectIntRoundTrip(jitter, 480);
}

TEST(IntColumn, ExtremesSurvive) {
  constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  ExpectIntRoundTrip({kMin, kMax, kMin, 0, kMax, kMax});
  ExpectIntRoundTrip({kMin, kMin, kMax});
  ExpectIntRoundTrip({kMax, kMin});
  ExpectIntRoundTrip({0, 0, kMin});
}

TEST(IntColumn, RandomColumnsSurvive) {
  std::mt19937_64 random(TestSeed());
  for (int round = 0; round < 500; ++round) {
    Ints values(random() % 400);
    const unsigned width = random() % 65;
    const bool sum = random() % 2 == 0;
    int64_t last = 0;
    for (int64_t& v : values) {
      v = width == 0 ? 0 : static_cast<int64_t>(random() >> (64 - width));
      if (random() % 50 == 0) v = static_cast<int64_t>(random());
      if (sum) {
        v = static_cast<int64_t>(static_cast<uint64_t>(v) +
                                 static_cast<uint64_t>(last));
      }
      last = v;
    }
    ExpectIntRoundTrip(values);
  }
}

TEST(IntColumn, AnUnknownCodecIsRefused) {
  const std::string bytes = "\x23\x01\x02";
  Decoder in(bytes);
  Ints out(3);
  EXPECT_TRUE(absl::IsUnimplemented(GetIntColumn(&in, out)));
}

TEST(IntColumn, RandomBytesNeverCrash) {
  std::mt19937_64 random(TestSeed());
  for (int round = 0; round < 20000; ++round) {
    std::string bytes(random() % 80, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    if (!bytes.empty()) bytes[0] = static_cast<char>(random() % 72);
    Decoder in(bytes);
    Ints out(random() % 300);
    GetIntColumn(&in, out).IgnoreError();
  }
}

TEST(FloatColumn, ShapesAndSizes) {
  ExpectFloatRoundTrip({});
  ExpectFloatRoundTrip({1.5}, 9);
  ExpectFloatRoundTrip(Floats(1000, 0.1), 9);
  Floats steps;
  for (int i = 0; i < 480; ++i) steps.push_back(i / 10);
  ExpectFloatRoundTrip(steps, 300);
}

TEST(FloatColumn, SpecialValuesSurvive) {
  const double inf = std::numeric_limits<double>::infinity();
  ExpectFloatRoundTrip({StaleNan(), std::bit_cast<double>(kNormalNanBits), inf,
                        -inf, -0.0, 0.0, 5e-324, -1e308, StaleNan(), 1});
  // XORs with no leading zeros and with none trailing.
  ExpectFloatRoundTrip({std::bit_cast<double>(uint64_t{0}),
                        std::bit_cast<double>(~uint64_t{0}),
                        std::bit_cast<double>(uint64_t{1}),
                        std::bit_cast<double>(uint64_t{1} << 63)});
}

TEST(FloatColumn, EveryLengthSurvives) {
  std::mt19937_64 random(TestSeed());
  for (size_t n = 1; n < 200; ++n) {
    for (const unsigned shift : {0U, 12U, 40U, 60U}) {
      Floats values(n);
      uint64_t bits = random();
      for (double& v : values) {
        if (random() % 3 != 0) bits ^= (random() >> shift) << (random() % 8);
        v = std::bit_cast<double>(bits);
      }
      ExpectFloatRoundTrip(values, 8 * n + 1);
    }
  }
}

TEST(FloatColumn, TruncationsAreFound) {
  Floats values;
  for (int i = 0; i < 60; ++i) values.push_back(std::sqrt(i));
  std::string bytes;
  PutFloatColumn(&bytes, values);
  for (size_t n = 0; n < bytes.size(); ++n) {
    Floats out(values.size());
    EXPECT_TRUE(absl::IsDataLoss(
        GetFloatColumn(std::string_view(bytes).substr(0, n), out)))
        << n;
  }
}

TEST(FloatColumn, PresenceTellsStaleMarkersFromValues) {
  std::mt19937_64 random(TestSeed());
  for (int round = 0; round < 300; ++round) {
    // Integers, decimals, doubles of full precision, with and without markers.
    Floats values(1 + random() % 300);
    const double scale = std::array{1.0, 0.01, std::sqrt(2)}[random() % 3];
    const uint64_t stale_in = std::array{1, 20, 100'000}[random() % 3];
    for (double& v : values) {
      v = scale * static_cast<double>(random() % 1000);
      if (random() % stale_in == 0) v = StaleNan();
    }
    std::string bytes;
    PutFloatColumn(&bytes, values);
    Floats out(values.size(), StaleNan());
    ASSERT_TRUE(GetFloatPresence(bytes, out).ok());
    for (size_t i = 0; i < values.size(); ++i) {
      ASSERT_EQ(IsStaleNan(out[i]), IsStaleNan(values[i])) << i;
    }
  }
}

TEST(FloatColumn, AnUnknownCodecIsRefused) {
  Floats out(3);
  EXPECT_TRUE(absl::IsUnimplemented(GetFloatColumn("\x23zzz", out)));
}

TEST(FloatColumn, RandomBytesNeverCrash) {
  std::mt19937_64 random(TestSeed());
  for (int round = 0; round < 20000; ++round) {
    std::string bytes(random() % 80, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    if (!bytes.empty()) bytes[0] = static_cast<char>(random() % 72);
    Floats out(random() % 300);
    GetFloatColumn(bytes, out).IgnoreError();
  }
}

}  // namespace
}  // namespace varve
