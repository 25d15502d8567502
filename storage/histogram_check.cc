#include "storage/histogram_check.h"

#include <cmath>
#include <string_view>

#include "storage/status_macros.h"

namespace varve {
namespace {

absl::Status CheckSpans(const std::vector<HistogramSpan>& spans, size_t buckets,
                        std::string_view side) {
  uint64_t named = 0;
  int64_t index = 0;
  for (size_t i = 0; i < spans.size(); ++i) {
    named += spans[i].length;
    index += int64_t{spans[i].offset} + spans[i].length;
    const bool bad_gap =
        i == 0 ? spans[i].offset == INT32_MIN : spans[i].offset < 0;
    if (bad_gap || index > INT32_MAX) {
      return InvalidArgument("{} span {} of the histogram has offset {}", side,
                             i + 1, spans[i].offset);
    }
  }
  if (named != buckets) {
    return InvalidArgument(
        "the {} spans of the histogram name {} buckets, but it has {}", side,
        named, buckets);
  }
  return absl::OkStatus();
}

template <typename Count>
absl::Status CheckCustom(const BasicHistogram<Count>& h) {
  for (size_t i = 0; i < h.custom_values.size(); ++i) {
    const double bound = h.custom_values[i];
    // The last bucket's bound, +Inf, is implied and must not be given.
    if (!std::isfinite(bound)) {
      return InvalidArgument("custom bound {} of the histogram is {}", i + 1,
                             bound);
    }
    if (i > 0 && bound <= h.custom_values[i - 1]) {
      return InvalidArgument("custom bounds of the histogram do not ascend");
    }
  }
  if (h.zero_count != 0 || h.zero_threshold != 0 || !h.negative_spans.empty()) {
    return InvalidArgument(
        "a histogram with custom bounds has a zero bucket or negative buckets");
  }
  int64_t end = 0;
  for (const HistogramSpan& span : h.positive_spans) {
    end += int64_t{span.offset} + span.length;
  }
  if ((!h.positive_spans.empty() && h.positive_spans[0].offset < 0) ||
      end > static_cast<int64_t>(h.custom_values.size()) + 1) {
    return InvalidArgument("the histogram has buckets beyond its {} bounds",
                           h.custom_values.size());
  }
  return absl::OkStatus();
}

/// Spans, schema and bounds: what is the same for both kinds of counts.
template <typename Count>
absl::Status CheckLayout(const BasicHistogram<Count>& h) {
  VARVE_RETURN_IF_ERROR(
      CheckSpans(h.positive_spans, h.positive_buckets.size(), "positive"));
  VARVE_RETURN_IF_ERROR(
      CheckSpans(h.negative_spans, h.negative_buckets.size(), "negative"));
  if (h.schema == kCustomBucketsSchema) return CheckCustom(h);
  if (h.schema < kExponentialSchemaMin || h.schema > kExponentialSchemaMax) {
    return InvalidArgument("histogram schema {} is not one of {} to {} or {}",
                           h.schema, kExponentialSchemaMin,
                           kExponentialSchemaMax, kCustomBucketsSchema);
  }
  if (!h.custom_values.empty()) {
    return InvalidArgument(
        "a histogram with exponential buckets has custom bounds");
  }
  return absl::OkStatus();
}

absl::Status CheckNotNegative(const std::vector<double>& buckets,
                              std::string_view side) {
  for (size_t i = 0; i < buckets.size(); ++i) {
    if (buckets[i] < 0) {
      return InvalidArgument("{} bucket {} of the histogram is negative", side,
                             i + 1);
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckHistogram(const IntHistogram& h) {
  VARVE_RETURN_IF_ERROR(CheckLayout(h));
  uint64_t sum = h.zero_count;
  bool overflow = false;
  for (const auto* buckets : {&h.positive_buckets, &h.negative_buckets}) {
    for (const uint64_t n : *buckets) {
      overflow |= __builtin_add_overflow(sum, n, &sum);
    }
  }
  // Observations that are NaN are counted, and in no bucket.
  const bool fits = std::isnan(h.sum) ? sum <= h.count : sum == h.count;
  if (overflow || !fits) {
    return InvalidArgument(
        "the buckets of the histogram hold {} observations, its count is {}",
        sum, h.count);
  }
  return absl::OkStatus();
}

absl::Status CheckHistogram(const FloatHistogram& h) {
  VARVE_RETURN_IF_ERROR(CheckLayout(h));
  VARVE_RETURN_IF_ERROR(CheckNotNegative(h.positive_buckets, "positive"));
  VARVE_RETURN_IF_ERROR(CheckNotNegative(h.negative_buckets, "negative"));
  // No comparison with the sum of the buckets: rounding would refuse good ones.
  if (h.count < 0) return InvalidArgument("the histogram's count is negative");
  if (h.zero_count < 0) {
    return InvalidArgument("the histogram's zero bucket is negative");
  }
  return absl::OkStatus();
}

bool IsValidHistogram(const Histogram& histogram) {
  return std::visit([](const auto& h) { return CheckHistogram(h).ok(); },
                    histogram);
}

}  // namespace varve
