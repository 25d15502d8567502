#include "ingest/write_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>

#include "storage/status_macros.h"
#include "tests/support/write_message.h"

namespace varve {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string ErrorOf(const absl::Status& status) {
  return std::string(Message(status));
}

TEST(WriteRequestTest, WalksSeriesSamplesAndTheRest) {
  const std::string exemplar =
      ProtoWriter()
          .Bytes(3, LabelFields({{"trace", "t"}}) +
                        ProtoWriter().Double(2, 0.5).Varint(3, 77).str())
          .str();
  const std::string histogram =
      ProtoWriter().Bytes(4, HistogramMessage(9)).str();
  const std::string metadata =
      ProtoWriter().Varint(1, 1).Bytes(2, "m").Bytes(4, "help").str();
  const std::string message =
      WriteMessage({TimeSeries({{"__name__", "m"}}, {{1, 1.5}, {2, 2.5}}),
                    TimeSeries({{"__name__", "n"}}, {{3, 3.5}}, exemplar),
                    TimeSeries({{"__name__", "h"}}, {}, histogram)}) +
      ProtoWriter().Bytes(3, metadata).Varint(9, 1).str();
  WriteRequest request;
  ASSERT_TRUE(WalkWriteRequest(message, &request).ok());
  ASSERT_EQ(request.series.size(), 3u);
  EXPECT_EQ(request.series[0].samples_end, 2u);
  EXPECT_EQ(request.series[1].samples_end, 3u);
  EXPECT_EQ(request.series[2].samples_end, 3u);
  EXPECT_THAT(request.timestamps, ElementsAre(1, 2, 3));
  EXPECT_THAT(request.values, ElementsAre(1.5, 2.5, 3.5));
  EXPECT_EQ(*DecodeSeriesLabels(request.series[1].labels),
            (Labels{{"__name__", "n"}}));
  ASSERT_EQ(request.exemplars.size(), 1u);
  EXPECT_EQ(request.exemplars[0].series, 1u);
  EXPECT_EQ(request.exemplars[0].timestamp_ms, 77);
  EXPECT_EQ(*DecodeExemplarLabels(request.exemplars[0].labels),
            (Labels{{"trace", "t"}}));
  ASSERT_EQ(request.histograms.size(), 1u);
  EXPECT_EQ(request.histograms[0].series, 2u);
  EXPECT_NE(request.histograms[0].histogram, nullptr);
  ASSERT_EQ(request.metadata.size(), 1u);
  EXPECT_EQ(request.metadata[0].metadata, (Metadata{"counter", "", "help"}));
}

TEST(WriteRequestTest, LabelsBehindSamplesAreTheSameSeries) {
  const std::string message =
      WriteMessage({LabelFields({{"__name__", "m"}}) + SampleField({1, 1}) +
                        LabelFields({{"a", "b"}}),
                    TimeSeries({{"__name__", "m"}, {"a", "b"}}, {{2, 2}})});
  WriteRequest request;
  ASSERT_TRUE(WalkWriteRequest(message, &request).ok());
  ASSERT_EQ(request.series.size(), 2u);
  EXPECT_EQ(request.series[0].key, request.series[1].key);
  EXPECT_EQ(request.series[0].labels, request.series[1].labels);
}

TEST(WriteRequestTest, KeepsTheBitsOfValuesAndNegativeTimes) {
  const double stale = StaleNan();
  const std::string message = WriteMessage(
      {TimeSeries({{"__name__", "m"}}, {{-5, stale}, {INT64_MIN, -0.0}})});
  WriteRequest request;
  ASSERT_TRUE(WalkWriteRequest(message, &request).ok());
  EXPECT_THAT(request.timestamps, ElementsAre(-5, INT64_MIN));
  EXPECT_EQ(std::bit_cast<uint64_t>(request.values[0]), kStaleNanBits);
  EXPECT_EQ(std::bit_cast<uint64_t>(request.values[1]), uint64_t{1} << 63);
}

TEST(WriteRequestTest, SamplesInAnyLayout) {
  const auto sample = [](const ProtoWriter& fields) {
    return ProtoWriter().Bytes(2, fields.str()).str();
  };
  const std::string message = WriteMessage(
      {LabelFields({{"__name__", "m"}}) +
       sample(ProtoWriter().Varint(2, 1).Double(1, 1.5)) +
       sample(ProtoWriter().Double(1, 2.5)) + sample(ProtoWriter()) +
       sample(ProtoWriter().Double(1, 3.5).Varint(2, 4).Varint(3, 9)) +
       sample(ProtoWriter().Double(1, 4.5).Varint(2, 5).Varint(2, 6)) +
       sample(ProtoWriter().Double(1, 5.5).Varint(2, 0))});
  WriteRequest request;
  ASSERT_TRUE(WalkWriteRequest(message, &request).ok());
  EXPECT_THAT(request.timestamps, ElementsAre(1, 0, 0, 4, 6, 0));
  EXPECT_THAT(request.values, ElementsAre(1.5, 2.5, 0, 3.5, 4.5, 5.5));
}

TEST(WriteRequestTest, EveryTruncationIsAnErrorOrFewerSeries) {
  const std::string message = WriteMessage(
      {TimeSeries({{"__name__", "m"}, {"a", "b"}}, {{1, 1.5}}),
       TimeSeries({{"__name__", "h"}}, {},
                  ProtoWriter().Bytes(4, HistogramMessage(9)).str())});
  const std::string first =
      WriteMessage({TimeSeries({{"__name__", "m"}, {"a", "b"}}, {{1, 1.5}})});
  for (size_t size = 0; size < message.size(); ++size) {
    WriteRequest request;
    const absl::Status status =
        WalkWriteRequest(std::string_view(message).substr(0, size), &request);
    EXPECT_EQ(status.ok(), size == 0 || size == first.size()) << size;
    if (!status.ok()) {
      EXPECT_THAT(ErrorOf(status), HasSubstr("malformed protobuf at byte"));
    }
  }
}

TEST(WriteRequestTest, RefusesGroupsFieldZeroAndEndlessVarints) {
  WriteRequest request;
  for (const std::string& bad :
       {std::string("\x0b"), std::string("\x00\x00", 2),
        std::string(11, '\xff'), std::string("\x0e\x00", 2)}) {
    EXPECT_FALSE(WalkWriteRequest(bad, &request).ok());
  }
}

TEST(WriteRequestTest, LabelsByPrometheussRules) {
  const auto decode = [](const MessageLabels& labels) {
    return DecodeSeriesLabels(LabelFields(labels));
  };
  const auto error = [&](const MessageLabels& labels) {
    return ErrorOf(decode(labels).status());
  };
  // Any order, an empty value is no label, UTF-8 names.
  EXPECT_EQ(*decode({{"z", "1"}, {"__name__", "m"}, {"e", ""}, {"a.b", "ü"}}),
            (Labels{{"__name__", "m"}, {"a.b", "ü"}, {"z", "1"}}));
  EXPECT_EQ(error({{"a", "b"}}), "the metric name is missing or empty");
  EXPECT_EQ(error({{"__name__", ""}}), "the metric name is missing or empty");
  EXPECT_EQ(error({{"__name__", "m"}, {"", "b"}}), "a label name is empty");
  EXPECT_EQ(error({{"__name__", "m"}, {"a", "1"}, {"a", "1"}}),
            "label \"a\" stands twice");
  EXPECT_EQ(error({{"__name__", "m"}, {"a", ""}, {"a", "1"}}),
            "label \"a\" stands twice");
  EXPECT_THAT(error({{"__name__", "m"}, {"\xff", "1"}}),
              HasSubstr("is not UTF-8"));
  EXPECT_THAT(error({{"__name__", "m"}, {"a", "\xc3"}}),
              HasSubstr("the value of label \"a\" is not UTF-8"));
  EXPECT_THAT(error({{"__name__", "\xff"}}), HasSubstr("is not UTF-8"));
  EXPECT_TRUE(DecodeExemplarLabels("")->empty());
}

TEST(WriteRequestTest, MemoryIsBoundedWhateverTheFields) {
  // Two bytes each, that would become objects of 16 to 300 bytes.
  WriteRequest request;
  for (const auto& [tag, count] :
       {std::pair("\x12", 2'200'000), std::pair("\x1a", 360'000),
        std::pair("\x22", 140'000)}) {
    std::string series;
    for (int i = 0; i < count; ++i) series.append(tag, 1).push_back('\0');
    const absl::Status status =
        WalkWriteRequest(WriteMessage({series}), &request);
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  }
  std::string message;
  for (int i = 0; i < 530'000; ++i) message.append("\x0a\0", 2);
  EXPECT_THAT(ErrorOf(WalkWriteRequest(message, &request)),
              HasSubstr("the request holds too much: 5242"));
  message.clear();
  for (int i = 0; i < 270'000; ++i) message.append("\x1a\x03\x12\x01m", 5);
  EXPECT_THAT(ErrorOf(WalkWriteRequest(message, &request)),
              HasSubstr(" 262145 metadata; send it in parts"));
}

TEST(WriteRequestTest, LongLabelsAreRefused) {
  const std::string text(70000, 'x');
  EXPECT_TRUE(DecodeSeriesLabels(
                  LabelFields({{"__name__", "m"}, {"a", text.substr(9000)}}))
                  .ok());
  EXPECT_THAT(
      ErrorOf(DecodeSeriesLabels(
                  LabelFields({{"__name__", "m"}, {"a", text}, {"b", text}}))
                  .status()),
      HasSubstr("the labels are too long"));
}

TEST(WriteRequestTest, RawLabelsTextIsBounded) {
  EXPECT_EQ(RawLabelsText(LabelFields({{"b", "1"}, {"", "\n"}})),
            "{b=\"1\", \"\"=\"\\n\"}");
  MessageLabels many;
  for (int i = 0; i < 1000; ++i) many.push_back({std::string(1000, 'x'), "y"});
  EXPECT_LT(RawLabelsText(LabelFields(many)).size(), 500u);
  EXPECT_EQ(RawLabelsText("\xff"), "{}");
}

std::string HistogramError(const std::string& message) {
  int64_t t = 0;
  return ErrorOf(DecodeHistogram(message, &t).status());
}

TEST(WriteHistogramTest, ReadsIntegerHistograms) {
  int64_t t = 0;
  auto got = DecodeHistogram(HistogramMessage(123), &t);
  ASSERT_TRUE(got.ok());
  EXPECT_EQ(t, 123);
  IntHistogram want;
  want.schema = 1;
  want.zero_threshold = 0.001;
  want.zero_count = 1;
  want.count = 7;
  want.sum = 12.5;
  want.positive_spans = {{-2, 3}};
  want.positive_buckets = {1, 3, 2};
  EXPECT_TRUE(BitEqual(**got, Histogram(want)));
}

TEST(WriteHistogramTest, ReadsFloatAndCustomHistograms) {
  int64_t t = 0;
  // count_float is present even if 0; that makes it a float histogram.
  auto got = DecodeHistogram(
      ProtoWriter().Double(2, 0).Double(3, StaleNan()).Varint(15, 5).str(), &t);
  ASSERT_TRUE(got.ok());
  ASSERT_TRUE(std::holds_alternative<FloatHistogram>(**got));
  EXPECT_TRUE(IsStale(**got));

  const std::string span = ProtoWriter().Varint(2, 2).str();
  got = DecodeHistogram(ProtoWriter()
                            .Varint(1, 3)
                            .Double(3, 4)
                            .ZigZag(4, -53)
                            .Bytes(11, span)
                            .PackedZigZag(12, {1, 1})
                            .PackedDouble(16, {0.5})
                            .Varint(14, 3)
                            .str(),
                        &t);
  ASSERT_TRUE(got.ok()) << got.status();
  const auto& h = std::get<IntHistogram>(**got);
  EXPECT_EQ(h.schema, kCustomBucketsSchema);
  EXPECT_EQ(h.reset_hint, ResetHint::kGauge);
  EXPECT_THAT(h.custom_values, ElementsAre(0.5));
  EXPECT_THAT(h.positive_buckets, ElementsAre(1, 2));
}

TEST(WriteHistogramTest, RefusesWhatDoesNotFit) {
  const std::string span = ProtoWriter().Varint(2, 2).str();
  EXPECT_THAT(
      HistogramError(ProtoWriter().Bytes(11, span).PackedZigZag(12, {1}).str()),
      HasSubstr("name 2 buckets, but it has 1"));
  EXPECT_THAT(
      HistogramError(
          ProtoWriter().Bytes(11, span).PackedZigZag(12, {1, -2}).str()),
      HasSubstr("positive bucket 2 of the histogram is negative"));
  EXPECT_THAT(HistogramError(ProtoWriter()
                                 .Varint(1, 5)
                                 .Bytes(11, span)
                                 .PackedZigZag(12, {1, 1})
                                 .str()),
              HasSubstr("hold 3 observations, its count is 5"));
  EXPECT_THAT(HistogramError(ProtoWriter().ZigZag(4, 9).str()),
              HasSubstr("schema 9"));
  EXPECT_THAT(HistogramError(ProtoWriter().PackedDouble(16, {1}).str()),
              HasSubstr("exponential buckets has custom bounds"));
  EXPECT_THAT(HistogramError(
                  ProtoWriter().ZigZag(4, -53).PackedDouble(16, {2, 1}).str()),
              HasSubstr("do not ascend"));
  EXPECT_THAT(
      HistogramError(
          ProtoWriter().ZigZag(4, -53).PackedDouble(16, {HUGE_VAL}).str()),
      HasSubstr("is inf"));
  EXPECT_THAT(HistogramError(ProtoWriter().Double(2, -1).str()),
              HasSubstr("count is negative"));
  const std::string far = ProtoWriter().ZigZag(1, INT32_MAX).Varint(2, 2).str();
  EXPECT_THAT(HistogramError(
                  ProtoWriter().Bytes(11, far).PackedZigZag(12, {1, 1}).str()),
              HasSubstr("offset"));
  const std::string low = ProtoWriter().ZigZag(1, INT32_MIN).Varint(2, 1).str();
  EXPECT_THAT(
      HistogramError(ProtoWriter().Bytes(11, low).PackedZigZag(12, {1}).str()),
      HasSubstr("offset -2147483648"));
  std::vector<int64_t> many(size_t{1} << 17, 0);
  const std::string wide = ProtoWriter().Varint(2, many.size()).str();
  EXPECT_THAT(HistogramError(
                  ProtoWriter().Bytes(11, wide).PackedZigZag(12, many).str()),
              HasSubstr("more than 65536 positive buckets"));
  EXPECT_EQ(HistogramError("\xff"), "malformed histogram");
}

}  // namespace
}  // namespace varve
