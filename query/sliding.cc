#include "query/sliding.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "storage/sample.h"

namespace varve::promql {
namespace {

/// Values that are looked at together where something rare is looked for.
constexpr size_t kBlock = 32;

template <bool kMax>
double Extreme(double a, double b) {
  return (kMax ? b > a : b < a) || std::isnan(a) ? b : a;
}

template <bool kMax>
double FoldInOrder(std::span<const double> values) {
  double out = values[0];
  for (double v : values) out = Extreme<kMax>(out, v);
  return out;
}

/// Four lanes that skip NaN by themselves. They lose which of two zeros came
/// first and whether there was anything but NaN, so then the slow way decides.
template <bool kMax>
double Fold(std::span<const double> values) {
  constexpr double kNone = kMax ? -std::numeric_limits<double>::infinity()
                                : std::numeric_limits<double>::infinity();
  double lane[4] = {kNone, kNone, kNone, kNone};
  const auto better = [](double a, double b) {
    return (kMax ? b > a : b < a) ? b : a;
  };
  size_t i = 0;
  for (; i + 4 <= values.size(); i += 4) {
    for (size_t k = 0; k < 4; ++k) lane[k] = better(lane[k], values[i + k]);
  }
  for (; i < values.size(); ++i) lane[0] = better(lane[0], values[i]);
  const double out = better(better(lane[0], lane[1]), better(lane[2], lane[3]));
  return out == 0 || out == kNone ? FoldInOrder<kMax>(values) : out;
}

constexpr uint64_t kSign = uint64_t{1} << 63;
/// The key of +Inf and 1: NaN with the sign clear would sort above all numbers;
/// turning the circle of keys by so much puts every NaN below them.
constexpr uint64_t kTurn = kSign + 0x7ff0000000000000 + 1;

uint64_t KeyOf(double v) {
  const auto bits = std::bit_cast<uint64_t>(v);
  return ((bits & kSign) != 0 ? ~bits : bits | kSign) - kTurn;
}

double OfKey(uint64_t key) {
  const uint64_t turned = key + kTurn;
  return std::bit_cast<double>((turned & kSign) != 0 ? turned & ~kSign
                                                     : ~turned);
}

}  // namespace

namespace {

// The loops of the functions below; the lanes of their masks are as wide as
// those of the values, so that they become compare and or.

[[gnu::always_inline]] inline bool AnyStale(const double* values, size_t n) {
  uint64_t found = 0;
  for (size_t i = 0; i < n; ++i) {
    found |= IsStaleNan(values[i]) ? ~uint64_t{0} : 0;
  }
  return found != 0;
}

[[gnu::always_inline]] inline void AppendResets(const double* values, size_t n,
                                                std::vector<uint32_t>* resets) {
  for (size_t i = 1; i < n; i += kBlock) {
    const size_t count = std::min(kBlock, n - i);
    const double* now = values + i;
    if (count == kBlock) {
      uint64_t any = 0;
      for (size_t k = 0; k < kBlock; ++k) {
        any |= now[k] < (now - 1)[k] ? ~uint64_t{0} : 0;
      }
      if (any == 0) continue;
    }
    for (size_t k = 0; k < count; ++k) {
      if (now[k] < (now - 1)[k]) resets->push_back(uint32_t(i + k));
    }
  }
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) bool AnyStaleAvx2(const double* values,
                                                  size_t n) {
  return AnyStale(values, n);
}
__attribute__((target("avx2"))) void AppendResetsAvx2(
    const double* values, size_t n, std::vector<uint32_t>* resets) {
  AppendResets(values, n, resets);
}
const bool kHasAvx2 = __builtin_cpu_supports("avx2") != 0;
#endif

}  // namespace

bool HasStale(std::span<const double> values) {
#if defined(__x86_64__)
  if (kHasAvx2) return AnyStaleAvx2(values.data(), values.size());
#endif
  return AnyStale(values.data(), values.size());
}

void FindResets(std::span<const double> values, std::vector<uint32_t>* resets) {
  resets->clear();
#if defined(__x86_64__)
  if (kHasAvx2) {
    return AppendResetsAvx2(values.data(), values.size(), resets);
  }
#endif
  AppendResets(values.data(), values.size(), resets);
}

void CountChanges(std::span<const double> values,
                  std::vector<uint32_t>* changes) {
  changes->resize(values.size());
  uint32_t count = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const double now = values[i];
    const double before = values[i == 0 ? 0 : i - 1];
    count += ((now != before) & !((now != now) & (before != before))) ? 1 : 0;
    (*changes)[i] = count;
  }
}

void CountResets(std::span<const double> values,
                 std::vector<uint32_t>* resets) {
  resets->resize(values.size());
  uint32_t count = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    count += values[i] < values[i == 0 ? 0 : i - 1] ? 1 : 0;
    (*resets)[i] = count;
  }
}

template <bool kMax>
Extremes<kMax>::Extremes(std::span<const double> values, size_t window_samples)
    : values_(values) {
  if (window_samples < 4 * values.size()) return;
  for (size_t i = 0; i + kBlock <= values.size(); i += kBlock) {
    blocks_.push_back(Fold<kMax>(values.subspan(i, kBlock)));
  }
}

template <bool kMax>
double Extremes<kMax>::Of(size_t begin, size_t end) const {
  const size_t first = (begin + kBlock - 1) / kBlock;
  const size_t last = end / kBlock;
  if (first >= last || last > blocks_.size()) {
    return Fold<kMax>(values_.subspan(begin, end - begin));
  }
  double out = Fold<kMax>(std::span(blocks_).subspan(first, last - first));
  if (begin < first * kBlock) {
    const double head =
        Fold<kMax>(values_.subspan(begin, first * kBlock - begin));
    out = Extreme<kMax>(head, out);
  }
  if (last * kBlock < end) {
    const double tail =
        Fold<kMax>(values_.subspan(last * kBlock, end - last * kBlock));
    out = Extreme<kMax>(out, tail);
  }
  return out;
}

template class Extremes<true>;
template class Extremes<false>;

void SortedWindow::Sort(size_t begin, size_t end,
                        std::vector<uint64_t>* keys) const {
  keys->clear();
  for (size_t i = begin; i < end; ++i) keys->push_back(KeyOf(values_[i]));
  std::sort(keys->begin(), keys->end());
}

void SortedWindow::MoveTo(size_t begin, size_t end) {
  const size_t moved = (begin - begin_) + (end - end_);
  const bool afresh = begin >= end_ || moved > (end - begin);
  if (afresh) {
    Sort(begin, end, &keys_);
  } else if (moved > 0) {
    Sort(begin_, begin, &leaving_);
    Sort(end_, end, &coming_);
    Merge();
  }
  begin_ = begin;
  end_ = end;
}

/// One pass over the keys. What leaves is among them, since begin < end_.
void SortedWindow::Merge() {
  merged_.resize(keys_.size() - leaving_.size() + coming_.size());
  auto leaving = leaving_.begin();
  auto coming = coming_.begin();
  auto out = merged_.begin();
  for (const uint64_t key : keys_) {
    if (leaving != leaving_.end() && key == *leaving) {
      ++leaving;
      continue;
    }
    while (coming != coming_.end() && *coming < key) *out++ = *coming++;
    *out++ = key;
  }
  std::copy(coming, coming_.end(), out);
  keys_.swap(merged_);
}

double SortedWindow::operator[](size_t i) const { return OfKey(keys_[i]); }

}  // namespace varve::promql
