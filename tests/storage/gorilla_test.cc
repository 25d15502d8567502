#include "storage/gorilla.h"

#include <gtest/gtest.h>

#include <bit>
#include <limits>
#include <random>
#include <thread>

#include "storage/sample.h"
#include "tests/support/seed.h"

namespace varve {
namespace {

struct Point {
  int64_t t;
  uint64_t v;
  friend bool operator==(const Point&, const Point&) = default;
};

std::vector<Point> Decode(const GorillaTail& tail, const SlabArena& arena) {
  uint64_t words[kGorillaWordsMax];
  const size_t n = GorillaFinish(tail, arena, words);
  std::vector<int64_t> ts(tail.count);
  std::vector<double> vs(tail.count);
  GorillaDecode(words, n, tail.first_t, tail.count, ts.data(), vs.data());
  std::vector<Point> out;
  for (size_t i = 0; i < ts.size(); ++i) {
    out.push_back({ts[i], std::bit_cast<uint64_t>(vs[i])});
  }
  return out;
}

/// Appends over as many chunks as it takes; after every sample the open chunk
/// must read back.
void ExpectRoundTrip(const std::vector<Point>& points) {
  SlabArena arena;
  GorillaTail tail;
  std::vector<Point> chunk;
  for (const Point& p : points) {
    if (!GorillaFits(tail, p.t)) {
      GorillaFree(tail, &arena);
      tail.count = 0;
      chunk.clear();
    }
    GorillaAppend(&tail, &arena, p.t, p.v);
    chunk.push_back(p);
    ASSERT_EQ(Decode(tail, arena), chunk);
  }
}

TEST(Gorilla, KeepsEveryShortSequenceOfTellingSamples) {
  const int64_t steps[] = {0,   1,     -1,    15000,      127,          -128,
                           128, 32768, 70000, 2147483647, -2147483648LL};
  const uint64_t values[] = {0,
                             1,
                             uint64_t{1} << 63,
                             kStaleNanBits,
                             ~uint64_t{0},
                             std::bit_cast<uint64_t>(1.0)};
  for (int64_t a : steps) {
    for (int64_t b : steps) {
      for (uint64_t u : values) {
        for (uint64_t v : values) {
          ExpectRoundTrip({{1000, u}, {1000 + a, v}, {1000 + a + b, u}});
        }
      }
    }
  }
}

TEST(Gorilla, KeepsExtremeTimes) {
  const int64_t lo = std::numeric_limits<int64_t>::min();
  const int64_t hi = std::numeric_limits<int64_t>::max();
  ExpectRoundTrip({{lo, 1}, {lo + 1, 2}, {0, 3}, {hi - 1, 4}, {hi, 5}});
  ExpectRoundTrip({{hi, 1}, {lo, 1}, {lo + 5, 1}});  // wraps by one
}

TEST(Gorilla, KeepsRunsOfEveryLength) {
  for (int run = 0; run < 130; ++run) {
    std::vector<Point> points;
    for (int i = 0; i <= run; ++i) points.push_back({i * 15000, 42});
    points.push_back({(run + 1) * 15000, 43});
    ExpectRoundTrip(points);
  }
}

TEST(Gorilla, KeepsRandomSamples) {
  std::mt19937_64 random(TestSeed());
  for (int round = 0; round < 300; ++round) {
    std::vector<Point> points;
    int64_t t = static_cast<int64_t>(random());
    uint64_t v = random();
    const unsigned time_kind = random() % 4;
    const unsigned value_kind = random() % 5;
    for (int i = 0; i < 300; ++i) {
      uint64_t step = 15000;
      if (time_kind == 1) step += random() % 7;
      if (time_kind == 2) step = random();
      if (time_kind == 3) step = random() % (uint64_t{1} << 31);
      t = static_cast<int64_t>(static_cast<uint64_t>(t) + step);
      if (value_kind == 1) v = random();
      if (value_kind == 2) {
        v = std::bit_cast<uint64_t>(static_cast<double>(random() % 1000));
      }
      if (value_kind == 3 && random() % 4 == 0) v ^= random() >> random() % 64;
      if (value_kind == 4) v = random() % 2 ? kStaleNanBits : kNormalNanBits;
      points.push_back({t, v});
    }
    ExpectRoundTrip(points);
  }
}

TEST(Gorilla, WorstCaseStaysInsideTheBound) {
  SlabArena arena;
  GorillaTail tail;
  // Every sample needs a 33-bit delta of the delta and a new 64-bit window.
  int64_t t = 0;
  int n = 0;
  while (GorillaFits(tail, t)) {
    GorillaAppend(&tail, &arena, t, n % 2 ? ~uint64_t{0} : uint64_t{0});
    t += ++n % 2 ? 2147483647 : -2147483648LL;
  }
  uint64_t words[kGorillaWordsMax];
  EXPECT_LE(GorillaFinish(tail, arena, words), kGorillaWordsMax);
  EXPECT_GE(n, 15);
}

TEST(Gorilla, ACopyOfTheTailIsASnapshot) {
  SlabArena arena;
  GorillaTail tail;
  std::vector<GorillaTail> copies;
  std::vector<Point> points;
  for (int i = 0; i < 100; ++i) {
    const Point p{i * 15000,
                  std::bit_cast<uint64_t>(static_cast<double>(i / 3 * 7))};
    if (!GorillaFits(tail, p.t)) break;
    GorillaAppend(&tail, &arena, p.t, p.v);
    points.push_back(p);
    copies.push_back(tail);
  }
  for (size_t i = 0; i < copies.size(); ++i) {
    EXPECT_EQ(Decode(copies[i], arena),
              std::vector<Point>(points.begin(), points.begin() + i + 1));
  }
}

TEST(Gorilla, SnapshotsReadWhileTheChunkGrows) {
  SlabArena arena;
  GorillaTail tail;
  GorillaAppend(&tail, &arena, 0, 0);
  std::vector<std::thread> readers;
  for (int i = 1; i < 100 && GorillaFits(tail, i); ++i) {
    GorillaAppend(&tail, &arena, i, static_cast<uint64_t>(i) << 50);
    if (i % 10 != 0) continue;
    readers.emplace_back([copy = tail, &arena, i] {
      const auto points = Decode(copy, arena);
      EXPECT_EQ(points.back(), (Point{i, static_cast<uint64_t>(i) << 50}));
    });
  }
  for (auto& r : readers) r.join();
}

TEST(Gorilla, ASeriesOfTheDayTakesTwoBytesASample) {
  SlabArena arena;
  GorillaTail tail;
  for (int i = 0; i < 120; ++i) {
    ASSERT_TRUE(GorillaFits(tail, i * 15000));
    GorillaAppend(&tail, &arena, i * 15000,
                  std::bit_cast<uint64_t>(static_cast<double>(i / 8 * 5)));
  }
  uint64_t words[kGorillaWordsMax];
  EXPECT_LE(GorillaFinish(tail, arena, words) * 8, 120u);
}

TEST(SlabArena, PiecesDoNotOverlapAndMemoryGoesBack) {
  std::mt19937_64 random(TestSeed());
  SlabArena arena;
  struct Piece {
    SlabArena::Handle handle;
    size_t words;
    uint64_t mark;
  };
  std::vector<Piece> pieces;
  const auto check = [&](const Piece& p) {
    for (size_t i = 0; i < p.words; ++i) {
      ASSERT_EQ(arena.at(p.handle)[i], p.mark + i);
    }
  };
  for (int i = 0; i < 60000; ++i) {
    if (pieces.empty() || random() % 5 < 3) {
      const size_t words =
          1 + (random() % 50 == 0 ? random() % 4096 : random() % 40);
      Piece p{arena.Allocate(words), words, random()};
      for (size_t k = 0; k < words; ++k) arena.at(p.handle)[k] = p.mark + k;
      pieces.push_back(p);
    } else {
      std::swap(pieces[random() % pieces.size()], pieces.back());
      check(pieces.back());
      arena.Free(pieces.back().handle, pieces.back().words);
      pieces.pop_back();
    }
  }
  for (const Piece& p : pieces) {
    check(p);
    arena.Free(p.handle, p.words);
  }
  EXPECT_LE(arena.bytes(), 23 * 128 * 1024);
}

}  // namespace
}  // namespace varve
