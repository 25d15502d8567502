#include "query/histogram_arithmetic.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <iterator>
#include <limits>

namespace varve::promql {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

double Value(const KahanSum& sum) { return sum.Total(); }

/// Index of the bucket of a coarser schema that holds bucket `index`.
int32_t CoarserIndex(int32_t index, int32_t shift) {
  return ((index - 1) >> shift) + 1;
}

void WriteSide(const std::vector<std::pair<int32_t, KahanSum>>& side,
               double divisor, std::vector<HistogramSpan>* spans,
               std::vector<double>* counts) {
  int32_t next = 0;
  for (const auto& [index, sum] : side) {
    const double count = sum.sum / divisor + sum.compensation / divisor;
    if (count == 0) continue;
    if (!spans->empty() && index == next) {
      ++spans->back().length;
    } else {
      spans->push_back({index - next, 1});
    }
    counts->push_back(count);
    next = index + 1;
  }
}

}  // namespace

double BucketBound(int32_t index, int32_t schema) {
  if (schema < 0) {
    const int64_t exponent = static_cast<int64_t>(index) << -schema;
    if (exponent == 1024) return std::numeric_limits<double>::max();
    return std::ldexp(
        1.0, static_cast<int>(std::clamp<int64_t>(exponent, -1100, 1100)));
  }
  const int32_t per_octave = int32_t{1} << schema;
  const int32_t fraction = index & (per_octave - 1);
  const int32_t octave = index >> schema;
  // The last bound would be 2^1024; the largest number stands for it.
  if (fraction == 0 && octave == 1024) {
    return std::numeric_limits<double>::max();
  }
  return std::ldexp(std::exp2(static_cast<double>(fraction) / per_octave),
                    octave);
}

HistogramSum::HistogramSum(const FloatHistogram& first)
    : hint_(first.reset_hint),
      schema_(first.schema),
      zero_threshold_(first.zero_threshold),
      zero_{first.zero_count, 0},
      count_{first.count, 0},
      sum_{first.sum, 0},
      positive_(MakeSide(first.positive_spans, first.positive_buckets)),
      negative_(MakeSide(first.negative_spans, first.negative_buckets)),
      bounds_(first.custom_values) {}

HistogramSum::Side HistogramSum::MakeSide(
    const std::vector<HistogramSpan>& spans,
    const std::vector<double>& counts) {
  Side side;
  side.reserve(counts.size());
  int32_t index = 0;
  size_t at = 0;
  for (const HistogramSpan& span : spans) {
    index += span.offset;
    for (uint32_t i = 0; i < span.length && at < counts.size(); ++i) {
      side.emplace_back(index++, KahanSum{counts[at++], 0});
    }
  }
  return side;
}

void HistogramSum::AddSide(Side* to, const Side& from, double sign) {
  Side merged;
  merged.reserve(to->size() + from.size());
  auto a = to->begin();
  auto b = from.begin();
  while (a != to->end() || b != from.end()) {
    if (b == from.end() || (a != to->end() && a->first < b->first)) {
      merged.push_back(*a++);
      continue;
    }
    std::pair<int32_t, KahanSum> bucket{b->first, {}};
    if (a != to->end() && a->first == b->first) bucket = *a++;
    bucket.second.Add(sign * b->second.sum);
    bucket.second.compensation += sign * b->second.compensation;
    merged.push_back(bucket);
    ++b;
  }
  *to = std::move(merged);
}

bool HistogramSum::NoteHint(ResetHint other) {
  if (other == hint_ || hint_ == ResetHint::kGauge) return false;
  if (other == ResetHint::kGauge) {
    hint_ = ResetHint::kGauge;
    return false;
  }
  const bool collision =
      hint_ != ResetHint::kUnknown && other != ResetHint::kUnknown;
  hint_ = ResetHint::kUnknown;
  return collision;
}

void HistogramSum::ReduceSchema(int32_t schema) {
  const int32_t shift = schema_ - schema;
  if (shift <= 0) return;
  for (Side* side : {&positive_, &negative_}) {
    Side reduced;
    for (const auto& [index, count] : *side) {
      const int32_t to = CoarserIndex(index, shift);
      if (reduced.empty() || reduced.back().first != to) {
        reduced.emplace_back(to, count);
      } else {
        reduced.back().second.Add(count.sum);
        reduced.back().second.compensation += count.compensation;
      }
    }
    *side = std::move(reduced);
  }
  schema_ = schema;
}

void HistogramSum::Rebound(const std::vector<double>& bounds) {
  Side rebound;
  for (const auto& [index, count] : positive_) {
    const auto i = static_cast<size_t>(index);
    const double upper = i < bounds_.size() ? bounds_[i] : kInf;
    const auto to = static_cast<int32_t>(
        std::lower_bound(bounds.begin(), bounds.end(), upper) - bounds.begin());
    if (rebound.empty() || rebound.back().first != to) {
      rebound.emplace_back(to, count);
    } else {
      rebound.back().second.Add(count.sum);
      rebound.back().second.compensation += count.compensation;
    }
  }
  positive_ = std::move(rebound);
  bounds_ = bounds;
}

void HistogramSum::WidenZero(double threshold) {
  if (threshold <= zero_threshold_) return;
  // The threshold grows until it lies inside no populated bucket.
  for (bool grown = true; grown;) {
    grown = false;
    for (const Side* side : {&positive_, &negative_}) {
      for (const auto& [index, count] : *side) {
        if (BucketBound(index - 1, schema_) >= threshold) break;
        const double upper = BucketBound(index, schema_);
        if (upper > threshold && Value(count) != 0) {
          threshold = upper;
          grown = true;
        }
      }
    }
  }
  for (Side* side : {&positive_, &negative_}) {
    size_t inside = 0;
    for (; inside < side->size(); ++inside) {
      const auto& [index, count] = (*side)[inside];
      if (BucketBound(index - 1, schema_) >= threshold) break;
      zero_.Add(count.sum);
      zero_.compensation += count.compensation;
    }
    side->erase(side->begin(),
                side->begin() + static_cast<std::ptrdiff_t>(inside));
  }
  zero_threshold_ = threshold;
}

void HistogramSum::Align(HistogramSum* a, HistogramSum* b) {
  if (a->schema_ == kCustomBucketsSchema) {
    if (a->bounds_ == b->bounds_) return;
    std::vector<double> common;
    std::set_intersection(a->bounds_.begin(), a->bounds_.end(),
                          b->bounds_.begin(), b->bounds_.end(),
                          std::back_inserter(common));
    a->Rebound(common);
    b->Rebound(common);
    return;
  }
  while (a->zero_threshold_ != b->zero_threshold_) {
    a->WidenZero(b->zero_threshold_);
    b->WidenZero(a->zero_threshold_);
  }
  const int32_t schema = std::min(a->schema_, b->schema_);
  a->ReduceSchema(schema);
  b->ReduceSchema(schema);
}

HistogramSum::Outcome HistogramSum::Add(const FloatHistogram& other,
                                        double sign) {
  Outcome outcome;
  const bool custom = schema_ == kCustomBucketsSchema;
  if (custom != UsesCustomBuckets(other)) {
    outcome.incompatible = true;
    return outcome;
  }
  outcome.reset_collision = NoteHint(other.reset_hint);
  outcome.bounds_reconciled = custom && bounds_ != other.custom_values;
  HistogramSum addend(other);
  Align(this, &addend);
  zero_.Add(sign * addend.zero_.sum);
  zero_.compensation += sign * addend.zero_.compensation;
  count_.Add(sign * other.count);
  sum_.Add(sign * other.sum);
  AddSide(&positive_, addend.positive_, sign);
  AddSide(&negative_, addend.negative_, sign);
  return outcome;
}

bool HistogramSum::WouldOverflow(const FloatHistogram& other) const {
  return (std::isinf(sum_.sum + other.sum) && !std::isinf(sum_.sum) &&
          !std::isinf(other.sum)) ||
         (std::isinf(count_.sum + other.count) && !std::isinf(count_.sum) &&
          !std::isinf(other.count));
}

void HistogramSum::Scale(double factor) {
  const auto scale = [factor](KahanSum* s) {
    s->sum *= factor;
    s->compensation *= factor;
  };
  for (KahanSum* s : {&zero_, &count_, &sum_}) scale(s);
  for (Side* side : {&positive_, &negative_}) {
    for (auto& bucket : *side) scale(&bucket.second);
  }
}

FloatHistogram HistogramSum::Result(double divisor) const {
  const auto value = [divisor](const KahanSum& s) {
    if (std::isinf(s.sum)) return s.sum / divisor;
    return s.sum / divisor + s.compensation / divisor;
  };
  FloatHistogram h;
  h.reset_hint = hint_;
  h.schema = schema_;
  h.zero_threshold = zero_threshold_;
  h.zero_count = value(zero_);
  h.count = value(count_);
  h.sum = value(sum_);
  h.custom_values = bounds_;
  WriteSide(positive_, divisor, &h.positive_spans, &h.positive_buckets);
  WriteSide(negative_, divisor, &h.negative_spans, &h.negative_buckets);
  return h;
}

FloatHistogram Multiplied(const FloatHistogram& h, double factor) {
  FloatHistogram out = h;
  out.zero_count *= factor;
  out.count *= factor;
  out.sum *= factor;
  for (double& c : out.positive_buckets) c *= factor;
  for (double& c : out.negative_buckets) c *= factor;
  if (factor < 0) out.reset_hint = ResetHint::kGauge;
  return out;
}

FloatHistogram Divided(const FloatHistogram& h, double divisor) {
  FloatHistogram out = h;
  out.zero_count /= divisor;
  out.count /= divisor;
  out.sum /= divisor;
  if (divisor == 0) {
    out.positive_spans.clear();
    out.positive_buckets.clear();
    out.negative_spans.clear();
    out.negative_buckets.clear();
    return out;
  }
  for (double& c : out.positive_buckets) c /= divisor;
  for (double& c : out.negative_buckets) c /= divisor;
  if (divisor < 0) out.reset_hint = ResetHint::kGauge;
  return out;
}

FloatHistogram Compacted(const FloatHistogram& h) {
  return HistogramSum(h).Result();
}

bool SameHistogram(const FloatHistogram& a, const FloatHistogram& b) {
  const auto same_side = [](const std::vector<HistogramSpan>& a_spans,
                            const std::vector<double>& a_counts,
                            const std::vector<HistogramSpan>& b_spans,
                            const std::vector<double>& b_counts) {
    if (a_counts != b_counts) return false;
    const auto indexes = [](const std::vector<HistogramSpan>& spans) {
      std::vector<int32_t> out;
      int32_t index = 0;
      for (const HistogramSpan& span : spans) {
        index += span.offset;
        for (uint32_t i = 0; i < span.length; ++i) out.push_back(index++);
      }
      return out;
    };
    return a_spans == b_spans || indexes(a_spans) == indexes(b_spans);
  };
  return a.schema == b.schema && a.count == b.count && a.sum == b.sum &&
         a.custom_values == b.custom_values &&
         a.zero_threshold == b.zero_threshold && a.zero_count == b.zero_count &&
         same_side(a.positive_spans, a.positive_buckets, b.positive_spans,
                   b.positive_buckets) &&
         same_side(a.negative_spans, a.negative_buckets, b.negative_spans,
                   b.negative_buckets);
}

bool IsReset(const FloatHistogram& now, const FloatHistogram& before) {
  if (now.reset_hint == ResetHint::kReset) return true;
  if (now.reset_hint == ResetHint::kNotReset) return false;
  if (now.count < before.count) return true;
  const bool custom = UsesCustomBuckets(now);
  if (custom != UsesCustomBuckets(before)) return true;
  // A finer schema or a narrower zero bucket comes only with a reset.
  if (!custom && (now.schema > before.schema ||
                  now.zero_threshold < before.zero_threshold)) {
    return true;
  }
  HistogramSum a(now);
  HistogramSum b(before);
  if (custom) {
    HistogramSum::Align(&a, &b);
  } else {
    b.WidenZero(now.zero_threshold);
    if (b.zero_threshold_ != now.zero_threshold) return true;
    b.ReduceSchema(now.schema);
  }
  if (Value(a.zero_) < Value(b.zero_)) return true;
  const auto fewer = [](const HistogramSum::Side& new_side,
                        const HistogramSum::Side& old_side) {
    auto n = new_side.begin();
    for (const auto& [index, count] : old_side) {
      while (n != new_side.end() && n->first < index) ++n;
      const bool there = n != new_side.end() && n->first == index;
      if (there ? Value(n->second) < Value(count) : Value(count) != 0) {
        return true;
      }
    }
    return false;
  };
  return fewer(a.positive_, b.positive_) || fewer(a.negative_, b.negative_);
}

}  // namespace varve::promql
