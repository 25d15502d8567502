#include <atomic>
#include <bit>
#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "query/engine.h"
#include "query/parser.h"
#include "storage/check.h"
#include "storage/status_macros.h"
#include "tests/support/random_series.h"

// Any query over a small database ends within its limits, in an answer or in an
// error of the user's. An answer over a range holds at each step what the same
// query gives at that instant.
//
// The first byte chooses the parameters, the rest is the text.

namespace {

using varve::promql::QueryParameters;
using varve::promql::QueryResult;
using varve::promql::ResultSeries;

/// Time passes only by being looked at, so that a query ends after so many
/// batches of work on any machine.
class CountingClock final : public varve::Clock {
 public:
  int64_t NowMs() const override { return 0; }
  int64_t MonotonicNs() const override { return ++looks_; }

 private:
  mutable std::atomic<int64_t> looks_{0};
};

const varve::MapSource& Database() {
  static const varve::MapSource& source = *[] {
    auto* made = new varve::MapSource;
    varve::AddRandomSeries(1, {0, 600'000, 15'000}, made);
    return made;
  }();
  return source;
}

absl::StatusOr<QueryResult> Run(std::string_view text, uint8_t choice,
                                const QueryParameters& parameters) {
  const CountingClock clock;
  varve::QueryContext::Limits limits;
  limits.deadline_ns = 1'000;
  limits.samples_max = 100'000;
  limits.bytes_max = 32 << 20;
  varve::promql::EngineOptions options;
  options.delayed_name_removal = (choice & 1) != 0;
  options.use_start_timestamps = (choice & 2) != 0;
  varve::QueryContext context(&clock, limits);
  return varve::promql::Engine(options).Run(context, Database(), text,
                                            parameters);
}

void CheckError(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kDeadlineExceeded:
      VARVE_CHECK(!varve::Message(status).empty());
      return;
    default:
      VARVE_CHECK(false);
  }
}

bool SameFloat(double a, double b) {
  return a == b || (std::isnan(a) && std::isnan(b));
}

bool SameHistogram(const varve::FloatHistogram& a,
                   const varve::FloatHistogram& b) {
  return SameFloat(a.count, b.count) && SameFloat(a.sum, b.sum) &&
         a.schema == b.schema &&
         a.positive_buckets.size() == b.positive_buckets.size() &&
         a.negative_buckets.size() == b.negative_buckets.size();
}

/// What stands in a result at one time, by labels. The labels may not repeat.
struct Value {
  double number = 0;
  const varve::FloatHistogram* histogram = nullptr;
};
std::map<std::string, Value> At(const QueryResult& result, int64_t t) {
  std::map<std::string, Value> out;
  for (const ResultSeries& s : result.series) {
    size_t found = 0;
    Value value;
    for (const auto& p : s.floats) {
      if (p.timestamp_ms != t) continue;
      value.number = p.value;
      ++found;
    }
    for (const auto& p : s.histograms) {
      if (p.timestamp_ms != t) continue;
      value.histogram = p.histogram.get();
      ++found;
    }
    if (found == 0) continue;
    VARVE_CHECK(found == 1);
    VARVE_CHECK(out.emplace(s.labels.packed(), value).second);
  }
  return out;
}

void CheckSame(const std::map<std::string, Value>& a,
               const std::map<std::string, Value>& b) {
  VARVE_CHECK(a.size() == b.size());
  for (const auto& [labels, value] : a) {
    const auto other = b.find(labels);
    VARVE_CHECK(other != b.end());
    VARVE_CHECK((value.histogram == nullptr) ==
                (other->second.histogram == nullptr));
    if (value.histogram != nullptr) {
      VARVE_CHECK(SameHistogram(*value.histogram, *other->second.histogram));
    } else {
      VARVE_CHECK(SameFloat(value.number, other->second.number));
    }
  }
}

/// Limits aside, an answer for all steps is an answer for the first. But as in
/// Prometheus, a parameter of NaN is overlooked where no other step has one
/// that chooses anything.
bool MayFailAtAnInstant(const absl::Status& status) {
  return status.code() == absl::StatusCode::kResourceExhausted ||
         status.code() == absl::StatusCode::kDeadlineExceeded ||
         varve::Message(status).find("value is NaN") != std::string_view::npos;
}

/// Whether the text may mean something else when the range is another one.
bool DependsOnRange(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c += 'a' - 'A';
  }
  for (const std::string_view word : {"start", "end", "range", "step"}) {
    if (lower.find(word) != std::string::npos) return true;
  }
  return false;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const uint8_t choice = data[0];
  const std::string_view text(reinterpret_cast<const char*>(data) + 1,
                              size - 1);
  const int64_t lookback_ms = (choice & 4) != 0 ? 20'000 : 0;
  const int64_t start_ms = (choice & 8) != 0 ? 300'000 : 123'456;
  const int64_t step_ms = (choice & 16) != 0 ? 10'000 : 61'003;

  const auto instant = Run(text, choice, {start_ms, start_ms, 0, lookback_ms});
  if (!instant.ok()) CheckError(instant.status());
  const int64_t end_ms = start_ms + 5 * step_ms;
  const auto range =
      Run(text, choice, {start_ms, end_ms, step_ms, lookback_ms});
  if (!range.ok()) {
    CheckError(range.status());
    return 0;
  }
  if (DependsOnRange(text)) return 0;
  if (!instant.ok()) {
    VARVE_CHECK(MayFailAtAnInstant(instant.status()));
    return 0;
  }
  if (instant->type == varve::promql::ValueType::kScalar) {
    VARVE_CHECK(SameFloat(range->series.at(0).floats.at(0).value,
                          instant->scalar.value));
    return 0;
  }
  CheckSame(At(*range, start_ms), At(*instant, start_ms));
  const auto last = Run(text, choice, {end_ms, end_ms, 0, lookback_ms});
  if (last.ok()) CheckSame(At(*range, end_ms), At(*last, end_ms));
  return 0;
}
