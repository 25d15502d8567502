#include "storage/compaction_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "tests/support/seed.h"

namespace varve {
namespace {

constexpr int64_t kHourMs = 3600 * 1000;
constexpr int64_t kWindowMs = 2 * kHourMs;

struct Shape {
  int window = 0;
  uint64_t bytes = 100;
  int order = -1;  ///< -1: the part's
};

std::vector<BlockInfo> Day(int32_t day, const std::vector<Shape>& shapes) {
  std::vector<BlockInfo> blocks;
  for (const Shape& shape : shapes) {
    BlockInfo info;
    info.day = day;
    info.part = static_cast<uint16_t>(blocks.size());
    info.order =
        shape.order < 0 ? info.part : static_cast<uint16_t>(shape.order);
    info.window.start_ms = day * 24 * kHourMs + shape.window * kWindowMs;
    info.window.end_ms = info.window.start_ms + kWindowMs;
    info.min_ms = info.window.start_ms;
    info.max_ms = info.window.end_ms - 1;
    info.file_bytes = shape.bytes;
    blocks.push_back(info);
  }
  return blocks;
}

std::vector<int> Plan(const std::vector<BlockInfo>& blocks, bool complete,
                      int excluded_part = -1) {
  CompactionPlanOptions options;
  options.complete = [&](int32_t) { return complete; };
  options.excluded = [&](const BlockInfo& info) {
    return info.part == excluded_part;
  };
  std::vector<int> parts;
  for (const BlockInfo& info : PlanCompaction(blocks, options)) {
    parts.push_back(info.part);
  }
  std::sort(parts.begin(), parts.end());
  return parts;
}

using Parts = std::vector<int>;

TEST(CompactionPlan, MergesTheWindowsOfACompleteDayAtOnce) {
  const auto blocks = Day(3, {{0}, {1}, {2, 5}, {3, 300}});
  EXPECT_EQ(Plan(blocks, false), Parts{});
  EXPECT_EQ(Plan(blocks, true), (Parts{0, 1, 2, 3}));
  EXPECT_EQ(Plan(Day(3, {{0}}), true), Parts{});
  EXPECT_EQ(Plan({}, true), Parts{});
}

TEST(CompactionPlan, LateSamplesDoNotRewriteTheDayEachTime) {
  EXPECT_EQ(Plan(Day(0, {{0, 1000}, {0, 10}, {1, 10}}), true), Parts{});
  EXPECT_EQ(
      Plan(Day(0, {{0, 1000}, {0, 9}, {1, 9}, {1, 9}, {2, 9}, {3, 9}}), true),
      (Parts{1, 2, 3, 4, 5}));
  EXPECT_EQ(Plan(Day(0, {{0, 1000}, {0, 125}, {1, 125}}), true),
            (Parts{0, 1, 2}));
}

TEST(CompactionPlan, PartsOfAWindowStayFewWhileTheDayGoesOn) {
  EXPECT_EQ(Plan(Day(0, {{0}, {0}, {0}, {0}, {1}, {2}}), false), Parts{});
  EXPECT_EQ(Plan(Day(0, {{0}, {0}, {0}, {0}, {1}, {0}}), false),
            (Parts{0, 1, 2, 3, 5}));
}

TEST(CompactionPlan, KeepsTheOrder) {
  // The large block stands between, and shares their time.
  EXPECT_EQ(
      Plan(Day(0, {{0, 9}, {0, 9000}, {0, 9}, {0, 9}, {0, 9}, {0, 9}}), true),
      (Parts{0, 1, 2, 3, 4, 5}));
  // It does not share their time.
  EXPECT_EQ(
      Plan(Day(0, {{0, 9}, {1, 9000}, {0, 9}, {0, 9}, {0, 9}, {0, 9}}), true),
      (Parts{0, 2, 3, 4, 5}));
  // A damaged one between them: what comes after it waits.
  EXPECT_EQ(Plan(Day(0, {{0}, {0}, {0}, {0}}), true, 2), (Parts{0, 1}));
  EXPECT_EQ(Plan(Day(0, {{0}, {0}, {1}, {0}}), true, 2), (Parts{0, 1, 3}));
}

/// Seals of random sizes, merges as planned: the blocks stay few and no byte
/// is rewritten often.
TEST(CompactionPlan, BoundsBlocksAndRewriting) {
  const uint64_t seed = TestSeed();
  std::mt19937_64 random(seed);
  for (const uint64_t late_bytes : {1, 100, 5000}) {
    std::vector<BlockInfo> blocks = Day(0, std::vector<Shape>(12, {0, 10'000}));
    uint64_t stored = 120'000;
    uint64_t written = 0;
    uint16_t next_part = 12;
    size_t blocks_max = 0;
    for (int i = 0; i < 1000; ++i) {
      for (int k = 0; k < 100; ++k) {
        const Parts parts = Plan(blocks, true);
        if (parts.empty()) break;
        ASSERT_LT(k, 99);
        BlockInfo made = blocks[0];
        made.file_bytes = 0;
        made.order = UINT16_MAX;
        std::erase_if(blocks, [&](const BlockInfo& info) {
          if (std::count(parts.begin(), parts.end(), info.part) == 0) {
            return false;
          }
          made.file_bytes += info.file_bytes;
          made.order = std::min(made.order, info.order);
          return true;
        });
        made.part = next_part++;
        written += made.file_bytes;
        blocks.push_back(made);
      }
      blocks_max = std::max(blocks_max, blocks.size());
      BlockInfo late = Day(0, {{0, 1 + random() % late_bytes}})[0];
      late.part = late.order = next_part++;
      stored += late.file_bytes;
      blocks.push_back(late);
    }
    EXPECT_LE(blocks_max, 16u) << late_bytes;
    EXPECT_LE(written, 10 * stored) << late_bytes;
  }
}

}  // namespace
}  // namespace varve
