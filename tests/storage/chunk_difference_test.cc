#include <gtest/gtest.h>

#include <bit>
#include <cstdlib>
#include <random>

#include "storage/chunk_neighbours.h"
#include "storage/sample.h"
#include "storage/status_macros.h"
#include "tests/support/chunk_block.h"
#include "tests/support/seed.h"

namespace varve {
namespace {

using Values = std::vector<double>;

class ChunkDifference : public ChunkBlock {
 protected:
  ChunkDifference() { writer_->WriteDifferences(); }
  ChunkForm FormOf(uint32_t series) {
    return ChunkFormOf(BytesOf(ChunkOf(series)));
  }
  std::string BytesOf(const Block::Chunk& chunk) {
    std::string bytes;
    EXPECT_TRUE(block_->data().Read(chunk.offset, chunk.length, &bytes).ok());
    // Not what the first chunk of these times begins with.
    const auto raw = reader_->ReadRaw(chunk);
    return raw.ok() ? bytes.substr(raw->column.size()) : bytes;
  }
};

/// Buckets of one histogram: each counts what is in the last one too.
std::vector<Values> Buckets(size_t buckets, size_t n, std::mt19937_64* random) {
  std::vector<Values> all(buckets, Values(n));
  std::vector<double> counts(buckets);
  for (size_t i = 0; i < n; ++i) {
    for (double& count : counts) {
      count += std::poisson_distribution<int>(9)(*random);
    }
    std::partial_sum(counts.begin(), counts.end(), counts.begin());
    for (size_t b = 0; b < buckets; ++b) {
      all[b][i] = (i == 0 ? 1e6 : all[b][i - 1]) + counts[b];
    }
    std::fill(counts.begin(), counts.end(), 0);
  }
  return all;
}

TEST_F(ChunkDifference, BucketsAreStoredAsWhatTheyCountAlone) {
  std::mt19937_64 random(1);
  const auto buckets = Buckets(6, 400, &random);
  for (const Values& values : buckets) Add(values);
  Add(buckets[5]);
  Open();
  ExpectAll();
  EXPECT_EQ(FormOf(0), ChunkForm::kItself);
  size_t differences = 0;
  for (uint32_t s = 1; s < 6; ++s) {
    if (FormOf(s) == ChunkForm::kDifference) ++differences;
  }
  EXPECT_GE(differences, 3u);
  // Also when it shares a difference.
  EXPECT_EQ(FormOf(6), ChunkForm::kSame);
  EXPECT_LT(ChunkOf(6).length, 8u);
}

TEST_F(ChunkDifference, OnlyWhenAskedFor) {
  Begin();
  std::mt19937_64 random(1);
  for (const Values& values : Buckets(6, 400, &random)) Add(values);
  Open();
  ExpectAll();
  for (uint32_t s = 0; s < 6; ++s) EXPECT_EQ(FormOf(s), ChunkForm::kItself);
}

TEST_F(ChunkDifference, OtherTimesAndLengthsAreNoNeighbours) {
  std::mt19937_64 random(1);
  const auto buckets = Buckets(4, 400, &random);
  Add(buckets[0]);
  Add(buckets[1], 1);
  Add(Values(buckets[2].begin(), buckets[2].begin() + 399));
  Open();
  ExpectAll();
  for (uint32_t s = 0; s < 3; ++s) EXPECT_EQ(FormOf(s), ChunkForm::kItself);
}

/// Any double, most of them integers that differ by little.
double AnyValue(std::mt19937_64* random, double near) {
  switch ((*random)() % 400) {
    case 0:
      return StaleNan();
    case 1:
      return std::bit_cast<double>((*random)());
    case 2:
      return -0.0;
    case 3:
      return std::numeric_limits<double>::infinity();
    case 4:
      return std::numeric_limits<double>::denorm_min();
    case 5:
      return std::bit_cast<double>(uint64_t{0x7ff4000000000abc});
    default:
      return near + static_cast<double>((*random)() % 4);
  }
}

TEST_F(ChunkDifference, EveryBitSurvives) {
  const uint64_t seed = TestSeed();
  std::mt19937_64 random(seed);
  SCOPED_TRACE(seed);
  constexpr double kLevels[] = {0,      -50,     1e9,          0x1p53, -0x1p53,
                                0x1p62, -0x1p62, 0x1p62 - 512, 0x1p63, 0.5};
  size_t differences = 0;
  for (int round = 0; round < 60; ++round) {
    Begin();
    writer_->WriteDifferences();
    const size_t n = 1 + random() % 300;
    Values base(n);
    for (size_t i = 0; i < n; ++i) {
      base[i] = static_cast<double>(random() % 100000);
    }
    const bool odd = random() % 2 == 0;
    for (int s = 0; s < 20; ++s) {
      const double level = kLevels[random() % std::size(kLevels)];
      Values values(n);
      for (size_t i = 0; i < n; ++i) {
        values[i] = odd ? AnyValue(&random, level + base[i])
                        : level + base[i] + static_cast<double>(random() % 4);
      }
      Add(values);
    }
    Open();
    ExpectAll();
    for (uint32_t s = 0; s < 20; ++s) {
      differences += FormOf(s) == ChunkForm::kDifference ? 1 : 0;
    }
  }
  EXPECT_GT(differences, 100u);
}

TEST_F(ChunkDifference, BadOnesAreRefused) {
  std::mt19937_64 random(1);
  const auto buckets = Buckets(2, 200, &random);
  const auto add_all = [&](const std::vector<std::string>& bodies) {
    Begin();
    writer_->WriteDifferences();
    for (const Values& values : buckets) Add(values);
    Values fractions(200);
    for (size_t i = 0; i < 200; ++i) fractions[i] = 0.25 * double(i * i % 77);
    Add(fractions);
    for (const std::string& body : bodies) AddBytes(body, 200);
    Open();
  };
  add_all({});
  ASSERT_EQ(FormOf(1), ChunkForm::kDifference);
  const auto place = [&](uint32_t series) {
    const Block::Chunk chunk = ChunkOf(series);
    const auto column = reader_->ReadRaw(chunk)->column.size();
    return ChunkPlace{chunk.offset + column, chunk.length - column};
  };
  const auto difference = [&](ChunkPlace base, size_t n) {
    std::string body;
    PutChunkDifference(&body, base, std::vector<int64_t>(n, 3));
    return body;
  };
  std::string same;
  PutChunkReference(&same, place(1));
  const std::string good = difference(place(0), 200);
  add_all({good, difference(place(0), 1) + "x", difference(place(1), 200),
           difference({place(0).offset, 3}, 200),
           difference({1 << 30, 50}, 200), good.substr(0, good.size() - 1),
           good + "\x01", same});
  ExpectAll();
  ASSERT_TRUE(Read(3).ok());
  EXPECT_EQ(columns_.values[7], buckets[0][7] + 3);
  for (uint32_t s = 4; s < 10; ++s) {
    EXPECT_TRUE(absl::IsDataLoss(Read(s))) << s << ": " << Read(s);
  }
  ASSERT_TRUE(Read(10).ok());
  EXPECT_EQ(columns_.values, buckets[1]);
}

TEST(AddDifferences, RefusesWhatHasNoIntegers) {
  std::string bytes;
  PutChunkDifference(&bytes, {}, std::vector<int64_t>{1, 2});
  const auto reference = *GetChunkReference(bytes);
  for (const double v : {StaleNan(), 0x1p63, -0x1p63, 1e300}) {
    SampleColumns columns;
    columns.kind = SampleColumns::Kind::kFloat;
    columns.values = {5, v};
    EXPECT_TRUE(
        absl::IsDataLoss(AddDifferences(reference.differences, &columns)))
        << v;
  }
  SampleColumns columns;
  columns.kind = SampleColumns::Kind::kFloat;
  columns.values = {5, 0x1p62};
  EXPECT_TRUE(AddDifferences(reference.differences, &columns).ok());
  columns.start_timestamps = {1, 2};
  EXPECT_TRUE(
      absl::IsDataLoss(AddDifferences(reference.differences, &columns)));
  columns.kind = SampleColumns::Kind::kHistogram;
  columns.start_timestamps.clear();
  EXPECT_TRUE(
      absl::IsDataLoss(AddDifferences(reference.differences, &columns)));
}

TEST(ToIntegers, TakesWhatComesBackBitForBit) {
  for (const double v : {0.0, 1.0, -7.0, 0x1p53, 0x1p62, -0x1p62}) {
    const Values values = {1, v};
    const auto integers = ToIntegers(values);
    ASSERT_TRUE(integers.has_value()) << v;
    EXPECT_EQ(static_cast<double>((*integers)[1]), v);
  }
  for (const double v : {-0.0, 0.5, 0x1p63, -0x1p63, 1e300, StaleNan(),
                         std::numeric_limits<double>::infinity(),
                         std::numeric_limits<double>::denorm_min()}) {
    const Values values = {1, v};
    EXPECT_FALSE(ToIntegers(values).has_value()) << v;
  }
}

TEST(ChunkNeighbours, ForgetsTheOldest) {
  ChunkNeighbours neighbours;
  std::vector<int64_t> noise(100);
  std::mt19937_64 random(1);
  for (int64_t& v : noise) v = static_cast<int64_t>(random() % 1000);
  neighbours.Remember({1, {17, 50}, noise});
  ASSERT_NE(neighbours.FindNear(1, noise), nullptr);
  EXPECT_EQ(neighbours.FindNear(1, noise)->place.offset, 17u);
  EXPECT_EQ(neighbours.FindNear(2, noise), nullptr);
  for (int i = 0; i < 63; ++i) neighbours.Remember({2, {}, {1, 2}});
  EXPECT_NE(neighbours.FindNear(1, noise), nullptr);
  neighbours.Remember({2, {}, {1, 2}});
  EXPECT_EQ(neighbours.FindNear(1, noise), nullptr);
}

/// The bytes of a block with differences, as this version writes them.
TEST_F(ChunkDifference, TheBytesStayTheSame) {
  for (int s = 0; s < 3; ++s) {
    Values values;
    double v = 1000 * s;
    for (int i = 0; i < 96; ++i) {
      v += i * i * i % 61 + (s > 0 ? i % 3 * s : 0);
      values.push_back(v);
    }
    Add(values);
  }
  Add(values_[2]);
  Open();
  ExpectAll();
  ASSERT_EQ(FormOf(1), ChunkForm::kDifference);
  ASSERT_EQ(FormOf(2), ChunkForm::kDifference);
  ASSERT_EQ(FormOf(3), ChunkForm::kSame);
  const std::string golden_path =
      std::string(VARVE_SOURCE_DIR) + "/tests/golden/block_v1_difference.bin";
  const std::string bytes = *ReadFile(&fs_, path(), 1 << 20);
  if (std::getenv("VARVE_UPDATE_GOLDEN") != nullptr) {
    ASSERT_TRUE(
        WriteFileAtomically(FileSystem::Posix(), golden_path, bytes).ok());
  }
  const auto golden = ReadFile(FileSystem::Posix(), golden_path, 1 << 20);
  ASSERT_TRUE(golden.ok()) << golden.status();
  EXPECT_TRUE(bytes == *golden);
  ASSERT_TRUE(WriteFileAtomically(&fs_, path(), *golden).ok());
  Reopen();
  ExpectAll();
}

}  // namespace
}  // namespace varve
