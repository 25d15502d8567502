#include "storage/checkpoint_record.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/support/seed.h"

namespace varve {
namespace {

const LabelView kPairs[] = {{"__name__", "up"}, {"job", "a"}, {"job", "b"}};

/// Two series: one with an open and two closed chunks, one that only says what
/// its newest sample was.
std::string Payload() {
  CheckpointEncoder encoder([](uint32_t id) { return kPairs[id / 10]; });
  const uint64_t words[] = {1, 2, 3, 4, 5, 6};
  const CheckpointChunk closed[] = {{100, 200, 3, std::span(words, 2)},
                                    {300, 300, 1, std::span(words + 2, 1)}};
  const uint32_t first[] = {0, 10};
  CheckpointSeries series;
  series.ref = 7;
  series.labels = first;
  series.has_last = true;
  series.tail.first_t = 400;
  series.tail.last_t = 500;
  series.tail.last_v = 0x3ff0000000000000;
  series.tail.acc = 5;
  series.tail.delta = -1;
  series.tail.count = 2;
  series.tail.words = 3;
  series.tail.run = 1;
  series.tail.acc_bits = 3;
  series.tail.lead = 4;
  series.tail.width = 60;
  series.tail_words = std::span(words + 3, 3);
  series.closed = closed;
  encoder.Add(series);
  const uint32_t second[] = {0, 20};
  CheckpointSeries idle;
  idle.ref = 3;
  idle.labels = second;
  idle.has_last = true;
  idle.tail.last_t = -9;
  idle.tail.last_v = 77;
  encoder.Add(idle);
  std::string payload;
  encoder.Finish(&payload);
  EXPECT_TRUE(encoder.empty());
  return payload;
}

TEST(CheckpointRecord, GivesBackWhatWasPutIn) {
  CheckpointDecoder decoder;
  const std::string payload = Payload();
  ASSERT_TRUE(decoder.Decode(payload).ok());
  ASSERT_EQ(decoder.pairs().size(), 3u);
  EXPECT_EQ(decoder.pairs()[1].label, (LabelView{"job", "a"}));
  EXPECT_EQ(decoder.pairs()[1].packed,
            "\x03job\x01"
            "a");
  ASSERT_EQ(decoder.series().size(), 2u);
  const CheckpointSeries& s = decoder.series()[0];
  EXPECT_EQ(s.ref, 7u);
  EXPECT_EQ(std::vector<uint32_t>(s.labels.begin(), s.labels.end()),
            (std::vector<uint32_t>{0, 1}));
  EXPECT_TRUE(s.has_last);
  EXPECT_EQ(s.tail.first_t, 400);
  EXPECT_EQ(s.tail.last_t, 500);
  EXPECT_EQ(s.tail.last_v, 0x3ff0000000000000u);
  EXPECT_EQ(s.tail.acc, 5u);
  EXPECT_EQ(s.tail.delta, -1);
  EXPECT_EQ(s.tail.count, 2);
  EXPECT_EQ(s.tail.run, 1);
  EXPECT_EQ(s.tail.acc_bits, 3);
  EXPECT_EQ(s.tail.lead, 4);
  EXPECT_EQ(s.tail.width, 60);
  ASSERT_EQ(s.tail_words.size(), 3u);
  EXPECT_EQ(s.tail_words[2], 6u);
  ASSERT_EQ(s.closed.size(), 2u);
  EXPECT_EQ(s.closed[0].words[1], 2u);
  EXPECT_EQ(s.closed[1].first_t, 300);
  EXPECT_EQ(s.closed[1].words[0], 3u);
  const CheckpointSeries& idle = decoder.series()[1];
  EXPECT_EQ(idle.ref, 3u);
  EXPECT_EQ(idle.tail.count, 0);
  EXPECT_EQ(idle.tail.last_t, -9);
  EXPECT_EQ(idle.tail.last_v, 77u);
  EXPECT_TRUE(idle.closed.empty());
}

TEST(CheckpointRecord, ACutPayloadIsMalformed) {
  CheckpointDecoder decoder;
  const std::string payload = Payload();
  for (size_t size = 0; size < payload.size(); ++size) {
    EXPECT_EQ(decoder.Decode(payload.substr(0, size)).code(),
              absl::StatusCode::kDataLoss)
        << size;
  }
  EXPECT_FALSE(decoder.Decode(payload + "x").ok());
}

TEST(CheckpointRecord, ImpossibleValuesAreMalformed) {
  std::mt19937_64 random(TestSeed());
  const std::string payload = Payload();
  for (int i = 0; i < 20'000; ++i) {
    std::string bad = payload;
    for (uint64_t n = 1 + random() % 3; n > 0; --n) {
      bad[random() % bad.size()] = static_cast<char>(random());
    }
    CheckpointDecoder decoder;
    if (!decoder.Decode(bad).ok()) continue;
    for (const CheckpointSeries& s : decoder.series()) {
      ASSERT_LE(s.tail.count, kGorillaSamplesMax);
      ASSERT_EQ(s.tail_words.size(), s.tail.words);
      ASSERT_LE(s.tail.words, kGorillaWordsMax - 2);
      int64_t previous = std::numeric_limits<int64_t>::min();
      for (const CheckpointChunk& chunk : s.closed) {
        ASSERT_TRUE(&chunk == &s.closed[0] || chunk.first_t > previous);
        previous = chunk.last_t;
        ASSERT_LE(chunk.first_t, chunk.last_t);
        ASSERT_LE(chunk.words.size(), kGorillaWordsMax);
      }
      std::string_view last;
      for (const uint32_t pair : s.labels) {
        const LabelView label = decoder.pairs()[pair].label;
        ASSERT_TRUE(pair == s.labels[0] || label.name > last);
        last = label.name;
        ASSERT_FALSE(label.value.empty());
      }
    }
  }
}

}  // namespace
}  // namespace varve
