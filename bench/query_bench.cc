// What a query costs per series and step: kernels against the loop that is
// written first, and whole queries over columns in memory (so without index,
// disk and JSON). 15 s data; 5 m windows; 24 h at 60 s steps unless named
// otherwise.
//
//   build/release/query_bench

#include <benchmark/benchmark.h>

#include <random>

#include "query/engine.h"
#include "query/range_functions.h"
#include "query/sliding.h"

namespace varve::promql {
namespace {

constexpr int64_t kScrapeMs = 15'000;
constexpr int64_t kDayMs = 86'400'000;

/// Series in memory that share their timestamps, chunk by chunk.
class ColumnSource final : public SeriesSource {
 public:
  explicit ColumnSource(size_t series) {
    std::mt19937_64 random(1);
    for (int64_t t = 0; t <= kDayMs + 300'000; t += kScrapeMs) {
      times_.push_back(t);
    }
    for (size_t s = 0; s < series; ++s) {
      labels_.push_back(Labels{{kMetricName, "m_total"},
                               {"job", "job" + std::to_string(s % 10)},
                               {"i", std::to_string(s)}});
      double v = 0;
      values_.emplace_back();
      for (size_t i = 0; i < times_.size(); ++i) {
        v += static_cast<double>(random() % 100);
        if (random() % 2000 == 0) v = 0;
        values_.back().push_back(v);
      }
    }
  }

  absl::StatusOr<std::unique_ptr<SeriesSet>> Select(
      QueryContext&, std::span<const Matcher>,
      const SelectHints& hints) const override {
    return std::make_unique<Set>(*this, hints);
  }
  absl::StatusOr<std::vector<std::string>> LabelNames(
      QueryContext&, std::span<const Matcher>,
      const SelectHints&) const override {
    return std::vector<std::string>();
  }
  absl::StatusOr<std::vector<std::string>> LabelValues(
      QueryContext&, std::string_view, std::span<const Matcher>,
      const SelectHints&) const override {
    return std::vector<std::string>();
  }

  const std::vector<int64_t>& times() const { return times_; }
  const std::vector<double>& values(size_t i) const { return values_[i]; }

 private:
  class Cursor final : public SeriesCursor {
   public:
    Cursor(const ColumnSource& source, size_t series, const SelectHints& hints)
        : source_(source), series_(series), end_ms_(hints.end_ms) {
      at_ = static_cast<size_t>(std::lower_bound(source.times_.begin(),
                                                 source.times_.end(),
                                                 hints.start_ms) -
                                source.times_.begin());
    }
    absl::StatusOr<bool> Next(SampleColumns* out) override {
      out->Clear();
      const auto& times = source_.times_;
      const auto end = static_cast<size_t>(
          std::upper_bound(times.begin(), times.end(), end_ms_) -
          times.begin());
      if (at_ >= end) return false;
      const size_t to = std::min(end, at_ + 480);
      const auto& values = source_.values_[series_];
      out->timestamps.assign(times.begin() + at_, times.begin() + to);
      out->values.assign(values.begin() + at_, values.begin() + to);
      out->timestamps_id = at_ + 1;
      at_ = to;
      return true;
    }

   private:
    const ColumnSource& source_;
    const size_t series_;
    const int64_t end_ms_;
    size_t at_ = 0;
  };

  class Set final : public SeriesSet {
   public:
    Set(const ColumnSource& source, const SelectHints& hints)
        : source_(source), hints_(hints) {}
    absl::StatusOr<bool> Next() override {
      return ++at_ <= source_.labels_.size();
    }
    const Labels& labels() const override { return source_.labels_[at_ - 1]; }
    std::unique_ptr<SeriesCursor> Cursor() override {
      return std::make_unique<ColumnSource::Cursor>(source_, at_ - 1, hints_);
    }

   private:
    const ColumnSource& source_;
    const SelectHints hints_;
    size_t at_ = 0;
  };

  std::vector<int64_t> times_;
  std::vector<Labels> labels_;
  std::vector<std::vector<double>> values_;
};

const ColumnSource& Source() {
  static const ColumnSource source(1000);
  return source;
}

void Query(benchmark::State& state, const char* text) {
  const ColumnSource& source = Source();
  const int64_t step = state.range(0) * 1000;
  int64_t steps = 0;
  for (auto _ : state) {
    QueryContext context;
    const auto result =
        Engine(EngineOptions{})
            .Run(context, source, text, {300'000, 300'000 + kDayMs, step, 0});
    if (!result.ok()) state.SkipWithError("the query failed");
    steps = kDayMs / step + 1;
    benchmark::DoNotOptimize(result);
  }
  state.counters["series_step"] = benchmark::Counter(
      static_cast<double>(steps) * 1000 * state.iterations(),
      benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

struct KernelInput {
  QueryContext query;
  EngineOptions options;
  Annotations annotations{""};
  EvalContext context{query, Source(), options, annotations};
  Call call;
  PlanNode node;
  PlanNode range;
  StepGrid grid;
  RangeSeries series;
  WindowPlan plan;
  Row row;
  std::vector<std::vector<double>> scalars;

  explicit KernelInput(int64_t step_s, int64_t range_s = 300) {
    node.expr = &call;
    range.expr = &call;
    range.range_ms = range_s * 1000;
    grid = {300'000, step_s * 1000, kDayMs / (step_s * 1000) + 1};
    series.times = Source().times();
    series.values = Source().values(0);
    scalars.emplace_back(static_cast<size_t>(grid.count), 0.9);
  }
  RangeCall range_call() const {
    return {node, range, const_cast<EvalContext&>(context), grid, scalars};
  }
};

/// The series kernel, with the plan made before.
void SeriesKernelOf(benchmark::State& state, const char* name,
                    int64_t range_s = 300) {
  KernelInput in(state.range(0), range_s);
  PlanWindows(in.series.times, in.range, in.grid, &in.plan);
  PlanExtrapolation(in.series.times, in.range, in.grid, &in.plan);
  const RangeFunction& f = *FindRangeFunction(name);
  for (auto _ : state) {
    in.row.Clear(in.grid.count);
    f.series(in.range_call(), in.plan, in.series, &in.row);
    benchmark::DoNotOptimize(in.row.values.data());
  }
  state.SetItemsProcessed(state.iterations() * in.grid.count);
}

/// The same window by window, with a plan that is only bounds.
void WindowKernelOf(benchmark::State& state, const char* name,
                    int64_t range_s = 300) {
  KernelInput in(state.range(0), range_s);
  PlanWindows(in.series.times, in.range, in.grid, &in.plan);
  const RangeFunction& f = *FindRangeFunction(name);
  for (auto _ : state) {
    in.row.Clear(in.grid.count);
    for (size_t step = 0; step < in.plan.begin.size(); ++step) {
      Window w;
      const size_t count = in.plan.count(step);
      w.times = std::span(in.series.times).subspan(in.plan.begin[step], count);
      w.values =
          std::span(in.series.values).subspan(in.plan.begin[step], count);
      w.end_ms = in.grid.At(static_cast<int64_t>(step));
      w.start_ms = w.end_ms - in.range.range_ms;
      benchmark::DoNotOptimize(
          f.window(in.range_call(), w, step, &in.row).ok());
    }
  }
  state.SetItemsProcessed(state.iterations() * in.grid.count);
}

void MakePlan(benchmark::State& state) {
  KernelInput in(state.range(0));
  for (auto _ : state) {
    PlanWindows(in.series.times, in.range, in.grid, &in.plan);
    PlanExtrapolation(in.series.times, in.range, in.grid, &in.plan);
    benchmark::DoNotOptimize(in.plan.begin.data());
  }
  state.SetItemsProcessed(state.iterations() * in.grid.count);
}

/// The vectors that look for what is rare.
void Find(benchmark::State& state) {
  const std::vector<double>& values = Source().values(0);
  std::vector<uint32_t> resets;
  for (auto _ : state) {
    if (state.range(0) == 0) {
      benchmark::DoNotOptimize(HasStale(values));
    } else {
      FindResets(values, &resets);
      benchmark::DoNotOptimize(resets.data());
    }
  }
  state.SetItemsProcessed(state.iterations() *
                          static_cast<int64_t>(values.size()));
}

BENCHMARK(Find)->Arg(0)->Arg(1)->ArgName("resets");
#define VARVE_STEPS Arg(15)->Arg(60)->Arg(300)
BENCHMARK(MakePlan)->VARVE_STEPS;
BENCHMARK_CAPTURE(SeriesKernelOf, rate, "rate")->VARVE_STEPS;
BENCHMARK_CAPTURE(WindowKernelOf, rate, "rate")->VARVE_STEPS;
BENCHMARK_CAPTURE(SeriesKernelOf, sum_over_time, "sum_over_time")->VARVE_STEPS;
BENCHMARK_CAPTURE(SeriesKernelOf, max_over_time, "max_over_time")->VARVE_STEPS;
BENCHMARK_CAPTURE(SeriesKernelOf, stddev_over_time, "stddev_over_time")
    ->VARVE_STEPS;
#define VARVE_HOUR(name)                                    \
  BENCHMARK_CAPTURE(WindowKernelOf, name##_1h, #name, 3600) \
      ->Arg(60)                                             \
      ->Arg(300)                                            \
      ->Arg(900);                                           \
  BENCHMARK_CAPTURE(SeriesKernelOf, name##_1h, #name, 3600) \
      ->Arg(60)                                             \
      ->Arg(300)                                            \
      ->Arg(900)
VARVE_HOUR(changes);
VARVE_HOUR(max_over_time);
VARVE_HOUR(quantile_over_time);
BENCHMARK_CAPTURE(Query, count, "count(m_total)")->VARVE_STEPS;
BENCHMARK_CAPTURE(Query, selector, "m_total")->VARVE_STEPS;
BENCHMARK_CAPTURE(Query, sum, "sum(m_total)")->VARVE_STEPS;
BENCHMARK_CAPTURE(Query, sum_by_rate, "sum by (job) (rate(m_total[5m]))")
    ->VARVE_STEPS;
BENCHMARK_CAPTURE(Query, topk, "topk(5, rate(m_total[5m]))")->VARVE_STEPS;
BENCHMARK_CAPTURE(Query, divide, "sum by (job) (m_total / on (i, job) m_total)")
    ->VARVE_STEPS;

}  // namespace
}  // namespace varve::promql
