#include "storage/histogram_check.h"

#include <cmath>
#include <type_traits>

namespace varve {
namespace {

constexpr int32_t kSchemaMin = -4;
constexpr int32_t kSchemaMax = 8;

bool SpansName(const std::vector<HistogramSpan>& spans, size_t buckets) {
  uint64_t named = 0;
  for (size_t i = 0; i < spans.size(); ++i) {
    if (i > 0 && spans[i].offset < 0) return false;
    named += spans[i].length;
  }
  return named == buckets;
}

/// Custom bounds ascend, and no bucket lies beyond the one up to +Inf.
template <typename Count>
bool CustomBucketsFit(const BasicHistogram<Count>& h) {
  for (size_t i = 0; i < h.custom_values.size(); ++i) {
    const double v = h.custom_values[i];
    if (std::isnan(v) || (std::isinf(v) && v > 0)) return false;
    if (i > 0 && !(v > h.custom_values[i - 1])) return false;
  }
  int64_t end = 0;
  for (const HistogramSpan& span : h.positive_spans) {
    if (span.offset < 0) return false;
    end += int64_t{span.offset} + span.length;
  }
  return end <= static_cast<int64_t>(h.custom_values.size()) + 1 &&
         h.zero_count == 0 && h.zero_threshold == 0 &&
         h.negative_spans.empty() && h.negative_buckets.empty();
}

template <typename Count>
bool CountsFit(const BasicHistogram<Count>& h) {
  if constexpr (std::is_same_v<Count, double>) {
    // Sums of floats need not match.
    for (const auto* buckets : {&h.positive_buckets, &h.negative_buckets}) {
      for (double b : *buckets) {
        if (b < 0) return false;
      }
    }
    return !(h.zero_count < 0) && !(h.count < 0);
  } else {
    uint64_t sum = h.zero_count;
    for (const auto* buckets : {&h.positive_buckets, &h.negative_buckets}) {
      for (uint64_t b : *buckets) {
        if (__builtin_add_overflow(sum, b, &sum)) return false;
      }
    }
    // Observations that are NaN are counted, and in no bucket.
    return std::isnan(h.sum) ? sum <= h.count : sum == h.count;
  }
}

template <typename Count>
bool IsValid(const BasicHistogram<Count>& h) {
  if (!SpansName(h.positive_spans, h.positive_buckets.size()) ||
      !SpansName(h.negative_spans, h.negative_buckets.size()) ||
      !CountsFit(h)) {
    return false;
  }
  if (h.schema == kCustomBucketsSchema) return CustomBucketsFit(h);
  return h.schema >= kSchemaMin && h.schema <= kSchemaMax &&
         h.custom_values.empty();
}

}  // namespace

bool IsValidHistogram(const Histogram& histogram) {
  return std::visit([](const auto& h) { return IsValid(h); }, histogram);
}

}  // namespace varve
