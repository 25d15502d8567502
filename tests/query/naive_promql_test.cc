#include "tests/support/naive_promql.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <map>

#include "query/parser.h"
#include "storage/status_macros.h"
#include "tests/support/query_generator.h"
#include "tests/support/random_series.h"
#include "tests/support/seed.h"

// Random queries over random series, answered by the engine and by its naive
// twin. Floats must be equal bit for bit, since both add in the same order.
// Counts and sums of histograms may differ by 1e-12: the engine compensates
// where the twin does not.

namespace varve::promql {
namespace {

constexpr double kHistogramTolerance = 1e-12;
constexpr std::string_view kSameLabels =
    "vector cannot contain metrics with the same labelset";

/// How far floats may be apart. What comes out of histograms is as exact as
/// they are; deviations are not compensated, so the order of series shows,
/// which the twin does not keep through sort() and matching.
double ToleranceOf(const std::string& query) {
  if (query.find("native") != std::string::npos) return 1e-9;
  if (query.find("std") != std::string::npos) return 1e-12;
  return 0;
}

/// What the two give for one series at one time.
struct Value {
  double number = 0;
  std::shared_ptr<const NaiveHistogram> histogram;
};
using Answer = std::map<std::pair<int64_t, std::string>, Value>;

bool SameFloat(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  return a == b;
}

bool Near(double a, double b, double scale) {
  if (SameFloat(a, b)) return true;
  return std::abs(a - b) <= kHistogramTolerance * scale;
}

bool SameBuckets(const std::map<int32_t, double>& a,
                 const std::map<int32_t, double>& b, double scale) {
  std::map<int32_t, double> all = a;
  all.insert(b.begin(), b.end());
  for (const auto& [i, unused] : all) {
    const double x = a.contains(i) ? a.at(i) : 0;
    const double y = b.contains(i) ? b.at(i) : 0;
    if (!Near(x, y, scale)) return false;
  }
  return true;
}

bool Same(const Value& a, const Value& b, double float_tolerance) {
  if ((a.histogram == nullptr) != (b.histogram == nullptr)) return false;
  if (a.histogram == nullptr) {
    const double scale = std::max(std::abs(a.number), std::abs(b.number));
    return SameFloat(a.number, b.number) ||
           std::abs(a.number - b.number) <= float_tolerance * scale;
  }
  const NaiveHistogram& x = *a.histogram;
  const NaiveHistogram& y = *b.histogram;
  const double scale = 1 + std::abs(x.count) + std::abs(x.sum);
  if (!std::isfinite(scale)) return SameFloat(x.count, y.count);
  return x.schema == y.schema && Near(x.count, y.count, scale) &&
         Near(x.sum, y.sum, scale) && Near(x.zero_count, y.zero_count, scale) &&
         SameBuckets(x.positive, y.positive, scale) &&
         SameBuckets(x.negative, y.negative, scale);
}

std::string Text(const Value* v) {
  if (v == nullptr) return "nothing";
  if (v->histogram == nullptr) return fmt::format("{}", v->number);
  return fmt::format("histogram of schema {}, count {}, sum {}, zeros {}",
                     v->histogram->schema, v->histogram->count,
                     v->histogram->sum, v->histogram->zero_count);
}

/// "" when equal, else the first difference.
std::string Difference(const Answer& want, const Answer& got,
                       double tolerance) {
  Answer all = want;
  all.insert(got.begin(), got.end());
  for (const auto& [at, unused] : all) {
    const auto w = want.find(at);
    const auto g = got.find(at);
    const Value* x = w == want.end() ? nullptr : &w->second;
    const Value* y = g == got.end() ? nullptr : &g->second;
    if (x != nullptr && y != nullptr && Same(*x, *y, tolerance)) continue;
    return fmt::format("series {} at {} ms: naive {}, engine {}",
                       Quote(at.second), at.first, Text(x), Text(y));
  }
  return "";
}

absl::StatusOr<Answer> AskNaive(const MapSource& source,
                                const std::string& query,
                                const QueryParameters& parameters) {
  VARVE_ASSIGN_OR_RETURN(const ExprPtr expr, ParseExpr(query));
  const NaiveEvaluator naive(source, parameters, 60'000);
  const int64_t step = std::max<int64_t>(parameters.step_ms, 1);
  Answer out;
  for (int64_t t = parameters.start_ms; t <= parameters.end_ms; t += step) {
    VARVE_ASSIGN_OR_RETURN(const NaiveVector points, naive.At(*expr, t));
    for (const NaivePoint& p : points) {
      out[{t, std::string(p.labels.packed())}] = {p.value, p.histogram};
    }
  }
  return out;
}

absl::StatusOr<Answer> AskEngine(const MapSource& source,
                                 const std::string& query,
                                 const QueryParameters& parameters) {
  QueryContext context;
  VARVE_ASSIGN_OR_RETURN(
      const QueryResult result,
      Engine(EngineOptions()).Run(context, source, query, parameters));
  Answer out;
  if (result.type == ValueType::kScalar) {
    out[{parameters.start_ms, ""}].number = result.scalar.value;
  }
  for (const ResultSeries& s : result.series) {
    const std::string key(s.labels.packed());
    for (const ResultPoint& p : s.floats) {
      out[{p.timestamp_ms, key}].number = p.value;
    }
    for (const ResultHistogram& p : s.histograms) {
      out[{p.timestamp_ms, key}].histogram =
          std::make_shared<const NaiveHistogram>(
              NaiveHistogram::Of(Histogram(*p.histogram)));
    }
  }
  return out;
}

struct Tally {
  int asked = 0;
  int filled = 0;
  int failed = 0;
  int unknown = 0;
};

/// "" when the two agree.
std::string Compare(const MapSource& source, const std::string& query,
                    const QueryParameters& parameters, Tally* tally) {
  const auto want = AskNaive(source, query, parameters);
  const auto got = AskEngine(source, query, parameters);
  ++tally->asked;
  // Where the last digit of a number decides about labels.
  const bool exact = query.find("count_values") != std::string::npos ||
                     query.find("==") != std::string::npos ||
                     query.find("!=") != std::string::npos;
  if (exact && ToleranceOf(query) > 0) {
    ++tally->unknown;
    return "";
  }
  if (want.status().code() == absl::StatusCode::kUnimplemented ||
      got.status().code() == absl::StatusCode::kUnimplemented) {
    ++tally->unknown;
    return "";
  }
  // Over a range, two series of a range function that become the same are an
  // error even if they never meet at a step, which only the engine sees.
  if (want.ok() && !got.ok() && parameters.step_ms > 0 &&
      Message(got.status()) == kSameLabels) {
    ++tally->failed;
    return "";
  }
  if (want.ok() != got.ok()) {
    return "naive " + want.status().ToString() + ", engine " +
           got.status().ToString();
  }
  if (!want.ok()) {
    ++tally->failed;
    return "";
  }
  if (!want->empty()) ++tally->filled;
  return Difference(*want, *got, ToleranceOf(query));
}

void RunSeed(uint64_t seed, int queries, Tally* tally) {
  MapSource source;
  AddRandomSeries(seed, {}, &source);
  QueryGenerator generator(seed, {});
  RandomNumbers random(seed);
  for (int i = 0; i < queries; ++i) {
    const std::string query = generator.Next();
    // Half of the times are those of samples.
    const uint64_t unit = random.OneIn(2) ? 15'000 : 1;
    const auto start =
        static_cast<int64_t>(unit * random.Below(1'800'000 / unit));
    const auto step =
        static_cast<int64_t>(unit * (1 + random.Below(200'000 / unit)));
    for (const QueryParameters& p :
         {QueryParameters{start, start, 0, 0},
          QueryParameters{start, start + 6 * step, step, 0}}) {
      const std::string found = Compare(source, query, p, tally);
      ASSERT_EQ(found, "") << query << "\nfrom " << p.start_ms << " to "
                           << p.end_ms << " step " << p.step_ms << ", seed "
                           << seed;
    }
  }
}

int Seeds() {
  const char* given = std::getenv("VARVE_NAIVE_SEEDS");
  return given == nullptr ? 4 : std::atoi(given);
}

// VARVE_NAIVE_SEEDS=N runs N databases of 150 queries each instead of 4, from
// VARVE_TEST_SEED on if that is set.
TEST(NaivePromql, AgreesWithTheEngine) {
  Tally tally;
  const uint64_t first = std::getenv("VARVE_TEST_SEED") ? TestSeed() : 1;
  for (int i = 0; i < Seeds(); ++i) {
    RunSeed(first + static_cast<uint64_t>(i), 150, &tally);
    if (HasFatalFailure()) return;
  }
  std::printf("%d answers, %d of them filled, %d errors, %d left out\n",
              tally.asked, tally.filled, tally.failed, tally.unknown);
  EXPECT_GT(tally.filled * 2, tally.asked);
}

}  // namespace
}  // namespace varve::promql
