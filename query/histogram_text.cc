#include "query/histogram_text.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <vector>

#include "query/histogram_arithmetic.h"

namespace varve::promql {
namespace {

/// Go's %g (`exponent_from` 6) and %v (21): the shortest digits, with an
/// exponent below 1e-4 and from 10^exponent_from on.
std::string GoFloat(double v, int exponent_from) {
  if (std::isnan(v)) return "NaN";
  if (std::isinf(v)) return v > 0 ? "+Inf" : "-Inf";
  const double size = std::abs(v);
  const bool scientific =
      v != 0 && (size < 1e-4 || size >= std::pow(10, exponent_from));
  char text[64];
  const auto end = std::to_chars(
      text, text + sizeof(text), v,
      scientific ? std::chars_format::scientific : std::chars_format::fixed);
  return std::string(text, end.ptr);
}

std::string BucketText(char open, double lower, double upper, char close,
                       double count) {
  return std::string(", ") + open + GoFloat(lower, 6) + "," +
         GoFloat(upper, 6) + close + ":" + GoFloat(count, 21);
}

/// The texts of the populated buckets of one side, outwards from zero.
std::vector<std::string> SideTexts(const FloatHistogram& h, bool positive) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  std::vector<std::string> out;
  int32_t index = 0;
  size_t at = 0;
  const auto& counts = positive ? h.positive_buckets : h.negative_buckets;
  for (const HistogramSpan& span :
       positive ? h.positive_spans : h.negative_spans) {
    index += span.offset;
    for (uint32_t i = 0; i < span.length; ++i, ++index) {
      const double count = counts[at++];
      if (count == 0) continue;
      if (UsesCustomBuckets(h)) {
        const auto b = static_cast<size_t>(index);
        const double lower = b == 0 ? -kInf : h.custom_values[b - 1];
        const double upper =
            b < h.custom_values.size() ? h.custom_values[b] : kInf;
        out.push_back(BucketText(b == 0 ? '[' : '(', lower, upper, ']', count));
        continue;
      }
      const double outer = BucketBound(index, h.schema);
      const double inner = BucketBound(index - 1, h.schema);
      out.push_back(positive ? BucketText('(', inner, outer, ']', count)
                             : BucketText('[', -outer, -inner, ')', count));
    }
  }
  return out;
}

}  // namespace

std::string HistogramText(const FloatHistogram& h) {
  std::string out =
      "{count:" + GoFloat(h.count, 6) + ", sum:" + GoFloat(h.sum, 6);
  const std::vector<std::string> negative = SideTexts(h, false);
  for (auto it = negative.rbegin(); it != negative.rend(); ++it) out += *it;
  if (h.zero_count != 0) {
    out +=
        BucketText('[', -h.zero_threshold, h.zero_threshold, ']', h.zero_count);
  }
  for (const std::string& text : SideTexts(h, true)) out += text;
  return out + "}";
}

}  // namespace varve::promql
