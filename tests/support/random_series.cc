#include "tests/support/random_series.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

namespace varve {
namespace {

/// A histogram that grows by observations.
struct GrowingHistogram {
  int32_t schema = 0;
  std::map<int32_t, uint64_t> positive;
  std::map<int32_t, uint64_t> negative;
  std::vector<double> custom_values;
  uint64_t zeros = 0;
  uint64_t count = 0;
  double sum = 0;
};

template <typename Count>
void SetBuckets(const std::map<int32_t, uint64_t>& buckets,
                std::vector<HistogramSpan>* spans, std::vector<Count>* counts) {
  int32_t next = 0;
  for (const auto& [index, count] : buckets) {
    if (spans->empty() || index != next) {
      spans->push_back({index - next, 0});
    }
    ++spans->back().length;
    counts->push_back(static_cast<Count>(count));
    next = index + 1;
  }
}

template <typename Count>
BasicHistogram<Count> Snapshot(const GrowingHistogram& h) {
  BasicHistogram<Count> out;
  out.schema = h.schema;
  out.zero_threshold = h.schema == kCustomBucketsSchema ? 0 : 0.001;
  out.zero_count = static_cast<Count>(h.zeros);
  out.count = static_cast<Count>(h.count);
  out.sum = h.sum;
  SetBuckets(h.positive, &out.positive_spans, &out.positive_buckets);
  SetBuckets(h.negative, &out.negative_spans, &out.negative_buckets);
  out.custom_values = h.custom_values;
  return out;
}

class Maker {
 public:
  Maker(uint64_t seed, const RandomSeriesOptions& options, MapSource* source)
      : random_(seed), options_(options), source_(source) {}

  void Floats();
  void Histograms();

 private:
  enum class Shape : uint8_t { kCounter, kGauge, kWhole, kWild, kOnOff };

  /// Calls sample(t) at the times of a series: irregular, with gaps.
  template <typename Sample>
  void AtTimes(uint64_t one_gap_in, Sample sample) {
    const bool regular = random_.OneIn(3);
    const auto spread = static_cast<uint64_t>(options_.interval_ms);
    const int64_t phase =
        regular ? 0 : static_cast<int64_t>(random_.Below(spread));
    for (int64_t t = options_.start_ms + phase; t <= options_.end_ms;
         t += options_.interval_ms) {
      if (random_.OneIn(one_gap_in)) {
        t += options_.interval_ms * static_cast<int64_t>(random_.Below(30));
      }
      const int64_t jitter =
          regular ? 0 : static_cast<int64_t>(random_.Below(spread - 1));
      if (t + jitter <= options_.end_ms) sample(t + jitter);
    }
  }

  void FloatSeries(const Labels& labels, Shape shape);
  double NextFloat(Shape shape, double before);
  double WildFloat();
  void ClassicHistogram(const std::string& job);
  void Observe(GrowingHistogram* h);
  void HistogramSeries(const Labels& labels, bool gauge, bool custom,
                       bool mixed);
  void AddHistogram(const Labels& labels, int64_t t, GrowingHistogram* h,
                    bool gauge);

  RandomNumbers random_;
  const RandomSeriesOptions options_;
  MapSource* const source_;
};

double Maker::WildFloat() {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const double kValues[] = {std::numeric_limits<double>::quiet_NaN(),
                            kInfinity,
                            -kInfinity,
                            0.0,
                            -0.0,
                            1e308,
                            -1e308,
                            5e-324,
                            1e-9,
                            1e17,
                            -3.5,
                            0.1,
                            0.2,
                            0.3,
                            2};
  return kValues[random_.Below(std::size(kValues))];
}

double Maker::NextFloat(Shape shape, double before) {
  switch (shape) {
    case Shape::kCounter:
      if (random_.OneIn(25)) return static_cast<double>(random_.Below(3));
      return before + static_cast<double>(random_.Below(1000)) / 8;
    case Shape::kGauge:
      return random_.OneIn(4) ? before : random_.Fraction() * 200 - 100;
    case Shape::kWhole:
      return static_cast<double>(random_.Below(5)) - 1;
    case Shape::kWild:
      return WildFloat();
    case Shape::kOnOff:
      return random_.OneIn(3) ? 0 : 1;
  }
  return 0;
}

void Maker::FloatSeries(const Labels& labels, Shape shape) {
  double value = static_cast<double>(random_.Below(100));
  const uint64_t one_stale_in = shape == Shape::kOnOff ? 4 : 25;
  AtTimes(shape == Shape::kOnOff ? 10 : 40, [&](int64_t t) {
    if (random_.OneIn(one_stale_in)) {
      source_->Add(labels, t, StaleNan());
      return;
    }
    value = NextFloat(shape, value);
    source_->Add(labels, t, value);
  });
}

void Maker::ClassicHistogram(const std::string& job) {
  const std::string bounds[] = {"0.1", "0.5", "1.0", "2.5", "+Inf"};
  double counts[5] = {0, 0, 0, 0, 0};
  double sum = 0;
  AtTimes(30, [&](int64_t t) {
    if (random_.OneIn(30)) std::fill(std::begin(counts), std::end(counts), 0);
    const size_t bucket = random_.Below(5);
    const double added = static_cast<double>(random_.Below(20));
    for (size_t i = bucket; i < 5; ++i) counts[i] += added;
    sum += added * random_.Fraction();
    for (size_t i = 0; i < 5; ++i) {
      // Once in a while one is behind, as when a scrape races with updates.
      const double late = random_.OneIn(40) ? 1 : 0;
      source_->Add(
          Labels{
              {kMetricName, "classic_bucket"}, {"job", job}, {"le", bounds[i]}},
          t, std::max(0.0, counts[i] - late));
    }
    source_->Add(Labels{{kMetricName, "classic_sum"}, {"job", job}}, t, sum);
    source_->Add(Labels{{kMetricName, "classic_count"}, {"job", job}}, t,
                 counts[4]);
  });
}

void Maker::Floats() {
  const auto add = [&](const char* name, const char* job, int inst,
                       Shape shape) {
    FloatSeries(Labels{{kMetricName, name},
                       {"job", job},
                       {"inst", std::to_string(inst)},
                       {"zone", inst == 2 ? "" : "z" + std::to_string(inst)}},
                shape);
  };
  for (const char* job : {"a", "b"}) {
    for (int inst = 0; inst < 3; ++inst) {
      add("counter_total", job, inst, Shape::kCounter);
      if (inst < 2) add("fast_total", job, inst, Shape::kCounter);
      add("gauge", job, inst, Shape::kGauge);
      add("whole", job, inst, Shape::kWhole);
      if (inst < 2) add("wild", job, inst, Shape::kWild);
      if (inst < 2) add("on_off", job, inst, Shape::kOnOff);
    }
    const Labels about = {{kMetricName, "about"},
                          {"job", job},
                          {"version", job[0] == 'a' ? "1.0" : "2.0"}};
    AtTimes(60, [&](int64_t t) { source_->Add(about, t, 1); });
    ClassicHistogram(job);
  }
}

void Maker::Observe(GrowingHistogram* h) {
  const bool custom = h->schema == kCustomBucketsSchema;
  for (uint64_t n = random_.Below(8); n > 0; --n) {
    const uint64_t added = 1 + random_.Below(5);
    h->count += added;
    if (!custom && random_.OneIn(6)) {
      h->zeros += added;
    } else if (!custom && random_.OneIn(5)) {
      h->negative[static_cast<int32_t>(random_.Below(6)) - 2] += added;
      h->sum -= static_cast<double>(added) * random_.Fraction();
    } else {
      const uint64_t buckets = custom ? h->custom_values.size() + 1 : 12;
      h->positive[static_cast<int32_t>(random_.Below(buckets)) -
                  (custom ? 0 : 4)] += added;
      h->sum += static_cast<double>(added) * random_.Fraction() * 8;
    }
  }
}

void Maker::AddHistogram(const Labels& labels, int64_t t, GrowingHistogram* h,
                         bool gauge) {
  if (gauge || random_.OneIn(25)) {
    h->positive.clear();
    h->negative.clear();
    h->zeros = h->count = 0;
    h->sum = 0;
  }
  if (h->schema != kCustomBucketsSchema && h->count == 0 && random_.OneIn(3)) {
    h->schema = static_cast<int32_t>(random_.Below(4)) - 1;
  }
  if (h->schema == kCustomBucketsSchema && h->count == 0 && random_.OneIn(4)) {
    h->custom_values = random_.OneIn(2) ? std::vector<double>{0.1, 1, 5}
                                        : std::vector<double>{0.1, 0.5, 1, 5};
  }
  Observe(h);
  if (gauge) {
    FloatHistogram made = Snapshot<double>(*h);
    made.reset_hint = ResetHint::kGauge;
    source_->Add(labels, t, Histogram(made));
  } else {
    source_->Add(labels, t, Histogram(Snapshot<uint64_t>(*h)));
  }
}

void Maker::HistogramSeries(const Labels& labels, bool gauge, bool custom,
                            bool mixed) {
  GrowingHistogram h;
  if (custom) {
    h.schema = kCustomBucketsSchema;
    h.custom_values = {0.1, 1, 5};
  }
  AtTimes(30, [&](int64_t t) {
    if (random_.OneIn(30)) {
      source_->Add(labels, t, StaleNan());
    } else if (mixed && random_.OneIn(4)) {
      source_->Add(labels, t, static_cast<double>(random_.Below(100)));
    } else {
      AddHistogram(labels, t, &h, gauge);
    }
  });
}

void Maker::Histograms() {
  const auto labels = [](const char* name, const char* job, int inst) {
    return Labels{
        {kMetricName, name}, {"job", job}, {"inst", std::to_string(inst)}};
  };
  for (const char* job : {"a", "b"}) {
    for (int inst = 0; inst < 2; ++inst) {
      HistogramSeries(labels("native", job, inst), false, false, false);
      HistogramSeries(labels("native_gauge", job, inst), true, false, false);
    }
    HistogramSeries(labels("custom", job, 0), false, true, false);
    HistogramSeries(labels("mixed", job, 0), false, false, true);
  }
}

}  // namespace

void AddRandomSeries(uint64_t seed, const RandomSeriesOptions& options,
                     MapSource* source) {
  Maker maker(seed, options, source);
  maker.Floats();
  maker.Histograms();
}

}  // namespace varve
