#include "tests/support/source_content.h"

#include <fmt/format.h>

#include <bit>

namespace varve {
namespace {

std::string Start(int64_t start_timestamp_ms) {
  return start_timestamp_ms == kNoStartTimestamp
             ? ""
             : fmt::format("@{}", start_timestamp_ms);
}

template <typename Count>
std::string PrintCounts(const std::vector<Count>& counts) {
  std::string out;
  for (const Count& c : counts) {
    out += fmt::format("{:x},", std::bit_cast<uint64_t>(c));
  }
  return out;
}

std::string PrintSpans(const std::vector<HistogramSpan>& spans) {
  std::string out;
  for (const auto& span : spans) {
    out += fmt::format("{}+{},", span.offset, span.length);
  }
  return out;
}

void ReadSeries(SeriesCursor* cursor, int64_t start_ms, int64_t end_ms,
                std::map<int64_t, std::string>* out) {
  SampleColumns batch;
  while (true) {
    const auto more = cursor->Next(&batch);
    ASSERT_TRUE(more.ok()) << more.status();
    if (!*more) return;
    ASSERT_GT(batch.size(), 0u);
    const bool floats = batch.kind == SampleColumns::Kind::kFloat;
    ASSERT_EQ(batch.values.size(), floats ? batch.size() : 0);
    ASSERT_EQ(batch.histograms.size(), floats ? 0 : batch.size());
    for (size_t i = 0; i < batch.size(); ++i) {
      const int64_t t = batch.timestamps[i];
      ASSERT_TRUE(out->empty() || t > out->rbegin()->first) << t;
      ASSERT_GE(t, start_ms);
      ASSERT_LE(t, end_ms);
      const int64_t start = batch.start_timestamps.empty()
                                ? kNoStartTimestamp
                                : batch.start_timestamps[i];
      (*out)[t] = floats ? PrintFloat(batch.values[i], start)
                         : PrintHistogram(*batch.histograms[i], start);
    }
  }
}

}  // namespace

std::string PrintFloat(double value, int64_t start_timestamp_ms) {
  return fmt::format("f{:x}{}", std::bit_cast<uint64_t>(value),
                     Start(start_timestamp_ms));
}

std::string PrintHistogram(const Histogram& histogram,
                           int64_t start_timestamp_ms) {
  return std::visit(
      [&](const auto& h) {
        return fmt::format(
            "h{}/{}/{}/{:x}/{:x}/{:x}/{:x}/{}/{}/{}/{}/{}{}", histogram.index(),
            static_cast<int>(h.reset_hint), h.schema,
            std::bit_cast<uint64_t>(h.zero_threshold),
            std::bit_cast<uint64_t>(h.zero_count),
            std::bit_cast<uint64_t>(h.count), std::bit_cast<uint64_t>(h.sum),
            PrintSpans(h.positive_spans), PrintSpans(h.negative_spans),
            PrintCounts(h.positive_buckets), PrintCounts(h.negative_buckets),
            PrintCounts(h.custom_values), Start(start_timestamp_ms));
      },
      histogram);
}

SourceContent ReadContent(const SeriesSource& source, int64_t start_ms,
                          int64_t end_ms,
                          const std::vector<Matcher>& matchers) {
  SourceContent out;
  QueryContext context;
  SelectHints hints;
  hints.start_ms = start_ms;
  hints.end_ms = end_ms;
  auto set = source.Select(context, matchers, hints);
  EXPECT_TRUE(set.ok()) << set.status();
  if (!set.ok()) return out;
  Labels last;
  bool first = true;
  while (true) {
    const auto more = (*set)->Next();
    EXPECT_TRUE(more.ok()) << more.status();
    if (!more.ok() || !*more) break;
    const Labels labels = (*set)->labels();
    EXPECT_TRUE(first || SeriesLess(last, labels)) << labels.ToString();
    first = false;
    last = labels;
    std::map<int64_t, std::string> samples;
    ReadSeries((*set)->Cursor().get(), start_ms, end_ms, &samples);
    if (!samples.empty()) out[labels.ToString()] = std::move(samples);
  }
  EXPECT_EQ(context.warnings(), std::vector<std::string>());
  return out;
}

}  // namespace varve
