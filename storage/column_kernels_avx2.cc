#include "storage/column_kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include "storage/coding.h"

// Four words at a time. The functions carry the target themselves, so that no
// inline function of a header is compiled for a CPU that may not be there.
#define VARVE_AVX2 __attribute__((target("avx2")))

namespace varve {
namespace {

const ColumnKernels& Portable() { return internal::kPortableColumnKernels; }

VARVE_AVX2 inline __m256i Load(const char* at) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
}
VARVE_AVX2 inline void Store(char* at, __m256i v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(at), v);
}
VARVE_AVX2 inline __m256i Set(uint64_t v) {
  return _mm256_set1_epi64x(static_cast<int64_t>(v));
}
VARVE_AVX2 inline int64_t LoadWord(const char* at) {
  int64_t v;
  __builtin_memcpy(&v, at, sizeof(v));
  return v;
}
VARVE_AVX2 inline uint64_t LastWord(__m256i v) {
  return static_cast<uint64_t>(_mm256_extract_epi64(v, 3));
}

/// A value lies within the 8 bytes from its first one.
constexpr unsigned kWidthMax = 57;

VARVE_AVX2 void Unpack(const char* bytes, unsigned width, size_t n,
                       uint64_t base, char* x) {
  const size_t size = (n * width + 7) / 8;
  if (width == 0 || width > kWidthMax || size < 8) {
    return Portable().unpack(bytes, width, n, base, x);
  }
  const __m256i mask = Set((uint64_t{1} << width) - 1);
  const __m256i bases = Set(base);
  // Eight values take `width` whole bytes. The reads of a group end before
  // byte 7 * width / 8 + 8 of it.
  const unsigned w = width;
  const __m256i shift_low =
      _mm256_set_epi64x(3 * w % 8, 2 * w % 8, 1 * w % 8, 0);
  const __m256i shift_high =
      _mm256_set_epi64x(7 * w % 8, 6 * w % 8, 5 * w % 8, 4 * w % 8);
  const char* end = bytes + size;
  size_t i = 0;
  for (; i + 8 <= n && end - bytes >= static_cast<ptrdiff_t>(7 * w / 8 + 8);
       i += 8, bytes += w) {
    const __m256i low = _mm256_set_epi64x(
        LoadWord(bytes + 3 * w / 8), LoadWord(bytes + 2 * w / 8),
        LoadWord(bytes + w / 8), LoadWord(bytes));
    const __m256i high = _mm256_set_epi64x(
        LoadWord(bytes + 7 * w / 8), LoadWord(bytes + 6 * w / 8),
        LoadWord(bytes + 5 * w / 8), LoadWord(bytes + 4 * w / 8));
    const __m256i a = _mm256_and_si256(_mm256_srlv_epi64(low, shift_low), mask);
    const __m256i b =
        _mm256_and_si256(_mm256_srlv_epi64(high, shift_high), mask);
    Store(x + 8 * i, _mm256_add_epi64(a, bases));
    Store(x + 8 * i + 32, _mm256_add_epi64(b, bases));
  }
  Portable().unpack(bytes, width, n - i, base, x + 8 * i);
}

/// Running sums within the four words.
VARVE_AVX2 inline __m256i Prefix(__m256i v) {
  v = _mm256_add_epi64(v, _mm256_slli_si256(v, 8));
  const __m256i low_last = _mm256_permute4x64_epi64(v, 0x55);
  return _mm256_add_epi64(
      v, _mm256_blend_epi32(_mm256_setzero_si256(), low_last, 0xf0));
}
VARVE_AVX2 inline __m256i BroadcastLast(__m256i v) {
  return _mm256_permute4x64_epi64(v, 0xff);
}

VARVE_AVX2 void Sum(char* x, size_t n, uint64_t start) {
  // The sums of a group do not wait for the carry: its chain is one addition.
  __m256i carry = Set(start);
  size_t i = 0;
  for (; i + 4 <= n; i += 4) {
    const __m256i v = Prefix(Load(x + 8 * i));
    Store(x + 8 * i, _mm256_add_epi64(v, carry));
    carry = _mm256_add_epi64(carry, BroadcastLast(v));
  }
  Portable().sum(x + 8 * i, n - i, LastWord(carry));
}

VARVE_AVX2 void Sum2(char* x, size_t n, uint64_t start, uint64_t delta) {
  __m256i carry = Set(start);
  __m256i carry_delta = Set(delta);
  size_t i = 0;
  for (; i + 4 <= n; i += 4) {
    const __m256i d = Prefix(Load(x + 8 * i));
    const __m256i v = Prefix(_mm256_add_epi64(d, carry_delta));
    Store(x + 8 * i, _mm256_add_epi64(v, carry));
    carry = _mm256_add_epi64(carry, BroadcastLast(v));
    carry_delta = _mm256_add_epi64(carry_delta, BroadcastLast(d));
  }
  Portable().sum2(x + 8 * i, n - i, LastWord(carry), LastWord(carry_delta));
}

VARVE_AVX2 void AddLine(char* x, size_t n, uint64_t start, uint64_t slope) {
  const auto at = [=](uint64_t i) {
    return static_cast<int64_t>(start + i * slope);
  };
  __m256i line = _mm256_set_epi64x(at(3), at(2), at(1), at(0));
  const __m256i step = Set(4 * slope);
  size_t i = 0;
  for (; i + 4 <= n; i += 4) {
    Store(x + 8 * i, _mm256_add_epi64(Load(x + 8 * i), line));
    line = _mm256_add_epi64(line, step);
  }
  Portable().add_line(x + 8 * i, n - i, start + i * slope, slope);
}

VARVE_AVX2 void Scale(char* x, size_t n, unsigned shift, uint64_t origin) {
  const __m256i origins = Set(origin);
  const __m128i count = _mm_cvtsi32_si128(static_cast<int>(shift));
  size_t i = 0;
  for (; i + 4 <= n; i += 4) {
    const __m256i v = _mm256_sll_epi64(Load(x + 8 * i), count);
    Store(x + 8 * i, _mm256_add_epi64(v, origins));
  }
  Portable().scale(x + 8 * i, n - i, shift, origin);
}

/// Correctly rounded for every int64: the upper 48 and the lower 16 bits are
/// put under fixed exponents, which is exact, and the one sum that rounds is
/// the last.
VARVE_AVX2 inline __m256d ToDouble(__m256i v) {
  const __m256d three_2_67 = _mm256_set1_pd(0x1.8p68);
  const __m256d three_2_67_2_52 = _mm256_set1_pd(0x1.8001p68);
  __m256i high = _mm256_srai_epi32(v, 16);
  high = _mm256_blend_epi16(high, _mm256_setzero_si256(), 0x33);
  high = _mm256_add_epi64(high, _mm256_castpd_si256(three_2_67));
  const __m256i low =
      _mm256_blend_epi16(v, _mm256_castpd_si256(_mm256_set1_pd(0x1p52)), 0x88);
  const __m256d f = _mm256_sub_pd(_mm256_castsi256_pd(high), three_2_67_2_52);
  return _mm256_add_pd(f, _mm256_castsi256_pd(low));
}

VARVE_AVX2 void Divide(char* x, size_t n, double power) {
  const __m256d powers = _mm256_set1_pd(power);
  size_t i = 0;
  for (; i + 4 <= n; i += 4) {
    const __m256d v = _mm256_div_pd(ToDouble(Load(x + 8 * i)), powers);
    Store(x + 8 * i, _mm256_castpd_si256(v));
  }
  Portable().divide(x + 8 * i, n - i, power);
}

// Bit by bit is what these would be with four words, too.
void Spread(const char* bitmap, size_t n, size_t changed, uint64_t first,
            char* x) {
  Portable().spread(bitmap, n, changed, first, x);
}
size_t Decimals(const double* v, size_t n, double power, double limit,
                int64_t* out) {
  return Portable().decimals(v, n, power, limit, out);
}

void CountLengths(const uint64_t* words, size_t n, uint64_t base,
                  LengthCounts* out) {
  Portable().count_lengths(words, n, base, out);
}
int64_t Least(const uint64_t* words, size_t n) {
  return Portable().least(words, n);
}

}  // namespace

namespace internal {
const ColumnKernels kAvx2ColumnKernels = {
    "avx2", Unpack, Sum,      Sum2,         AddLine, Scale,
    Spread, Divide, Decimals, CountLengths, Least};
}  // namespace internal

}  // namespace varve

#endif  // defined(__x86_64__)
