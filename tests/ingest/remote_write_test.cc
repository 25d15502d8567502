#include "ingest/remote_write.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <random>
#include <thread>

#include "storage/status_macros.h"
#include "tests/support/fake_appender.h"
#include "tests/support/write_message.h"

namespace varve {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class RemoteWriteTest : public ::testing::Test {
 protected:
  static RemoteWriteOptions Options(FakeStore* store) {
    RemoteWriteOptions options;
    options.begin_append = [store] { return store->BeginAppend(); };
    options.decoded_bytes_max = 1 << 20;
    return options;
  }
  RemoteWriteResult Write(const std::vector<std::string>& series) {
    return writer_.Write("application/x-protobuf", "snappy",
                         Snappy(WriteMessage(series)));
  }

  FakeStore store_;
  RemoteWriter writer_{Options(&store_)};
};

TEST_F(RemoteWriteTest, StoresAndRemembersSeries) {
  const std::vector<std::string> series = {
      TimeSeries({{"__name__", "m"}, {"b", "2"}, {"a", "1"}}, {{1000, 1}}),
      TimeSeries({{"__name__", "n"}}, {{1000, 2}, {2000, StaleNan()}})};
  const RemoteWriteResult result = Write(series);
  EXPECT_EQ(result.http_status, 204);
  EXPECT_EQ(result.text, "");
  EXPECT_EQ(result.samples_stored, 3);
  const auto* m =
      store_.Find(Labels{{"__name__", "m"}, {"a", "1"}, {"b", "2"}});
  ASSERT_NE(m, nullptr);
  EXPECT_EQ(m->floats.at(1000), 1);
  EXPECT_TRUE(
      IsStaleNan(store_.Find(Labels{{"__name__", "n"}})->floats.at(2000)));
  EXPECT_EQ(store_.resolves, 2);
  // Again: the same samples are no error and nothing is parsed.
  EXPECT_EQ(Write(series).http_status, 204);
  EXPECT_EQ(store_.resolves, 2);
  EXPECT_EQ(writer_.Stats().series_missed, 2);
  EXPECT_EQ(writer_.Stats().samples, 6);
}

TEST_F(RemoteWriteTest, StoresVersion2AndItsStartTimestamps) {
  constexpr char kV2[] =
      "application/x-protobuf;proto=io.prometheus.write.v2.Request";
  const auto sample = [](double value, uint64_t time, uint64_t start) {
    return ProtoWriter()
        .Bytes(2, ProtoWriter()
                      .Double(1, value)
                      .Varint(2, time)
                      .Varint(3, start)
                      .str())
        .str();
  };
  const auto refs = [](const std::vector<uint64_t>& refs) {
    return ProtoWriter().PackedVarint(1, refs).str();
  };
  const std::string body = Snappy(WriteMessageV2(
      {"", "__name__", "m", "n"},
      {refs({1, 9}) + sample(7, 7, 6), refs({1, 2}) + sample(1, 1000, 500),
       refs({1, 3}) + sample(2, 2000, 0)}));
  for (int round = 0; round < 2; ++round) {
    const RemoteWriteResult result = writer_.Write(kV2, "snappy", body);
    EXPECT_EQ(result.http_status, 400);
    EXPECT_TRUE(result.counts_asked);
    EXPECT_EQ(result.samples_stored, 2);
    EXPECT_EQ(result.samples_rejected, 1);
    EXPECT_THAT(result.text, HasSubstr("refers to symbol 9 of 4"));
  }
  EXPECT_EQ(store_.resolves, 2);
  const auto* m = store_.Find(Labels{{"__name__", "m"}});
  EXPECT_EQ(m->floats.at(1000), 1);
  EXPECT_EQ(m->starts.at(1000), 500);
  EXPECT_TRUE(store_.Find(Labels{{"__name__", "n"}})->starts.empty());
}

TEST_F(RemoteWriteTest, ResolvesAgainInANewEpoch) {
  const std::string series = TimeSeries({{"__name__", "m"}}, {{1000, 1}});
  Write({series});
  store_.Collect();
  EXPECT_EQ(Write({series}).http_status, 204);
  EXPECT_EQ(store_.Find(Labels{{"__name__", "m"}})->floats.size(), 1u);
}

TEST_F(RemoteWriteTest, BadSeriesDoNotStopGoodOnes) {
  const RemoteWriteResult result = Write({
      TimeSeries({{"__name__", "m"}, {"a", "1"}, {"a", "2"}}, {{1, 1}, {2, 2}}),
      TimeSeries({{"__name__", "good"}}, {{1, 10}, {2, 20}}),
      TimeSeries({{"x", "y"}}, {{3, 3}}),
      TimeSeries({{"__name__", "better"}}, {{3, 30}}),
  });
  EXPECT_EQ(result.http_status, 400);
  EXPECT_EQ(result.samples_stored, 3);
  EXPECT_EQ(result.samples_rejected, 3);
  EXPECT_THAT(result.text, HasSubstr("3 samples stored, 3 rejected, 2 series"));
  EXPECT_THAT(result.text, HasSubstr("label \"a\" stands twice"));
  EXPECT_THAT(result.text, HasSubstr("{x=\"y\"}: the metric name is missing"));
  const auto* good = store_.Find(Labels{{"__name__", "good"}});
  ASSERT_NE(good, nullptr);
  EXPECT_EQ(good->floats, (std::map<int64_t, double>{{1, 10}, {2, 20}}));
  EXPECT_EQ(store_.Find(Labels{{"__name__", "better"}})->floats.at(3), 30);
  EXPECT_EQ(store_.series_count(), 2u);
}

TEST_F(RemoteWriteTest, NamesRejectedSamples) {
  store_.too_old_ms = 100;
  Write({TimeSeries({{"__name__", "m"}}, {{200, 1}})});
  const RemoteWriteResult result =
      Write({TimeSeries({{"__name__", "m"}}, {{200, 2}, {300, 3}}),
             TimeSeries({{"__name__", "n"}}, {{50, 1}})});
  EXPECT_EQ(result.http_status, 400);
  EXPECT_EQ(result.samples_stored, 1);
  EXPECT_EQ(result.samples_rejected, 2);
  EXPECT_THAT(result.text,
              HasSubstr("{__name__=\"m\"} at 200: duplicate sample"));
  EXPECT_THAT(result.text, HasSubstr("{__name__=\"n\"} at 50: too old"));
  EXPECT_EQ(store_.Find(Labels{{"__name__", "m"}})->floats.at(200), 1);
}

TEST_F(RemoteWriteTest, NamesOnlyTheFirstFew) {
  std::vector<std::string> series;
  for (int i = 0; i < 1000; ++i) {
    series.push_back(TimeSeries({{"a", std::to_string(i)}}, {{1, 1}}));
  }
  const RemoteWriteResult result = Write(series);
  EXPECT_EQ(result.samples_rejected, 1000);
  EXPECT_LT(result.text.size(), 1000u);
}

TEST_F(RemoteWriteTest, HistogramsExemplarsMetadata) {
  const std::string histogram =
      ProtoWriter().Bytes(4, HistogramMessage(9)).str();
  const std::string bad_histogram =
      ProtoWriter().Bytes(4, ProtoWriter().Varint(1, 5).str()).str();
  const std::string exemplar =
      ProtoWriter()
          .Bytes(3, LabelFields({{"trace", "t"}}) +
                        ProtoWriter().Double(2, 0.5).Varint(3, 77).str())
          .str();
  const std::string metadata =
      ProtoWriter()
          .Bytes(3, ProtoWriter().Varint(1, 2).Bytes(2, "m").str())
          .str();
  const RemoteWriteResult result = writer_.Write(
      "", "",
      Snappy(WriteMessage({TimeSeries({{"__name__", "m"}}, {{1, 1}},
                                      histogram + exemplar + bad_histogram)}) +
             metadata));
  EXPECT_EQ(result.http_status, 400);
  EXPECT_EQ(result.samples_stored, 1);
  EXPECT_EQ(result.histograms_stored, 1);
  EXPECT_EQ(result.exemplars_stored, 1);
  EXPECT_EQ(result.samples_rejected, 1);
  EXPECT_THAT(result.text, HasSubstr("its count is 5"));
  const auto* m = store_.Find(Labels{{"__name__", "m"}});
  EXPECT_EQ(m->histograms.count(9), 1u);
  ASSERT_EQ(m->exemplars.size(), 1u);
  EXPECT_EQ(m->exemplars[0].labels, (Labels{{"trace", "t"}}));
  EXPECT_EQ(store_.metadata().at("m").type, "gauge");
}

TEST_F(RemoteWriteTest, ContentTypesAndEncodings) {
  const std::string body =
      Snappy(WriteMessage({TimeSeries({{"__name__", "m"}}, {{1, 1}})}));
  const auto status = [&](std::string_view type, std::string_view encoding) {
    return writer_.Write(type, encoding, body);
  };
  EXPECT_EQ(status("", "").http_status, 204);
  EXPECT_EQ(
      status("application/x-protobuf;proto=prometheus.WriteRequest", "snappy")
          .http_status,
      204);
  EXPECT_EQ(
      status("Application/X-Protobuf ; charset=utf-8", "Snappy").http_status,
      204);
  const auto v2 = status(
      "application/x-protobuf; proto=io.prometheus.write.v2.Request", "snappy");
  EXPECT_EQ(v2.http_status, 204);
  EXPECT_TRUE(v2.counts_asked);
  EXPECT_FALSE(status("application/x-protobuf", "snappy").counts_asked);
  EXPECT_EQ(status("application/x-protobuf;proto=x", "").http_status, 415);
  EXPECT_EQ(status("text/plain", "snappy").http_status, 415);
  EXPECT_EQ(status("application/json", "").http_status, 415);
  EXPECT_THAT(status("", "gzip").text,
              HasSubstr("Content-Encoding is \"gzip\""));
  EXPECT_EQ(status("", "zstd").http_status, 415);
}

TEST_F(RemoteWriteTest, CorruptBodiesAreRefusedWhole) {
  const std::string good =
      Snappy(WriteMessage({TimeSeries({{"__name__", "m"}}, {{1, 1}})}));
  for (size_t size = 0; size < good.size(); ++size) {
    const auto result = writer_.Write("", "", good.substr(0, size));
    EXPECT_EQ(result.http_status, 400) << size;
    EXPECT_THAT(result.text, HasSubstr("snappy")) << size;
  }
  EXPECT_EQ(store_.commits, 0);
  EXPECT_THAT(writer_.Write("", "", Snappy("\xff\xff")).text,
              HasSubstr("malformed protobuf at byte 0"));
  // An empty message is a good one.
  EXPECT_EQ(writer_.Write("", "", Snappy("")).http_status, 204);
}

TEST_F(RemoteWriteTest, SizesAreCheckedBeforeMemoryIsTaken) {
  // 4 GB promised by a few bytes.
  const auto lie = writer_.Write("", "", "\xff\xff\xff\xff\x0f");
  EXPECT_EQ(lie.http_status, 413);
  EXPECT_THAT(lie.text, HasSubstr("4294967295 bytes decompressed"));
  const auto smaller_lie = writer_.Write("", "", "\xff\xff\x0f\x00");
  EXPECT_EQ(smaller_lie.http_status, 400);
  EXPECT_THAT(smaller_lie.text, HasSubstr("cannot become"));
  const auto large = writer_.Write("", "", Snappy(std::string(2 << 20, 'x')));
  EXPECT_EQ(large.http_status, 413);
  // As dense as snappy gets is still read.
  EXPECT_THAT(writer_.Write("", "", Snappy(std::string(1 << 20, '\x08'))).text,
              Not(HasSubstr("snappy")));
}

TEST_F(RemoteWriteTest, StorageThatRefusesIsA503) {
  store_.commit_status = ResourceExhausted("no space left on the device");
  auto result = Write({TimeSeries({{"__name__", "m"}}, {{1, 1}})});
  EXPECT_EQ(result.http_status, 503);
  EXPECT_THAT(result.text, HasSubstr("no space left"));
  EXPECT_EQ(result.samples_stored, 0);
  store_.commit_status = Unavailable("an I/O error");
  EXPECT_EQ(Write({TimeSeries({{"__name__", "m"}}, {{1, 1}})}).http_status,
            503);
  store_.commit_status = Internal("a bug");
  EXPECT_EQ(Write({TimeSeries({{"__name__", "m"}}, {{1, 1}})}).http_status,
            500);
  store_.commit_status = absl::OkStatus();
  store_.resolve_status = Unavailable("an I/O error");
  EXPECT_EQ(Write({TimeSeries({{"__name__", "n"}}, {{1, 1}})}).http_status,
            503);
  store_.resolve_status = absl::OkStatus();
  EXPECT_EQ(Write({TimeSeries({{"__name__", "n"}}, {{1, 1}})}).http_status,
            204);
}

TEST_F(RemoteWriteTest, ManyThreads) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this, t] {
      for (int round = 0; round < 20; ++round) {
        std::vector<std::string> series;
        for (int i = 0; i < 50; ++i) {
          series.push_back(TimeSeries({{"__name__", "m"},
                                       {"i", std::to_string(i)},
                                       {"t", std::to_string(t % 2)}},
                                      {{round, static_cast<double>(i)}}));
        }
        EXPECT_EQ(Write(series).http_status, 204);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(store_.series_count(), 100u);
  for (int i = 0; i < 50; ++i) {
    const auto* s = store_.Find(
        Labels{{"__name__", "m"}, {"i", std::to_string(i)}, {"t", "0"}});
    ASSERT_NE(s, nullptr);
    EXPECT_EQ(s->floats.size(), 20u);
    EXPECT_EQ(s->floats.begin()->second, i);
  }
}

}  // namespace
}  // namespace varve
