#include "query/info_table.h"

#include <re2/re2.h>

#include <algorithm>

#include "storage/status_macros.h"

namespace varve::promql {
namespace {

/// Above this many values the series are taken without asking the index for
/// them: a regex as long as that would cost more than it saves.
constexpr size_t kSelectedValuesMax = 1000;

using Values = std::set<std::string_view>;

/// `label=~"a|b|c"`.
absl::StatusOr<Matcher> OneOf(std::string_view label, const Values& values) {
  std::string regex;
  for (const std::string_view value : values) {
    if (!regex.empty()) regex += '|';
    regex += re2::RE2::QuoteMeta({value.data(), value.size()});
  }
  return Matcher::Create(MatchType::kRegex, std::string(label),
                         std::move(regex));
}

}  // namespace

InfoIdentity InfoIdentity::Of(const Labels& labels) {
  InfoIdentity out;
  for (size_t i = 0; i < std::size(kIdentifyingLabels); ++i) {
    out.values[i] = labels.Get(kIdentifyingLabels[i]);
  }
  return out;
}

bool InfoIdentity::empty() const { return *this == InfoIdentity(); }

InfoTable::InfoTable(EvalContext& context, const StepGrid& grid,
                     const TimeAnchor& anchor)
    : context_(context),
      grid_(grid),
      selection_(context, selector_, node_, grid, context.lookback_ms),
      held_(context.query) {
  node_.kind = PlanKind::kSelector;
  node_.type = ValueType::kVector;
  node_.expr = &selector_;
  node_.anchor = anchor;
  node_.hint_function = "info";
}

absl::Status InfoTable::Read(std::vector<Matcher> matchers,
                             const std::set<InfoIdentity>& identities) {
  Values values[std::size(kIdentifyingLabels)];
  for (size_t i = 0; i < std::size(kIdentifyingLabels); ++i) {
    for (const InfoIdentity& id : identities) {
      if (!id.values[i].empty()) values[i].insert(id.values[i]);
    }
    if (values[i].empty() || values[i].size() > kSelectedValuesMax) continue;
    VARVE_ASSIGN_OR_RETURN(Matcher one_of,
                           OneOf(kIdentifyingLabels[i], values[i]));
    matchers.push_back(std::move(one_of));
  }
  selector_.matchers = std::move(matchers);
  VARVE_ASSIGN_OR_RETURN(series_, selection_.Read());
  uint32_t series = 0;
  while (const auto cursor = selection_.NextCursor(&series)) {
    VARVE_RETURN_IF_ERROR(context_.query.Check());
    const auto place = static_cast<int32_t>(series);
    const Labels& labels = LabelsOf(place);
    bool wanted = true;
    for (size_t i = 0; i < std::size(kIdentifyingLabels); ++i) {
      wanted =
          wanted && (values[i].empty() ||
                     values[i].contains(labels.Get(kIdentifyingLabels[i])));
    }
    if (wanted) VARVE_RETURN_IF_ERROR(ReadSeries(*cursor, place));
  }
  return absl::OkStatus();
}

absl::Status InfoTable::ReadSeries(SeriesCursor& cursor, int32_t series) {
  const Labels& labels = LabelsOf(series);
  Metric& metric = metrics_[InfoIdentity::Of(labels)]
                       .try_emplace(std::string(labels.Get(kMetricName)))
                       .first->second;
  const auto steps = static_cast<size_t>(grid_.count);
  if (metric.newest.empty()) {
    VARVE_RETURN_IF_ERROR(held_.Add(static_cast<int64_t>(
        steps * (sizeof(metric.newest[0]) + sizeof(metric.newest_ms[0])))));
    metric.newest.assign(steps, kNone);
    metric.newest_ms.assign(steps, 0);
  }
  Seen seen;
  size_t step = 0;
  SampleColumns columns;
  while (step < steps) {
    VARVE_ASSIGN_OR_RETURN(const bool more, cursor.Next(&columns));
    if (!more) break;
    const auto samples = static_cast<int64_t>(columns.size());
    VARVE_RETURN_IF_ERROR(context_.query.ChargeSamples(samples));
    context_.query.ReleaseSamples(samples);
    for (size_t i = 0; i < columns.size(); ++i) {
      const int64_t t = columns.timestamps[i];
      for (; step < steps && grid_.At(static_cast<int64_t>(step)) < t; ++step) {
        Show(step, seen, series, &metric);
      }
      const bool histogram = columns.kind == SampleColumns::Kind::kHistogram;
      seen = {true,
              histogram ? IsStale(*columns.histograms[i])
                        : IsStaleNan(columns.values[i]),
              histogram, t};
    }
  }
  for (; step < steps; ++step) Show(step, seen, series, &metric);
  return absl::OkStatus();
}

void InfoTable::Show(size_t step, const Seen& seen, int32_t series,
                     Metric* metric) {
  const int64_t now = grid_.At(static_cast<int64_t>(step));
  if (!seen.known || seen.stale ||
      seen.timestamp_ms <= now - context_.lookback_ms) {
    return;
  }
  ++context_.samples_total;
  int32_t& newest = metric->newest[step];
  int64_t& newest_ms = metric->newest_ms[step];
  if (seen.histogram) {
    problems_.try_emplace(step, Clash{series, series, seen.timestamp_ms});
  } else if (newest == kNone || newest_ms < seen.timestamp_ms) {
    newest = series;
    newest_ms = seen.timestamp_ms;
  } else if (newest_ms == seen.timestamp_ms) {
    problems_.try_emplace(step, Clash{newest, series, newest_ms});
  }
}

std::vector<const InfoTable::Metric*> InfoTable::MetricsOf(
    const InfoIdentity& identity) const {
  std::vector<const Metric*> out;
  const auto it = metrics_.find(identity);
  if (it == metrics_.end()) return out;
  for (const auto& [name, metric] : it->second) out.push_back(&metric);
  return out;
}

absl::Status InfoTable::Problem(size_t step) const {
  const auto it = problems_.find(step);
  if (it == problems_.end()) return absl::OkStatus();
  const Clash& clash = it->second;
  if (clash.existing == clash.added) {
    return FailedPrecondition("info sample should be float");
  }
  return FailedPrecondition(
      "found duplicate series for info metric: existing {} @ {}, new {} @ {}",
      LabelsOf(clash.existing).ToString(), clash.timestamp_ms,
      LabelsOf(clash.added).ToString(), clash.timestamp_ms);
}

}  // namespace varve::promql
