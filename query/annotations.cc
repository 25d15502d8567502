#include "query/annotations.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>

#include "query/parser.h"
#include "query/text.h"
#include "storage/labels.h"

namespace varve::promql {
namespace {

std::string ForMetric(std::string_view metric) {
  return metric.empty() ? std::string()
                        : fmt::format(" for metric name {}", Quote(metric));
}

/// RFC 3339, UTC, cut to seconds.
std::string FormatTime(int64_t ms) {
  const std::time_t seconds = ms / 1000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
                     parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
                     parts.tm_hour, parts.tm_min, parts.tm_sec);
}

}  // namespace

void Annotations::Add(std::string_view kind, std::string_view text,
                      PositionRange position, std::vector<Entry>* list) {
  if (list->size() >= kKeptMax) return;
  std::string full = fmt::format("PromQL {}: {}", kind, text);
  const bool known =
      std::any_of(list->begin(), list->end(),
                  [&](const Entry& e) { return e.text == full; });
  if (!known) list->push_back({std::move(full), position, {}});
}

std::vector<std::string> Annotations::Shown(const std::vector<Entry>& list,
                                            std::string_view kind) const {
  std::vector<std::string> out;
  for (size_t i = 0; i < list.size() && i < kShownMax; ++i) {
    std::string text = list[i].text;
    if (const Merged& merged = list[i].merged; merged.count > 0) {
      text += fmt::format(
          ", from buckets {} to {}, with a max diff of {}, over {} samples "
          "from {} to {}",
          FormatGeneral(merged.lifted.bucket_min),
          FormatGeneral(merged.lifted.bucket_max),
          FormatGeneral(merged.lifted.difference_max, 2), merged.count,
          FormatTime(merged.lifted.timestamp_ms),
          FormatTime(merged.timestamp_max_ms));
    }
    out.push_back(fmt::format("{} ({})", text,
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
                   FormatGeneral(q)),
       position);
}

void Annotations::InvalidRatio(double ratio, double capped,
                               PositionRange position) {
  Warn(fmt::format(
           "ratio value should be between -1 and 1, got {}, capping to {}",
           FormatGeneral(ratio), FormatGeneral(capped)),
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

void Annotations::StartOverlap(std::string_view metric,
                               PositionRange position) {
  Warn(fmt::format("sample has start time that overlaps with previous sample "
                   "timestamp for metric {}",
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
                                     const Lifted& lifted,
                                     PositionRange position) {
  std::string text = fmt::format(
      "PromQL info: input to histogram_quantile needed to be fixed for "
      "monotonicity (see https://prometheus.io/docs/prometheus/latest/querying/"
      "functions/#histogram_quantile){}",
      ForMetric(metric));
  auto it = std::find_if(infos_.begin(), infos_.end(),
                         [&](const Entry& e) { return e.text == text; });
  if (it == infos_.end()) {
    if (infos_.size() >= kKeptMax) return;
    infos_.push_back(
        {std::move(text), position, {lifted, lifted.timestamp_ms, 1}});
    return;
  }
  Merged& merged = it->merged;
  Lifted& all = merged.lifted;
  ++merged.count;
  all.timestamp_ms = std::min(all.timestamp_ms, lifted.timestamp_ms);
  merged.timestamp_max_ms =
      std::max(merged.timestamp_max_ms, lifted.timestamp_ms);
  all.bucket_min = std::min(all.bucket_min, lifted.bucket_min);
  all.bucket_max = std::max(all.bucket_max, lifted.bucket_max);
  all.difference_max = std::max(all.difference_max, lifted.difference_max);
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
