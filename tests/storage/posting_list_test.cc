#include "storage/posting_list.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "tests/support/seed.h"

namespace varve {
namespace {

/// Ids below `series`: scattered ones, or runs with a step.
Ids RandomIds(std::mt19937_64* random, uint32_t series) {
  Ids ids;
  uint32_t id = static_cast<uint32_t>((*random)() % 5);
  while (id < series) {
    const auto step = static_cast<uint32_t>(1 + (*random)() % 90);
    const size_t count = (*random)() % 3 == 0 ? (*random)() % 60 : 1;
    for (size_t i = 0; i < count && id < series; ++i, id += step) {
      ids.push_back(id);
    }
    id += static_cast<uint32_t>((*random)() % 300);
  }
  return ids;
}

Ids Naive(const Ids& a, const Ids& b, bool both) {
  Ids out;
  for (const uint32_t id : a) {
    if (std::binary_search(b.begin(), b.end(), id) == both) out.push_back(id);
  }
  return out;
}

TEST(PostingList, WhatIsWrittenIsRead) {
  std::mt19937_64 random(TestSeed());
  for (int round = 0; round < 300; ++round) {
    const auto series = static_cast<uint32_t>(1 + random() % 5000);
    Ids ids = RandomIds(&random, series);
    if (round % 3 == 0) ids.resize(std::min<size_t>(ids.size(), random() % 8));
    if (ids.empty()) ids.push_back(series - 1);
    std::string bytes;
    PutPosting(&bytes, ids);
    EXPECT_EQ(PostingLength(bytes), ids.size());
    Ids read = {7};
    ASSERT_TRUE(AppendPosting(bytes, series, &read).ok());
    read.erase(read.begin());
    ASSERT_EQ(read, ids);

    const Ids other = RandomIds(&random, series);
    EXPECT_EQ(*PostingIntersects(bytes, series, IdBits(series, other)),
              !Naive(ids, other, true).empty());
    // An id beyond the series.
    Ids unchanged = {7};
    EXPECT_FALSE(AppendPosting(bytes, ids.back(), &unchanged).ok());
    EXPECT_EQ(unchanged, Ids{7});
  }
}

TEST(PostingList, DamageIsAnError) {
  std::mt19937_64 random(TestSeed());
  std::string bytes;
  PutPosting(&bytes, RandomIds(&random, 3000));
  for (size_t cut = 0; cut < bytes.size(); ++cut) {
    Ids ids;
    EXPECT_FALSE(AppendPosting(bytes.substr(0, cut), 3000, &ids).ok()) << cut;
  }
  for (int round = 0; round < 2000; ++round) {
    std::string damaged = bytes;
    damaged[random() % damaged.size()] ^= static_cast<char>(1 << random() % 8);
    Ids ids;
    if (!AppendPosting(damaged, 3000, &ids).ok()) continue;
    EXPECT_TRUE(std::is_sorted(ids.begin(), ids.end(), std::less_equal<>()));
    EXPECT_LT(ids.back(), 3000U);
  }
  Ids ids;
  EXPECT_FALSE(
      AppendPosting(std::string_view("\x81\x01\x00", 3), 9, &ids).ok());
  EXPECT_TRUE(absl::IsUnimplemented(AppendPosting("\x82\x01", 9, &ids)));
}

TEST(PostingList, Algebra) {
  std::mt19937_64 random(TestSeed());
  for (int round = 0; round < 300; ++round) {
    const auto series = static_cast<uint32_t>(1 + random() % 20000);
    const Ids a = RandomIds(&random, series);
    Ids b = RandomIds(&random, series);
    if (round % 2 == 0) b.resize(std::min<size_t>(b.size(), random() % 4));
    Ids left = a;
    Intersect(&left, b);
    EXPECT_EQ(left, Naive(a, b, true));
    Ids right = b;
    Intersect(&right, a);
    EXPECT_EQ(right, left);
    Ids rest = a;
    Subtract(&rest, b);
    EXPECT_EQ(rest, Naive(a, b, false));
    rest.insert(rest.end(), left.begin(), left.end());
    SortUnion(series, &rest);
    EXPECT_EQ(rest, a);
  }
}

}  // namespace
}  // namespace varve
