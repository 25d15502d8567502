#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "storage/adaptive_ints.h"
#include "storage/coding.h"

namespace varve {

// A column of doubles as integers: v = i / 10^e where that comes back bit for
// bit (what people and programs print), else i / 10^e and the few units in the
// last place that a running sum is off, else the bit patterns. Values that do
// not fit (NaN, stale markers, infinities, -0.0, the odd one among decimals)
// stand apart as runs. The bytes are in storage/adaptive_column.md.
//
// Every bit pattern survives: a value is moved as an integer, and the result of
// arithmetic is used only where it was compared with the value's bits before.
// The number of values is not stored. The first byte is 0x40..0xff.

/// The largest e; 10^e is an exact double up to 22.
inline constexpr unsigned kDecimalPlacesMax = 18;

/// Appends the column; nothing if there are no values.
void PutAdaptiveValues(std::string* out, std::span<const double> values);

/// Reads `out.size()` values and leaves `in` behind the column. Whatever the
/// bytes are, it reads nothing outside of them; `out` has arbitrary values when
/// the result is not kOk.
ColumnRead GetAdaptiveValues(
    Decoder* in, std::span<double> out,
    const ColumnKernels& kernels = BestColumnKernels());

// ---- implementation details

namespace internal {
/// The first byte: kind, whether there are runs, and e or for kBits which of
/// two forms.
inline constexpr uint8_t kValueKindMask = 0xc0;
inline constexpr uint8_t kValueDecimal = 0x40;
inline constexpr uint8_t kValueSum = 0x80;  // decimals and units in last place
inline constexpr uint8_t kValueBits = 0xc0;
inline constexpr uint8_t kValueHasRuns = 0x20;
inline constexpr uint8_t kValuePlacesMask = 0x1f;
inline constexpr uint8_t kValueConstantBits = 0xc1;

/// What a run repeats.
enum RunCode : uint8_t {
  kRunStale = 0,
  kRunNan = 1,
  kRunBits = 2,   // 8 bytes follow
  kRunAgain = 3,  // those of the last kRunBits, or -0.0
};
inline constexpr uint64_t kMinusZeroBits = uint64_t{1} << 63;

inline constexpr double kPowersOfTen[kDecimalPlacesMax + 1] = {
    1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8, 1e9,
    1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18};
}  // namespace internal

}  // namespace varve
