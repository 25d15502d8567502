#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <utility>

#include "ingest/write_request.h"
#include "storage/status_macros.h"
#include "tests/support/write_message.h"

namespace varve {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::vector<std::string> kSymbols = {"",  "__name__", "m",    "job",
                                           "a", "trace",    "help", "s"};

std::string Sample(double value, uint64_t time, uint64_t start = 0) {
  ProtoWriter sample;
  sample.Double(1, value).Varint(2, time);
  if (start != 0) sample.Varint(3, start);
  return ProtoWriter().Bytes(2, sample.str()).str();
}

std::string Refs(const std::vector<uint64_t>& refs) {
  return ProtoWriter().PackedVarint(1, refs).str();
}

/// The request has views of the message, which is kept for good.
WriteRequest Walk(std::string message) {
  static std::deque<std::string> messages;
  WriteRequest request;
  const absl::Status status =
      WalkWriteRequestV2(messages.emplace_back(std::move(message)), &request);
  EXPECT_TRUE(status.ok()) << status;
  return request;
}

Labels LabelsOf(const WriteRequest& request, size_t series) {
  auto labels =
      DecodeSeriesLabels(request.series[series].labels, request.symbol_table());
  EXPECT_TRUE(labels.ok()) << labels.status();
  return labels.ok() ? *labels : Labels();
}

std::string LabelError(const std::string& refs) {
  const WriteRequest request = Walk(WriteMessageV2(kSymbols, {refs}));
  return std::string(Message(
      DecodeSeriesLabels(request.series[0].labels, request.symbol_table())
          .status()));
}

TEST(WriteRequestV2Test, WalksSeriesSamplesAndTheRest) {
  const std::string exemplar = ProtoWriter()
                                   .Bytes(4, ProtoWriter()
                                                 .PackedVarint(1, {5, 4})
                                                 .Double(2, 0.5)
                                                 .Varint(3, 77)
                                                 .str())
                                   .str();
  const std::string histogram =
      ProtoWriter().Bytes(3, HistogramMessage(9)).str();
  const WriteRequest request =
      Walk(WriteMessageV2(kSymbols, {Refs({1, 2, 3, 4}) + Sample(1.5, 10) +
                                         Sample(2.5, 20) + exemplar,
                                     Refs({1, 2}) + histogram}));
  ASSERT_EQ(request.series.size(), 2u);
  EXPECT_EQ(LabelsOf(request, 0), (Labels{{"__name__", "m"}, {"job", "a"}}));
  EXPECT_EQ(LabelsOf(request, 1), (Labels{{"__name__", "m"}}));
  EXPECT_EQ(request.series[0].samples_end, 2u);
  EXPECT_EQ(request.series[1].samples_end, 2u);
  EXPECT_THAT(request.timestamps, ElementsAre(10, 20));
  EXPECT_THAT(request.values, ElementsAre(1.5, 2.5));
  EXPECT_THAT(request.start_timestamps, IsEmpty());
  ASSERT_EQ(request.histograms.size(), 1u);
  EXPECT_EQ(request.histograms[0].series, 1u);
  EXPECT_EQ(request.histograms[0].timestamp_ms, 9);
  EXPECT_EQ(request.histograms[0].start_timestamp_ms, kNoStartTimestamp);
  ASSERT_EQ(request.exemplars.size(), 1u);
  EXPECT_EQ(request.exemplars[0].series, 0u);
  EXPECT_EQ(request.exemplars[0].timestamp_ms, 77);
  EXPECT_EQ(*DecodeExemplarLabels(request.exemplars[0].labels,
                                  request.symbol_table()),
            (Labels{{"trace", "a"}}));
  EXPECT_EQ(RawLabelsText(request.series[0].labels, request.symbol_table()),
            "{__name__=\"m\", job=\"a\"}");
}

TEST(WriteRequestV2Test, KeepsStartTimestampsOfSamplesAndHistograms) {
  const std::string histogram =
      ProtoWriter()
          .Bytes(3, HistogramMessage(9) + ProtoWriter().Varint(17, 4).str())
          .str();
  const WriteRequest request = Walk(
      WriteMessageV2(kSymbols, {Refs({1, 2}) + Sample(1, 10),
                                Refs({1, 4}) + Sample(2, 20, 15) + histogram,
                                Refs({1, 3}) + Sample(3, 30)}));
  EXPECT_THAT(request.start_timestamps, ElementsAre(0, 15, 0));
  EXPECT_EQ(request.histograms[0].start_timestamp_ms, 4);
}

TEST(WriteRequestV2Test, TheCreatedTimestampOfASeriesIsThatOfItsSamples) {
  const std::string histogram =
      ProtoWriter().Bytes(3, HistogramMessage(9)).str();
  const std::string created = ProtoWriter().Varint(6, 7).str();
  const WriteRequest request =
      Walk(WriteMessageV2(kSymbols, {Refs({1, 2}) + Sample(1, 10),
                                     Refs({1, 4}) + created + Sample(2, 20) +
                                         Sample(3, 30, 25) + histogram,
                                     Refs({1, 3}) + Sample(4, 40)}));
  EXPECT_THAT(request.start_timestamps, ElementsAre(0, 7, 25, 0));
  EXPECT_EQ(request.histograms[0].start_timestamp_ms, 7);
}

TEST(WriteRequestV2Test, TheKeyIsOfTheTextsNotOfTheirPlaces) {
  const WriteRequest one =
      Walk(WriteMessageV2(kSymbols, {Refs({1, 2, 3, 4}), Refs({1, 2, 3, 2})}));
  // Other places, references one by one, symbols behind the series.
  const std::string unpacked =
      ProtoWriter().Varint(1, 4).Varint(1, 3).Varint(1, 2).Varint(1, 1).str();
  const WriteRequest two =
      Walk(WriteMessageV2({}, {unpacked}) +
           WriteMessageV2({"", "a", "job", "m", "__name__"}, {}));
  EXPECT_EQ(LabelsOf(two, 0), LabelsOf(one, 0));
  EXPECT_EQ(two.series[0].key, one.series[0].key);
  EXPECT_FALSE(one.series[0].key == one.series[1].key);
}

TEST(WriteRequestV2Test, BadReferencesAreErrorsOfTheirSeries) {
  EXPECT_THAT(LabelError(Refs({1, 99})), HasSubstr("symbol 99 of 8"));
  EXPECT_THAT(LabelError(Refs({1, 2, 3})), HasSubstr("is odd"));
  EXPECT_THAT(LabelError(Refs({3, 4})), HasSubstr("metric name is missing"));
  EXPECT_THAT(LabelError(""), HasSubstr("metric name is missing"));
  const std::string cut =
      ProtoWriter().Bytes(1, std::string("\x01\x02\x80", 3)).str();
  EXPECT_THAT(LabelError(cut), HasSubstr("malformed"));
  // What is cached under the key of the whole one must not be found.
  const WriteRequest request =
      Walk(WriteMessageV2(kSymbols, {Refs({1, 2}), cut}));
  EXPECT_FALSE(request.series[0].key == request.series[1].key);
}

TEST(WriteRequestV2Test, FewReferencesDoNotMakeEndlessLabels) {
  std::vector<uint64_t> refs = {1, 1};
  for (int i = 0; i < 4000; ++i) refs.insert(refs.end(), {0, 2});
  const WriteRequest request = Walk(WriteMessageV2(
      {"n", "__name__", std::string(60'000, 'x')}, {Refs(refs)}));
  EXPECT_THAT(Message(DecodeSeriesLabels(request.series[0].labels,
                                         request.symbol_table())
                          .status()),
              HasSubstr("the labels are too long"));
  EXPECT_LT(
      RawLabelsText(request.series[0].labels, request.symbol_table()).size(),
      600u);
}

TEST(WriteRequestV2Test, MetadataStandsOncePerFamily) {
  const auto metadata = [](uint64_t type) {
    return ProtoWriter()
        .Bytes(5, ProtoWriter().Varint(1, type).Varint(3, 2).Varint(4, 3).str())
        .str();
  };
  const WriteRequest request = Walk(WriteMessageV2(
      {"", "__name__", "help", "s", "h_bucket", "h_count", "c_total", "s_sum"},
      {Refs({1, 4}) + metadata(3), Refs({1, 5}) + metadata(3),
       Refs({1, 6}) + metadata(1), Refs({1, 7}) + metadata(5),
       Refs({1, 7}) + metadata(2)}));
  std::vector<std::string> families;
  for (const auto& m : request.metadata) {
    families.push_back(m.family + ":" + m.metadata.type);
  }
  EXPECT_THAT(families, ElementsAre("h:histogram", "c_total:counter",
                                    "s:summary", "s_sum:gauge"));
  EXPECT_EQ(request.metadata[0].metadata, (Metadata{"histogram", "s", "help"}));
}

TEST(WriteRequestV2Test, CutMessagesAreErrors) {
  const std::string message = WriteMessageV2(
      kSymbols, {Refs({1, 2}) + Sample(1.5, 10, 5) +
                 ProtoWriter().Bytes(3, HistogramMessage(9)).str()});
  WriteRequest request;
  const size_t symbols = WriteMessageV2(kSymbols, {}).size();
  for (size_t size = symbols + 1; size < message.size(); ++size) {
    const absl::Status status =
        WalkWriteRequestV2(std::string_view(message).substr(0, size), &request);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << size;
  }
}

}  // namespace
}  // namespace varve
