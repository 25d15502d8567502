#include "query/annotations.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "query/parser.h"
#include "storage/labels.h"

namespace varve::promql {
namespace {

std::string ForMetric(std::string_view metric) {
  return metric.empty() ? std::string()
                        : fmt::format(" for metric name {}", Quote(metric));
}

/// Go's %g.
std::string ShortFloat(double v) {
  if (std::isnan(v)) return "NaN";
  if (std::isinf(v)) return v > 0 ? "+Inf" : "-Inf";
  return fmt::format("{}", v);
}

}  // namespace

void Annotations::Add(std::string_view kind, std::string_view text,
                      PositionRange position, std::vector<Entry>* list) {
  if (list->size() >= kKeptMax) return;
  std::string full = fmt::format("PromQL {}: {}", kind, text);
  const bool known =
      std::any_of(list->begin(), list->end(),
                  [&](const Entry& e) { return e.text == full; });
  if (!known) list->push_back({std::move(full), position});
}

std::vector<std::string> Annotations::Shown(const std::vector<Entry>& list,
                                            std::string_view kind) const {
  std::vector<std::string> out;
  for (size_t i = 0; i < list.size() && i < kShownMax; ++i) {
    out.push_back(fmt::format("{} ({})", list[i].text,
                              FormatPosition(query_, list[i].position.start)));
  }
  if (list.size() > kShownMax) {
    out.push_back(fmt::format("{} more {} annotations omitted",
                              list.size() - kShownMax, kind));
  }
  return out;
}

std::vector<std::string> Annotations::Warnings() const {
  return Shown(warnings_, "warning");
}

std::vector<std::string> Annotations::Infos() const {
  return Shown(infos_, "info");
}

void Annotations::InvalidQuantile(double q, PositionRange position) {
  Warn(fmt::format("quantile value should be between 0 and 1, got {}",
                   ShortFloat(q)),
       position);
}

void Annotations::InvalidRatio(double ratio, double capped,
                               PositionRange position) {
  Warn(fmt::format(
           "ratio value should be between -1 and 1, got {}, capping to {}",
           ShortFloat(ratio), ShortFloat(capped)),
       position);
}

void Annotations::BadBucketLabel(std::string_view metric,
                                 std::string_view value,
                                 PositionRange position) {
  Warn(fmt::format(
           "bucket label \"le\" is missing or has a malformed value of {}{}",
           Quote(value), ForMetric(metric)),
       position);
}

void Annotations::MixedFloatsHistograms(std::string_view metric,
                                        PositionRange position) {
  Warn(fmt::format(
           "encountered a mix of histograms and floats for metric name {}",
           Quote(metric)),
       position);
}

void Annotations::MixedFloatsHistogramsInAggregation(PositionRange position) {
  Warn("encountered a mix of histograms and floats for aggregation", position);
}

void Annotations::MixedClassicNative(std::string_view metric,
                                     PositionRange position) {
  Warn(fmt::format("vector contains a mix of classic and native histograms{}",
                   ForMetric(metric)),
       position);
}

void Annotations::NotCounter(std::string_view metric, PositionRange position) {
  Warn(fmt::format("this native histogram metric is not a counter: {}",
                   Quote(metric)),
       position);
}

void Annotations::NotGauge(std::string_view metric, PositionRange position) {
  Warn(fmt::format("this native histogram metric is not a gauge: {}",
                   Quote(metric)),
       position);
}

void Annotations::MixedExponentialCustom(std::string_view metric,
                                         PositionRange position) {
  Warn(fmt::format("vector contains a mix of histograms with exponential and "
                   "custom buckets schemas for metric name {}",
                   Quote(metric)),
       position);
}

void Annotations::IncompatibleBuckets(std::string_view op,
                                      PositionRange position) {
  Warn(fmt::format(
           "incompatible bucket layout encountered for binary operator {}", op),
       position);
}

void Annotations::CounterResetCollision(std::string_view operation,
                                        PositionRange position) {
  Warn(fmt::format("conflicting counter resets during histogram {}", operation),
       position);
}

void Annotations::PossibleNonCounter(std::string_view metric,
                                     PositionRange position) {
  Info(fmt::format("metric might not be a counter, name does not end in "
                   "_total/_sum/_count/_bucket: {}",
                   Quote(metric)),
       position);
}

void Annotations::ForcedMonotonicity(std::string_view metric,
                                     PositionRange position) {
  Info(fmt::format("input to histogram_quantile needed to be fixed for "
                   "monotonicity (see https://prometheus.io/docs/prometheus/"
                   "latest/querying/functions/#histogram_quantile){}",
                   ForMetric(metric)),
       position);
}

void Annotations::NanObservationsInQuantile(std::string_view metric,
                                            bool result_is_nan,
                                            PositionRange position) {
  Info(fmt::format("input to histogram_quantile has NaN observations, result "
                   "is {}{}",
                   result_is_nan ? "NaN" : "skewed higher", ForMetric(metric)),
       position);
}

void Annotations::NanObservationsInFraction(std::string_view metric,
                                            PositionRange position) {
  Info(fmt::format("input to histogram_fraction has NaN observations, which "
                   "are excluded from all fractions{}",
                   ForMetric(metric)),
       position);
}

void Annotations::IncompatibleTypes(std::string_view lhs, std::string_view op,
                                    std::string_view rhs,
                                    PositionRange position) {
  Info(fmt::format("incompatible sample types encountered for binary operator "
                   "{}: {} {} {}",
                   Quote(op), lhs, op, rhs),
       position);
}

void Annotations::HistogramIgnored(std::string_view aggregation,
                                   PositionRange position) {
  Info(fmt::format("ignored histogram in {} aggregation", aggregation),
       position);
}

void Annotations::HistogramIgnoredInRange(std::string_view metric,
                                          PositionRange position) {
  Info(fmt::format("ignored histograms in a range containing both floats and "
                   "histograms for metric name {}",
                   Quote(metric)),
       position);
}

void Annotations::CustomBucketsReconciled(std::string_view operation,
                                          PositionRange position) {
  Info(fmt::format("mismatched custom buckets were reconciled during {}",
                   operation),
       position);
}

}  // namespace varve::promql
