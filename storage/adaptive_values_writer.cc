#include <algorithm>
#include <bit>
#include <cmath>
#include <optional>
#include <vector>

#include "storage/adaptive_ints.h"
#include "storage/adaptive_values.h"
#include "storage/sample.h"

namespace varve {
namespace {

using internal::kPowersOfTen;

/// Products up to here are exact integers.
constexpr double kIntegerMax = 0x1p53;

uint64_t Bits(double v) { return std::bit_cast<uint64_t>(v); }
int64_t SignedBits(double v) { return std::bit_cast<int64_t>(v); }

/// NaN and infinities, and the zero that no integer makes.
bool IsSpecial(double v) {
  const uint64_t bits = Bits(v);
  return (bits & 0x7ff0000000000000) == 0x7ff0000000000000 ||
         bits == internal::kMinusZeroBits;
}

/// Without places any integer that a double has is as good as another.
double LimitOf(unsigned places) { return places == 0 ? 0x1p63 : kIntegerMax; }

/// The runs of samples for which `apart(i)`.
template <typename Apart>
void PutRuns(std::string* out, std::span<const double> values,
             const Apart& apart) {
  std::string runs;
  uint64_t count = 0;
  uint64_t again = internal::kMinusZeroBits;
  size_t last_end = 0;
  for (size_t begin = 0; begin < values.size();) {
    if (!apart(begin)) {
      ++begin;
      continue;
    }
    const uint64_t bits = Bits(values[begin]);
    size_t end = begin + 1;
    while (end < values.size() && apart(end) && Bits(values[end]) == bits) {
      ++end;
    }
    const internal::RunCode code = bits == kStaleNanBits ? internal::kRunStale
                                   : bits == kNormalNanBits ? internal::kRunNan
                                   : bits == again ? internal::kRunAgain
                                                   : internal::kRunBits;
    PutVarint(&runs, begin - last_end);
    PutVarint(&runs, (end - begin - 1) << 2 | code);
    if (code == internal::kRunBits) {
      PutFixed64(&runs, bits);
      again = bits;
    }
    ++count;
    begin = last_end = end;
  }
  PutVarint(out, count);
  *out += runs;
}

/// Values as integers over one power of ten.
struct Decimals {
  unsigned places = 0;
  std::vector<int64_t> integers;  // of the values that fit
  std::vector<uint32_t> misfits;  // where the others stand
};

/// Finds the places that all values need, in one pass: a value that is exact
/// with some places stays exact with more, since division rounds correctly, as
/// long as its integer is. No result when too many values do not fit.
class DecimalFinder {
 public:
  explicit DecimalFinder(std::span<const double> values)
      : values_(values), misfits_max_(values.size() / 16 + 1) {
    for (const double v : values) {
      const double magnitude = std::fabs(v);
      if (magnitude <= 0x1p63) largest_ = std::max(largest_, magnitude);
    }
  }

  std::optional<Decimals> Find() {
    found_.integers.resize(values_.size());
    size_t kept = 0;
    for (size_t i = 0; i < values_.size();) {
      // The integers stand where they will stay, without gaps.
      const size_t good = BestColumnKernels().decimals(
          values_.data() + i, values_.size() - i, kPowersOfTen[found_.places],
          LimitOf(found_.places), found_.integers.data() + kept);
      i += good;
      kept += good;
      if (i == values_.size()) break;
      if (MorePlacesFor(values_[i], kept)) continue;
      if (found_.misfits.size() == misfits_max_) return std::nullopt;
      found_.misfits.push_back(static_cast<uint32_t>(i++));
    }
    found_.integers.resize(kept);
    return std::move(found_);
  }

 private:
  static bool Fits(double v, unsigned places) {
    int64_t unused;
    return BestColumnKernels().decimals(&v, 1, kPowersOfTen[places],
                                        LimitOf(places), &unused) == 1;
  }

  bool MorePlacesFor(double v, size_t kept) {
    unsigned places_max = found_.places;
    while (places_max < kDecimalPlacesMax &&
           largest_ * kPowersOfTen[places_max + 1] <= kIntegerMax) {
      ++places_max;
    }
    if (places_max == found_.places || !Fits(v, places_max)) return false;
    unsigned places = found_.places + 1;
    while (places < places_max && !Fits(v, places)) ++places;
    Rescale(kept, places);
    return true;
  }

  void Rescale(size_t kept, unsigned places) {
    const auto factor =
        static_cast<int64_t>(kPowersOfTen[places - found_.places]);
    // No integer is above what `largest_` gives, except beyond 2^53, which no
    // column with places has.
    for (size_t i = 0; i < kept; ++i) found_.integers[i] *= factor;
    found_.places = places;
  }

  std::span<const double> values_;
  size_t misfits_max_;
  double largest_ = 0;
  Decimals found_;
};

/// A running sum of decimals: integers, and by how many units in the last place
/// the sum is off.
struct Sums {
  unsigned places = 0;
  std::vector<int64_t> integers;
  std::vector<int64_t> units;
};

struct SumParts {
  int64_t integer;
  int64_t units;
};

/// REQUIRES: the product is not above kIntegerMax.
SumParts SplitSum(double v, double power) {
  const int64_t integer = std::llrint(v * power);
  const double near = static_cast<double>(integer) / power;
  return {integer, static_cast<int64_t>(Bits(v) - Bits(near))};
}

bool LooksLikeSum(std::span<const double> values, unsigned places) {
  constexpr size_t kProbes = 16;
  constexpr int64_t kUnitsMax = 64;
  const double power = kPowersOfTen[places];
  for (size_t k = 0; k < kProbes; ++k) {
    const double v = values[k * (values.size() - 1) / (kProbes - 1)];
    if (!(std::fabs(v) * power <= kIntegerMax)) return false;
    const int64_t units = SplitSum(v, power).units;
    if (units > kUnitsMax || units < -kUnitsMax) return false;
  }
  return true;
}

std::optional<Sums> FindSums(std::span<const double> values) {
  for (const unsigned places : {2U, 3U, 6U, 9U, 12U}) {
    if (!LooksLikeSum(values, places)) continue;
    Sums sums;
    sums.places = places;
    const double power = kPowersOfTen[places];
    for (const double v : values) {
      if (!(std::fabs(v) * power <= kIntegerMax)) return std::nullopt;
      const SumParts parts = SplitSum(v, power);
      sums.integers.push_back(parts.integer);
      sums.units.push_back(parts.units);
    }
    return sums;
  }
  return std::nullopt;
}

bool PutConstant(std::string* out, std::span<const double> values) {
  const uint64_t first = Bits(values[0]);
  for (const double v : values) {
    if (Bits(v) != first) return false;
  }
  if (!IsSpecial(values[0])) {
    const auto decimals = DecimalFinder(values.first(1)).Find();
    if (decimals && decimals->misfits.empty()) {
      const size_t begin = out->size();
      PutU8(out,
            static_cast<uint8_t>(internal::kValueDecimal | decimals->places));
      PutAdaptiveInts(
          out, std::vector<int64_t>(values.size(), decimals->integers[0]));
      if (out->size() - begin <= 9) return true;
      out->resize(begin);
    }
  }
  PutU8(out, internal::kValueConstantBits);
  PutFixed64(out, first);
  return true;
}

/// The column of `values`, of which `plain` are those that are not special.
class ValueColumn {
 public:
  ValueColumn(std::span<const double> values, std::span<const double> plain)
      : values_(values), plain_(plain) {}

  void Put(std::string* out) {
    auto decimals = DecimalFinder(plain_).Find();
    if (decimals && decimals->misfits.empty() &&
        decimals->places < kPlacesDoubtful) {
      PutDecimals(out, *decimals);
      return;
    }
    std::string best = Try([&](std::string* s) { PutBits(s); });
    if (decimals) {
      Keep(&best, Try([&](std::string* s) { PutDecimals(s, *decimals); }));
    }
    if (const auto sums = FindSums(plain_)) {
      Keep(&best, Try([&](std::string* s) { PutSums(s, *sums); }));
    }
    *out += best;
  }

 private:
  /// From here on the integers may be wider than the bits.
  static constexpr unsigned kPlacesDoubtful = 10;

  template <typename F>
  static std::string Try(const F& put) {
    std::string s;
    put(&s);
    return s;
  }
  static void Keep(std::string* best, std::string other) {
    if (other.size() < best->size()) *best = std::move(other);
  }

  void PutHead(std::string* out, unsigned kind, unsigned places,
               const std::vector<bool>* misfits) const {
    const bool has_runs = misfits != nullptr || plain_.size() < values_.size();
    PutU8(out, static_cast<uint8_t>(kind | places |
                                    (has_runs ? internal::kValueHasRuns : 0)));
    if (!has_runs) return;
    PutRuns(out, values_, [&](size_t i) {
      return IsSpecial(values_[i]) || (misfits != nullptr && (*misfits)[i]);
    });
  }

  void PutDecimals(std::string* out, const Decimals& decimals) const {
    if (decimals.misfits.empty()) {
      PutHead(out, internal::kValueDecimal, decimals.places, nullptr);
    } else {
      // Their places count the values that are not special.
      std::vector<bool> misfits(values_.size());
      size_t k = 0;
      uint32_t at = 0;
      for (size_t i = 0; i < values_.size(); ++i) {
        if (IsSpecial(values_[i])) continue;
        if (k < decimals.misfits.size() && decimals.misfits[k] == at) {
          misfits[i] = true;
          ++k;
        }
        ++at;
      }
      PutHead(out, internal::kValueDecimal, decimals.places, &misfits);
    }
    PutAdaptiveInts(out, decimals.integers);
  }

  void PutSums(std::string* out, const Sums& sums) const {
    PutHead(out, internal::kValueSum, sums.places, nullptr);
    PutAdaptiveInts(out, sums.integers);
    PutAdaptiveInts(out, sums.units);
  }

  void PutBits(std::string* out) const {
    PutHead(out, internal::kValueBits, 0, nullptr);
    std::vector<int64_t> bits;
    bits.reserve(plain_.size());
    for (const double v : plain_) bits.push_back(SignedBits(v));
    PutAdaptiveInts(out, bits);
  }

  std::span<const double> values_;
  std::span<const double> plain_;
};

}  // namespace

void PutAdaptiveValues(std::string* out, std::span<const double> values) {
  if (values.empty() || PutConstant(out, values)) return;
  const size_t specials = static_cast<size_t>(
      std::count_if(values.begin(), values.end(), IsSpecial));
  if (specials == 0) {
    ValueColumn(values, values).Put(out);
    return;
  }
  std::vector<double> plain(values.size() - specials);
  size_t n = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    if (!IsSpecial(values[i])) plain[n++] = values[i];
  }
  ValueColumn(values, plain).Put(out);
}

}  // namespace varve
