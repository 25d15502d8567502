#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace varve {

// The inner loops of the adaptive columns (adaptive_ints.h, adaptive_values.h),
// once in portable C++ and once per vector extension. All give the same bytes
// on the same input, also on input that no writer made.
//
// Columns are worked on in place, as `n` little-endian words of 8 bytes at a
// char pointer: first integers, then the doubles they become. All arithmetic
// wraps. No loop touches memory outside of what its comment names.

/// How many words of a block have an offset from a base whose zigzag code has
/// so many bits: words at or above the base, and those below.
struct LengthCounts {
  uint8_t above[65];
  uint8_t below[65];  ///< not set if `any_below` is false
  bool any_below;
  uint8_t longest_above;  ///< above[] is set up to here
};

struct ColumnKernels {
  const char* name;

  /// Words of `width` bits (0..64), the lowest bit first, plus `base` each.
  /// Reads the (n * width + 7) / 8 bytes and no more.
  void (*unpack)(const char* bytes, unsigned width, size_t n, uint64_t base,
                 char* x);
  /// x[i] = start + x[0] + ... + x[i]
  void (*sum)(char* x, size_t n, uint64_t start);
  /// The same twice: d[i] = delta + x[0] + ... + x[i],
  /// x[i] = start + d[0] + ... + d[i]
  void (*sum2)(char* x, size_t n, uint64_t start, uint64_t delta);
  /// x[i] += start + i * slope
  void (*add_line)(char* x, size_t n, uint64_t start, uint64_t slope);
  /// x[i] = origin + (x[i] << shift), shift <= 63
  void (*scale)(char* x, size_t n, unsigned shift, uint64_t origin);
  /// x[i] = `first` before the first set bit of the bitmap, then the last of
  /// the values that the bits up to i stand for: these are the last `changed`
  /// words of x. REQUIRES: so many of the first n bits are set.
  void (*spread)(const char* bitmap, size_t n, size_t changed, uint64_t first,
                 char* x);
  /// Integers become doubles, divided by `power`, both correctly rounded.
  void (*divide)(char* x, size_t n, double power);
  /// For writing: out[i] = v[i] * power, rounded, up to the first value that
  /// does not come back from that bit for bit or is beyond `limit`; returns
  /// how many. May write all of out[0..n).
  size_t (*decimals)(const double* v, size_t n, double power, double limit,
                     int64_t* out);
  /// For planning: lengths of at most 128 words' offsets.
  void (*count_lengths)(const uint64_t* words, size_t n, uint64_t base,
                        LengthCounts* out);
  /// For planning: the smallest of at least one word.
  int64_t (*least)(const uint64_t* words, size_t n);
};

/// Those that this CPU can run, the portable ones first, the best last.
std::span<const ColumnKernels* const> SupportedColumnKernels();
/// The best; chosen once.
const ColumnKernels& BestColumnKernels();

// ---- implementation details

namespace internal {
extern const ColumnKernels kPortableColumnKernels;
#if defined(__x86_64__)
extern const ColumnKernels kAvx2ColumnKernels;
extern const ColumnKernels kAvx512ColumnKernels;
#endif
}  // namespace internal

}  // namespace varve
