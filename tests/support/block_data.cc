#include "tests/support/block_data.h"

#include <bit>

#include "storage/check.h"
#include "storage/retention_plan.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

double RandomValue(std::mt19937_64* random, int kind, double last) {
  std::mt19937_64& r = *random;
  switch (kind) {
    case 0:
      return 1;
    case 1:
      return last + static_cast<double>(r() % 10);
    case 2:
      return static_cast<double>(r() % 100000) / 100;
    case 3:
      return std::bit_cast<double>(r());
    default:
      return r() % 10 == 0 ? StaleNan() : last;
  }
}

Labels RandomLabels(std::mt19937_64* random) {
  std::mt19937_64& r = *random;
  static constexpr const char* kMetrics[] = {"up", "http_requests_total",
                                             "node.load", "x"};
  LabelsBuilder labels;
  if (r() % 20 != 0) labels.Set("__name__", kMetrics[r() % 4]);
  if (r() % 4 != 0) labels.Set("job", fmt::format("job{}", r() % 3));
  labels.Set("instance", fmt::format("host-{}:9100", r() % 500));
  if (r() % 3 == 0) labels.Set("A", fmt::format("{}", r() % 40));
  if (r() % 5 == 0) labels.Set("path", fmt::format("/a/{}/\xc3\xbc", r() % 9));
  // Well-formed UTF-8, as ingestion makes sure: `.` matches nothing else.
  if (r() % 10 == 0) labels.Set("odd \"name\"", std::string("\0\x7f", 2));
  return labels.Build();
}

template <typename C>
BasicHistogram<C> RandomBuckets(std::mt19937_64* random) {
  std::mt19937_64& r = *random;
  const auto count = [&] {
    if constexpr (std::is_same_v<C, double>) {
      return r() % 5 == 0 ? std::bit_cast<double>(r())
                          : static_cast<double>(r() % 1000) / 4;
    } else {
      return r() % 20 == 0 ? r() : r() % 1000;
    }
  };
  const auto side = [&](std::vector<HistogramSpan>* spans,
                        std::vector<C>* buckets) {
    for (uint64_t n = r() % 3; n > 0; --n) {
      const HistogramSpan span{static_cast<int32_t>(r() % 20) - 10,
                               static_cast<uint32_t>(r() % 5)};
      spans->push_back(span);
      for (uint32_t i = 0; i < span.length; ++i) buckets->push_back(count());
    }
  };
  BasicHistogram<C> h;
  h.reset_hint = static_cast<ResetHint>(r() % 4);
  h.schema = static_cast<int32_t>(r() % 13) - 4;
  h.zero_threshold = r() % 2 == 0 ? 0 : 2.938735877055719e-39;
  h.zero_count = count();
  h.count = count();
  h.sum = r() % 30 == 0 ? StaleNan() : static_cast<double>(r() % 10000) / 3;
  side(&h.positive_spans, &h.positive_buckets);
  if (r() % 4 == 0) {
    h.schema = kCustomBucketsSchema;
    for (int i = 0; i < 4; ++i) h.custom_values.push_back(i * 0.1);
  } else {
    side(&h.negative_spans, &h.negative_buckets);
  }
  return h;
}

/// The same layout with other counts, as the next sample of a series has.
template <typename C>
void Advance(std::mt19937_64* random, BasicHistogram<C>* h) {
  for (C& bucket : h->positive_buckets)
    bucket += static_cast<C>((*random)() % 5);
  h->count += static_cast<C>((*random)() % 50);
  h->sum += 1.5;
}

/// Gives the series the samples of one that is there.
void Repeat(std::mt19937_64* random, const Labels& labels, MapSource* data) {
  const auto place =
      static_cast<ptrdiff_t>((*random)() % data->series().size());
  const auto points = std::next(data->series().begin(), place)->second;
  for (const auto& [t, p] : points) {
    if (p.histogram == nullptr) {
      data->Add(labels, t, p.value, p.start_timestamp_ms);
    } else {
      data->Add(labels, t, *p.histogram, p.start_timestamp_ms);
    }
  }
}

}  // namespace

Histogram RandomHistogram(std::mt19937_64* random) {
  if ((*random)() % 2 == 0) return RandomBuckets<uint64_t>(random);
  return RandomBuckets<double>(random);
}

MapSource RandomData(const RandomDataOptions& options,
                     std::mt19937_64* random) {
  std::mt19937_64& r = *random;
  MapSource data;
  const int64_t length = options.window.end_ms - options.window.start_ms;
  const int64_t step =
      std::max<int64_t>(1, length / std::max(1, options.samples_max));
  for (int s = 0; s < options.series; ++s) {
    const Labels labels = RandomLabels(random);
    if (s > 0 && r() % 6 == 0) {
      Repeat(random, labels, &data);
      continue;
    }
    const bool histograms = options.histograms && r() % 4 == 0;
    const int kind = static_cast<int>(r() % 5);
    const bool jitter = r() % 3 == 0;
    const bool starts = r() % 4 == 0;
    const auto samples = static_cast<int64_t>(
        r() % static_cast<uint64_t>(options.samples_max) + 1);
    double value = static_cast<double>(r() % 100);
    Histogram h = RandomHistogram(random);
    for (int64_t i = 0; i < samples; ++i) {
      int64_t t = options.window.start_ms + i * step;
      if (jitter) t += static_cast<int64_t>(r() % static_cast<uint64_t>(step));
      if (t >= options.window.end_ms) break;
      const int64_t start =
          starts && r() % 10 != 0 ? options.window.start_ms - 5 : 0;
      if (histograms && r() % 20 != 0) {
        if (r() % 10 == 0) h = RandomHistogram(random);
        std::visit([&](auto& x) { Advance(random, &x); }, h);
        data.Add(labels, t, h, start);
      } else {
        value = RandomValue(random, kind, value);
        data.Add(labels, t, value, start);
      }
    }
  }
  return data;
}

std::vector<Matcher> RandomMatchers(std::mt19937_64* random) {
  std::mt19937_64& r = *random;
  static constexpr const char* kNames[] = {
      "__name__", "job", "instance", "A", "path", "odd \"name\"", "nope"};
  static constexpr const char* kValues[] = {
      "up", "x", "job1", "host-7:9100", "3", "", "node.load", "nothing"};
  static constexpr const char* kRegexes[] = {".*",       ".+",
                                             "up|x",     "job.",
                                             "host-1.*", "host-.*9:9100",
                                             "(a|)",     "",
                                             "[0-9]*",   "/a/[0-4]/.*",
                                             "job1|",    "h.*|u.*",
                                             "nothing",  "host-1[0-9]?:9100"};
  std::vector<Matcher> matchers;
  for (uint64_t n = r() % 4; n > 0; --n) {
    const auto type = static_cast<MatchType>(r() % 4);
    const bool regex =
        type == MatchType::kRegex || type == MatchType::kNotRegex;
    const char* value = regex ? kRegexes[r() % std::size(kRegexes)]
                              : kValues[r() % std::size(kValues)];
    auto matcher =
        Matcher::Create(type, kNames[r() % std::size(kNames)], value);
    VARVE_CHECK(matcher.ok());
    matchers.push_back(*std::move(matcher));
  }
  return matchers;
}

absl::Status AddAll(const MapSource& data, TimeWindow window,
                    size_t chunk_samples, BlockBuilder* builder) {
  for (const auto& [labels, points] : data.series()) {
    std::vector<SampleColumns> chunks;
    for (auto it = points.lower_bound(window.start_ms);
         it != points.end() && it->first < window.end_ms; ++it) {
      const MapSource::Point& p = it->second;
      const auto kind = p.histogram == nullptr
                            ? SampleColumns::Kind::kFloat
                            : SampleColumns::Kind::kHistogram;
      if (chunks.empty() || chunks.back().kind != kind ||
          chunks.back().size() >= chunk_samples) {
        chunks.emplace_back().kind = kind;
      }
      SampleColumns& chunk = chunks.back();
      chunk.timestamps.push_back(it->first);
      chunk.start_timestamps.push_back(p.start_timestamp_ms);
      if (p.histogram == nullptr) {
        chunk.values.push_back(p.value);
      } else {
        chunk.histograms.push_back(p.histogram);
      }
    }
    if (!chunks.empty()) {
      VARVE_RETURN_IF_ERROR(builder->AddSeries(labels, chunks));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<int> DropDaysBefore(BlockStore* store, int64_t time_ms) {
  return store->Drop(
      PlanRetention(store->Blocks(), 0, {.time_ms = 1}, time_ms + 1).expired);
}

}  // namespace varve
