#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "storage/coding.h"
#include "storage/column_kernels.h"

namespace varve {

// A column of integers in the form that takes the fewest bytes: constant,
// linear, or the values, their deltas or something like them in bit-packed
// blocks of 128 with exceptions. The bytes are in storage/adaptive_column.md.
// Every int64 survives: arithmetic wraps. The number of values is not stored.
//
// A column's first byte is 0x40..0x7f, so that an enclosing format may use
// other values for other codecs.

enum class ColumnRead {
  kOk,
  kCorrupt,  ///< not what a writer writes
  kUnknown,  ///< a newer version may have written it
};

/// The modes, and what their blocks hold; y is (x - origin) >> shift.
enum class IntMode : uint8_t {
  kConstant = 0,
  kLinear = 1,
  kPlain = 2,   ///< y
  kDelta = 3,   ///< y[i] - y[i-1], from i = 1 on
  kDelta2 = 4,  ///< difference of those, from i = 2 on
  kBitmap = 5,  ///< bits say which deltas are not 0; those
  kLine = 6,    ///< y[i] - i * slope, from i = 1 on
};
inline constexpr size_t kIntModes = 7;

/// Integers per packed block; exceptions have one byte for their place.
inline constexpr size_t kPackedBlock = 128;

/// Appends the column; nothing if there are no values.
void PutAdaptiveInts(std::string* out, std::span<const int64_t> values);

/// How many bytes PutAdaptiveInts appends.
size_t AdaptiveIntsBytes(std::span<const int64_t> values);

/// Reads `out.size()` values and leaves `in` behind the column. Whatever the
/// bytes are, it reads nothing outside of them; `out` has arbitrary values when
/// the result is not kOk.
ColumnRead GetAdaptiveInts(Decoder* in, std::span<int64_t> out,
                           const ColumnKernels& kernels = BestColumnKernels());

/// The same into `n` words at `x`, for codecs that go on from there.
ColumnRead GetAdaptiveWords(Decoder* in, size_t n, char* x,
                            const ColumnKernels& kernels);

// ---- implementation details

namespace internal {
inline constexpr uint8_t kAdaptiveInts = 0x40;  // in every first byte
inline constexpr uint8_t kIntShifted = 0x20;
inline constexpr uint8_t kIntModeMask = 0x0f;
inline constexpr uint8_t kBlockHasExceptions = 0x80;
}  // namespace internal

}  // namespace varve
