#include "storage/retention_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <utility>

#include "tests/support/seed.h"

namespace varve {
namespace {

constexpr int64_t kHourMs = 3600 * 1000;
constexpr int64_t kDayMs = 24 * kHourMs;

BlockInfo Block(int32_t day, int window, uint64_t bytes, uint16_t part = 0) {
  BlockInfo info;
  info.day = day;
  info.part = part;
  info.window.start_ms = day * kDayMs + window * 2 * kHourMs;
  info.window.end_ms = info.window.start_ms + 2 * kHourMs;
  info.file_bytes = bytes - bytes / 3;
  info.index_bytes = bytes / 3;
  return info;
}

TEST(RetentionPlan, NoLimitsKeepAll) {
  const std::vector<BlockInfo> blocks = {Block(-3, 0, 100), Block(9, 0, 100)};
  const RetentionPlan plan = PlanRetention(blocks, 1000, {}, 1000 * kDayMs);
  EXPECT_TRUE(plan.expired.empty());
  EXPECT_TRUE(plan.too_much.empty());
}

TEST(RetentionPlan, ADayGoesWhenAllOfItIsOlder) {
  const std::vector<BlockInfo> blocks = {Block(-1, 3, 1), Block(0, 11, 1)};
  const RetentionPolicy policy = {.time_ms = 10 * kDayMs};
  const auto expired = [&](int64_t now_ms) {
    return PlanRetention(blocks, 0, policy, now_ms).expired.size();
  };
  EXPECT_EQ(expired(10 * kDayMs - 1), 0u);
  EXPECT_EQ(expired(10 * kDayMs), 1u);
  EXPECT_EQ(expired(11 * kDayMs - 1), 1u);
  EXPECT_EQ(expired(11 * kDayMs), 2u);
}

TEST(RetentionPlan, TheNewestDayGoesByWindowsAndNeverWholly) {
  const std::vector<BlockInfo> blocks = {Block(4, 1, 10, 0), Block(4, 0, 10, 1),
                                         Block(4, 1, 10, 2), Block(3, 9, 10, 0),
                                         Block(3, 0, 10, 1)};
  const auto left = [&](uint64_t bytes) {
    return blocks.size() -
           PlanRetention(blocks, 5, {.bytes = bytes}, 0).too_much.size();
  };
  EXPECT_EQ(left(55), 5u);
  EXPECT_EQ(left(54), 3u);  // day 3
  EXPECT_EQ(left(35), 3u);
  EXPECT_EQ(left(34), 2u);  // the first window of day 4
  EXPECT_EQ(left(1), 2u);
}

// Whether what goes is what a model finds that tries every number of units.
TEST(RetentionPlan, AgreesWithTryingEverything) {
  std::mt19937_64 random(TestSeed());
  for (int round = 0; round < 2000; ++round) {
    std::vector<BlockInfo> blocks;
    const size_t count = random() % 12;
    for (size_t i = 0; i < count; ++i) {
      blocks.push_back(Block(static_cast<int32_t>(random() % 5) - 2,
                             static_cast<int>(random() % 4), random() % 50 + 1,
                             static_cast<uint16_t>(i)));
    }
    const RetentionPolicy policy = {
        .time_ms = static_cast<int64_t>(random() % 3 * kDayMs * 2),
        .bytes = random() % 3 == 0 ? 0 : random() % 300 + 1};
    const int64_t now_ms = static_cast<int64_t>(random() % (10 * kDayMs));
    const uint64_t other = random() % 40;

    std::set<uint16_t> expired;
    std::map<std::pair<int64_t, int64_t>, std::vector<BlockInfo>> units;
    int32_t newest = -100;
    for (const BlockInfo& b : blocks) {
      if (policy.time_ms != 0 &&
          (b.day + 1) * kDayMs <= now_ms - policy.time_ms) {
        expired.insert(b.part);
      } else {
        newest = std::max(newest, b.day);
      }
    }
    uint64_t bytes = other;
    for (const BlockInfo& b : blocks) {
      if (expired.contains(b.part)) continue;
      bytes += b.file_bytes + b.index_bytes;
      units[{b.day, b.day == newest ? b.window.start_ms : 0}].push_back(b);
    }
    std::set<uint16_t> too_much;
    for (size_t left = units.size(); const auto& [key, unit] : units) {
      if (policy.bytes == 0 || bytes <= policy.bytes || left-- == 1) break;
      for (const BlockInfo& b : unit) {
        too_much.insert(b.part);
        bytes -= b.file_bytes + b.index_bytes;
      }
    }

    const RetentionPlan plan = PlanRetention(blocks, other, policy, now_ms);
    const auto parts = [](const std::vector<BlockInfo>& infos) {
      std::set<uint16_t> out;
      for (const BlockInfo& b : infos) out.insert(b.part);
      EXPECT_EQ(out.size(), infos.size());
      return out;
    };
    ASSERT_EQ(parts(plan.expired), expired) << "round " << round;
    ASSERT_EQ(parts(plan.too_much), too_much) << "round " << round;
  }
}

}  // namespace
}  // namespace varve
