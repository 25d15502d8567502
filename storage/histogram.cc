#include "storage/histogram.h"

#include <bit>
#include <cstring>
#include <type_traits>

#include "storage/sample.h"

namespace varve {
namespace {

template <typename T>
bool SameBits(const std::vector<T>& a, const std::vector<T>& b) {
  static_assert(std::is_arithmetic_v<T>);
  return a.size() == b.size() &&
         (a.empty() ||
          std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

bool SameBits(double a, double b) {
  return std::bit_cast<uint64_t>(a) == std::bit_cast<uint64_t>(b);
}
bool SameBits(uint64_t a, uint64_t b) { return a == b; }

template <typename C>
bool SameHistogram(const BasicHistogram<C>& a, const BasicHistogram<C>& b) {
  return a.reset_hint == b.reset_hint && a.schema == b.schema &&
         SameBits(a.zero_threshold, b.zero_threshold) &&
         SameBits(a.zero_count, b.zero_count) && SameBits(a.count, b.count) &&
         SameBits(a.sum, b.sum) && a.positive_spans == b.positive_spans &&
         a.negative_spans == b.negative_spans &&
         SameBits(a.positive_buckets, b.positive_buckets) &&
         SameBits(a.negative_buckets, b.negative_buckets) &&
         SameBits(a.custom_values, b.custom_values);
}

}  // namespace

FloatHistogram ToFloat(const Histogram& histogram) {
  if (const auto* f = std::get_if<FloatHistogram>(&histogram)) return *f;
  const auto& h = std::get<IntHistogram>(histogram);
  FloatHistogram out;
  out.reset_hint = h.reset_hint;
  out.schema = h.schema;
  out.zero_threshold = h.zero_threshold;
  out.zero_count = static_cast<double>(h.zero_count);
  out.count = static_cast<double>(h.count);
  out.sum = h.sum;
  out.positive_spans = h.positive_spans;
  out.negative_spans = h.negative_spans;
  out.positive_buckets.assign(h.positive_buckets.begin(),
                              h.positive_buckets.end());
  out.negative_buckets.assign(h.negative_buckets.begin(),
                              h.negative_buckets.end());
  out.custom_values = h.custom_values;
  return out;
}

bool BitEqual(const Histogram& a, const Histogram& b) {
  if (a.index() != b.index()) return false;
  return std::visit(
      [&](const auto& x) {
        return SameHistogram(x, std::get<std::decay_t<decltype(x)>>(b));
      },
      a);
}

bool IsStale(const Histogram& histogram) {
  return std::visit([](const auto& h) { return IsStaleNan(h.sum); }, histogram);
}

}  // namespace varve
