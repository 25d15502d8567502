#include "storage/adaptive_values.h"

#include <array>
#include <cstring>
#include <memory>

#include "storage/sample.h"

namespace varve {
namespace {

/// The runs of a column, read once to know how many samples they take and once
/// more to put them in their places.
class RunReader {
 public:
  /// `n`: samples in the column.
  RunReader(Decoder* in, size_t n) : in_(in), left_(n) {
    runs_ = in_->VarintAtMost(n);
    if (runs_ == 0) in_->Fail();
  }

  /// False at the end or when the bytes are wrong.
  bool Next() {
    if (runs_ == 0 || !in_->ok()) return false;
    --runs_;
    gap_ = in_->VarintAtMost(left_);
    left_ -= gap_;
    const uint64_t head = in_->Varint();
    count_ = (head >> 2) + 1;
    if (count_ > left_) in_->Fail();
    left_ -= count_;
    switch (head & 3) {
      case internal::kRunStale:
        bits_ = kStaleNanBits;
        break;
      case internal::kRunNan:
        bits_ = kNormalNanBits;
        break;
      case internal::kRunBits:
        again_ = in_->Fixed64();
        [[fallthrough]];
      default:
        bits_ = again_;
    }
    return in_->ok();
  }

  size_t gap() const { return gap_; }      ///< samples since the last run
  size_t count() const { return count_; }  ///< samples in this run
  uint64_t bits() const { return bits_; }

 private:
  Decoder* in_;
  size_t left_;
  uint64_t runs_ = 0;
  size_t gap_ = 0;
  size_t count_ = 0;
  uint64_t bits_ = 0;
  uint64_t again_ = internal::kMinusZeroBits;
};

/// Moves the `plain` words at the end of the column's n to their places and
/// fills the runs in between.
void MergeRuns(Decoder runs, size_t n, size_t plain, char* x) {
  RunReader reader(&runs, n);
  const char* source = x + 8 * (n - plain);
  while (reader.Next()) {
    std::memmove(x, source, 8 * reader.gap());
    x += 8 * reader.gap();
    source += 8 * reader.gap();
    for (size_t i = 0; i < reader.count(); ++i, x += 8) {
      StoreFixed(x, reader.bits());
    }
  }
  // What is behind the last run is in its place already.
}

/// Adds the units in the last place, a column of their own, to `n` doubles.
ColumnRead AddUnits(Decoder* in, size_t n, char* x,
                    const ColumnKernels& kernels) {
  constexpr size_t kOnStack = 512;
  std::array<char, 8 * kOnStack> few;
  const std::unique_ptr<char[]> many(n > kOnStack ? new char[8 * n] : nullptr);
  char* units = n > kOnStack ? many.get() : few.data();
  const ColumnRead result = GetAdaptiveWords(in, n, units, kernels);
  if (result != ColumnRead::kOk) return result;
  for (size_t i = 0; i < 8 * n; i += 8) {
    StoreFixed(x + i, LoadFixed64(x + i) + LoadFixed64(units + i));
  }
  return ColumnRead::kOk;
}

ColumnRead ReadConstant(Decoder* in, size_t n, char* x) {
  const uint64_t bits = in->Fixed64();
  if (!in->ok()) return ColumnRead::kCorrupt;
  for (size_t i = 0; i < n; ++i) StoreFixed(x + 8 * i, bits);
  return ColumnRead::kOk;
}

/// The samples outside of runs.
ColumnRead ReadPlain(Decoder* in, uint8_t head, size_t n, char* x,
                     const ColumnKernels& kernels) {
  const uint8_t kind = head & internal::kValueKindMask;
  const unsigned places = head & internal::kValuePlacesMask;
  const bool bits = kind == internal::kValueBits;
  if (places > (bits ? 0 : kDecimalPlacesMax)) return ColumnRead::kUnknown;
  const ColumnRead result = GetAdaptiveWords(in, n, x, kernels);
  if (bits || result != ColumnRead::kOk) return result;
  kernels.divide(x, n, internal::kPowersOfTen[places]);
  return kind == internal::kValueSum ? AddUnits(in, n, x, kernels)
                                     : ColumnRead::kOk;
}

}  // namespace

ColumnRead GetAdaptiveValues(Decoder* in, std::span<double> out,
                             const ColumnKernels& kernels) {
  const size_t n = out.size();
  if (n == 0) return ColumnRead::kOk;
  char* x = reinterpret_cast<char*>(out.data());
  const uint8_t head = in->U8();
  if (!in->ok()) return ColumnRead::kCorrupt;
  if ((head & internal::kValueKindMask) == 0) return ColumnRead::kUnknown;
  if (head == internal::kValueConstantBits) return ReadConstant(in, n, x);
  if ((head & internal::kValueHasRuns) == 0) {
    return ReadPlain(in, head, n, x, kernels);
  }
  const Decoder runs = *in;
  size_t plain = n;
  for (RunReader reader(in, n); reader.Next();) plain -= reader.count();
  if (!in->ok()) return ColumnRead::kCorrupt;
  const ColumnRead result =
      ReadPlain(in, head, plain, x + 8 * (n - plain), kernels);
  if (result == ColumnRead::kOk) MergeRuns(runs, n, plain, x);
  return result;
}

}  // namespace varve
