#include "query/range_functions.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>

#include "query/engine.h"
#include "storage/sample.h"
#include "tests/support/map_source.h"
#include "tests/support/seed.h"

namespace varve::promql {
namespace {

struct Sample {
  int64_t t;
  double v;
};
using Samples = std::vector<Sample>;
/// A function of the samples of one window, obviously written; nullopt: absent.
using Naive = std::function<std::optional<double>(
    const Samples&, int64_t start_ms, int64_t end_ms)>;

double PlainSum(const Samples& s) {
  long double sum = 0;
  for (const Sample& x : s) sum += x.v;
  return static_cast<double>(sum);
}

std::optional<double> NaiveRate(const Samples& s, int64_t start, int64_t end,
                                bool counter, bool per_second) {
  if (s.size() < 2) return std::nullopt;
  double result = s.back().v - s.front().v;
  if (counter) {
    for (size_t i = 1; i < s.size(); ++i) {
      if (s[i].v < s[i - 1].v) result += s[i - 1].v;
    }
  }
  double to_start = static_cast<double>(s.front().t - start) / 1000;
  double to_end = static_cast<double>(end - s.back().t) / 1000;
  const double sampled = static_cast<double>(s.back().t - s.front().t) / 1000;
  const double interval = sampled / static_cast<double>(s.size() - 1);
  if (to_start >= interval * 1.1) to_start = interval / 2;
  if (to_end >= interval * 1.1) to_end = interval / 2;
  if (counter && result > 0 && s.front().v >= 0) {
    to_start = std::min(to_start, sampled * (s.front().v / result));
  }
  double factor = (sampled + to_start + to_end) / sampled;
  if (per_second) factor /= static_cast<double>(end - start) / 1000;
  return result * factor;
}

std::optional<double> NaiveMax(const Samples& s) {
  if (s.empty()) return std::nullopt;
  double max = std::nan("");
  for (const Sample& x : s) max = std::fmax(max, x.v);
  return max;
}

std::optional<double> NaiveStdvar(const Samples& s) {
  if (s.empty()) return std::nullopt;
  const double mean = PlainSum(s) / static_cast<double>(s.size());
  long double sum = 0;
  for (const Sample& x : s) sum += (x.v - mean) * (x.v - mean);
  return static_cast<double>(sum / s.size());
}

std::optional<double> NaiveMedian(const Samples& s) {
  if (s.empty()) return std::nullopt;
  std::vector<double> v;
  for (const Sample& x : s) v.push_back(x.v);
  std::sort(v.begin(), v.end(), [](double a, double b) {
    return std::isnan(a) ? !std::isnan(b) : a < b;  // NaN first
  });
  const size_t n = v.size();
  return n % 2 == 1 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

std::map<std::string, Naive> NaiveFunctions() {
  const auto simple = [](std::optional<double> (*f)(const Samples&)) {
    return [f](const Samples& s, int64_t, int64_t) { return f(s); };
  };
  const auto rate = [](bool counter, bool per_second) {
    return [=](const Samples& s, int64_t start, int64_t end) {
      return NaiveRate(s, start, end, counter, per_second);
    };
  };
  const auto count = [](bool (*differs)(double, double)) {
    return
        [differs](const Samples& s, int64_t, int64_t) -> std::optional<double> {
          if (s.empty()) return std::nullopt;
          double n = 0;
          for (size_t i = 1; i < s.size(); ++i) {
            n += differs(s[i - 1].v, s[i].v) ? 1 : 0;
          }
          return n;
        };
  };
  using Value = std::optional<double>;
  return {
      {"rate(m[W])", rate(true, true)},
      {"increase(m[W])", rate(true, false)},
      {"delta(m[W])", rate(false, false)},
      {"irate(m[W])", simple([](const Samples& s) -> Value {
         if (s.size() < 2) return std::nullopt;
         const Sample& a = s[s.size() - 2];
         const Sample& b = s.back();
         const double d = b.v < a.v ? b.v : b.v - a.v;
         return d / (static_cast<double>(b.t - a.t) / 1000);
       })},
      {"sum_over_time(m[W])", simple([](const Samples& s) -> Value {
         if (s.empty()) return std::nullopt;
         return PlainSum(s);
       })},
      {"avg_over_time(m[W])", simple([](const Samples& s) -> Value {
         if (s.empty()) return std::nullopt;
         return PlainSum(s) / static_cast<double>(s.size());
       })},
      {"count_over_time(m[W])", simple([](const Samples& s) -> Value {
         if (s.empty()) return std::nullopt;
         return static_cast<double>(s.size());
       })},
      {"last_over_time(m[W])", simple([](const Samples& s) -> Value {
         if (s.empty()) return std::nullopt;
         return s.back().v;
       })},
      {"max_over_time(m[W])", simple(NaiveMax)},
      {"stdvar_over_time(m[W])", simple(NaiveStdvar)},
      {"quantile_over_time(0.5, m[W])", simple(NaiveMedian)},
      {"resets(m[W])", count([](double a, double b) { return b < a; })},
      {"changes(m[W])", count([](double a, double b) {
         return a != b && !(std::isnan(a) && std::isnan(b));
       })},
  };
}

/// Counter-like values with resets, gaps, jitter and stale markers.
Samples RandomSeries(std::mt19937_64* random, bool with_nan) {
  const auto chance = [random](int one_in) {
    return (*random)() % one_in == 0;
  };
  Samples out;
  int64_t t = static_cast<int64_t>((*random)() % 60'000) - 600'000;
  double v = 0;
  const bool jitter = chance(2);
  for (int i = 0; i < 400; ++i) {
    t += 15'000 + (jitter ? static_cast<int64_t>((*random)() % 999) : 0);
    if (chance(20)) t += 15'000 * static_cast<int64_t>((*random)() % 40);
    v += static_cast<double>((*random)() % 1000) / 8;
    if (chance(30)) v = static_cast<double>((*random)() % 50);
    double value = v;
    if (chance(25)) value = StaleNan();
    if (with_nan && chance(15)) value = std::nan("");
    out.push_back({t, value});
  }
  return out;
}

Samples InWindow(const Samples& all, int64_t after, int64_t last) {
  Samples out;
  for (const Sample& s : all) {
    if (s.t > after && s.t <= last && !IsStaleNan(s.v)) out.push_back(s);
  }
  return out;
}

void ExpectSame(double want, double got, const std::string& where) {
  if (std::isnan(want)) {
    EXPECT_TRUE(std::isnan(got)) << where;
  } else {
    EXPECT_NEAR(want, got, 1e-9 * std::max(1.0, std::abs(want))) << where;
  }
}

class RangeFunctionsTest : public ::testing::TestWithParam<bool> {};

TEST_P(RangeFunctionsTest, EqualPlainLoops) {
  std::mt19937_64 random(TestSeed());
  for (int round = 0; round < 20; ++round) {
    const Samples samples = RandomSeries(&random, GetParam());
    MapSource source;
    const Labels labels{{kMetricName, "m"}};
    for (const Sample& s : samples) source.Add(labels, s.t, s.v);
    const auto window_s = static_cast<int64_t>(1 + random() % 600);
    const auto offset_s = static_cast<int64_t>(random() % 120);
    QueryParameters p;
    p.start_ms = samples.front().t - 100'000;
    p.step_ms = static_cast<int64_t>(1000 + random() % 300'000);
    p.end_ms = p.start_ms + 300 * p.step_ms;
    for (const auto& [text, naive] : NaiveFunctions()) {
      std::string query = text;
      query.replace(query.find("[W]"), 3,
                    fmt::format("[{}s] offset {}s", window_s, offset_s));
      QueryContext context;
      const auto result =
          Engine(EngineOptions{}).Run(context, source, query, p);
      ASSERT_TRUE(result.ok()) << query << ": " << result.status();
      std::map<int64_t, double> got;
      for (const ResultSeries& s : result->series) {
        for (const ResultPoint& x : s.floats) got[x.timestamp_ms] = x.value;
      }
      for (int64_t t = p.start_ms; t <= p.end_ms; t += p.step_ms) {
        const int64_t end = t - offset_s * 1000;
        const int64_t start = end - window_s * 1000;
        const auto want = naive(InWindow(samples, start, end), start, end);
        const std::string where = fmt::format("{} at {}", query, t);
        ASSERT_EQ(want.has_value(), got.contains(t)) << where;
        if (want.has_value()) ExpectSame(*want, got[t], where);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(WithNan, RangeFunctionsTest, ::testing::Bool());

TEST(WindowPlanTest, IsLeftOpen) {
  PlanNode range;
  range.range_ms = 30;
  const StepGrid grid{0, 10, 6};
  WindowPlan plan;
  const std::vector<int64_t> times = {-30, -29, 0, 10, 40};
  PlanWindows(times, range, grid, &plan);
  EXPECT_EQ(plan.begin, (std::vector<uint32_t>{1, 2, 2, 3, 4, 4}));
  EXPECT_EQ(plan.end, (std::vector<uint32_t>{3, 4, 4, 4, 5, 5}));
}

TEST(WindowPlanTest, ExtrapolatesByTheThreshold) {
  // Ten seconds apart; the window reaches 10.9 s and 11 s beyond the samples.
  const auto e = Extrapolate(0, 20'000, 3, -10'900, 31'000);
  EXPECT_DOUBLE_EQ(e.sampled, 20);
  EXPECT_DOUBLE_EQ(e.to_start, 10.9);
  EXPECT_DOUBLE_EQ(e.to_end, 5);
  EXPECT_DOUBLE_EQ(e.factor, 35.9 / 20);
}

/// The series kernels must give what the window kernels give, bit for bit.
TEST(SeriesKernels, EqualWindowKernels) {
  std::mt19937_64 random(TestSeed());
  QueryContext query;
  MapSource source;
  const EngineOptions options;
  Annotations annotations("");
  EvalContext context{query, source, options, annotations};
  for (int round = 0; round < 30; ++round) {
    RangeSeries series;
    for (const Sample& s : RandomSeries(&random, round % 2 == 0)) {
      if (IsStaleNan(s.v)) continue;
      series.times.push_back(s.t);
      series.values.push_back(s.v);
    }
    Call call;
    PlanNode node;
    node.expr = &call;
    PlanNode range;
    range.expr = &call;
    range.range_ms = static_cast<int64_t>(1000 + random() % 4'000'000);
    const StepGrid grid{series.times.front(), 37'000, 200};
    const std::vector<std::vector<double>> scalars = {
        std::vector<double>(static_cast<size_t>(grid.count),
                            static_cast<double>(random() % 101) / 100)};
    const RangeCall range_call{node, range, context, grid, scalars};
    WindowPlan plan;
    PlanWindows(series.times, range, grid, &plan);
    PlanExtrapolation(series.times, range, grid, &plan);
    for (std::span<const RangeFunction> table :
         {RateFunctions(), OverTimeFunctions()}) {
      for (const RangeFunction& f : table) {
        if (f.series == nullptr) continue;
        Row fast;
        fast.Clear(grid.count);
        f.series(range_call, plan, series, &fast);
        Row slow;
        slow.Clear(grid.count);
        for (size_t step = 0; step < plan.begin.size(); ++step) {
          if (plan.count(step) == 0) continue;
          Window w;
          w.times = std::span(series.times)
                        .subspan(plan.begin[step], plan.count(step));
          w.values = std::span(series.values)
                         .subspan(plan.begin[step], plan.count(step));
          w.end_ms = grid.At(static_cast<int64_t>(step));
          w.start_ms = w.end_ms - range.range_ms;
          ASSERT_TRUE(f.window(range_call, w, step, &slow).ok());
        }
        for (size_t step = 0; step < plan.begin.size(); ++step) {
          ASSERT_EQ(std::bit_cast<uint64_t>(fast.values[step]),
                    std::bit_cast<uint64_t>(slow.values[step]))
              << f.name << " at step " << step;
        }
      }
    }
  }
}

}  // namespace
}  // namespace varve::promql
