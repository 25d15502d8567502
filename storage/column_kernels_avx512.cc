#include "storage/column_kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include <array>

// Eight words at a time; masks take the place of every remainder loop and of
// every read or write beyond the end. The functions carry the target
// themselves, so that no inline function of a header is compiled for a CPU
// that may not be there.
#define VARVE_AVX512     \
  __attribute__((target( \
      "avx512f,avx512dq,avx512bw,avx512vl,avx512cd,avx512vbmi,bmi2,popcnt")))

namespace varve {
namespace {

VARVE_AVX512 inline __m512i Set(uint64_t v) {
  return _mm512_set1_epi64(static_cast<int64_t>(v));
}
/// The lanes of a group of which `left` words are to be done.
VARVE_AVX512 inline __mmask8 Lanes(size_t left) {
  return left >= 8 ? 0xff : static_cast<__mmask8>((1U << left) - 1);
}
VARVE_AVX512 inline __m512i LaneNumbers() {
  return _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0);
}

/// How the bytes of a group become eight words.
struct Unpacker {
  __m512i bytes;  // which byte of the group goes where
  __m512i shift;  // then so many bits right
  __m512i mask;
  __m512i base;
};

VARVE_AVX512 inline Unpacker MakeUnpacker(unsigned width, uint64_t base) {
  const __m512i bit = _mm512_mul_epu32(LaneNumbers(), Set(width));
  // The low byte of each word's first byte number, eight times, plus 0..7.
  const __m512i low_bytes =
      _mm512_set_epi64(0x0808080808080808, 0, 0x0808080808080808, 0,
                       0x0808080808080808, 0, 0x0808080808080808, 0);
  const __m512i first =
      _mm512_shuffle_epi8(_mm512_srli_epi64(bit, 3), low_bytes);
  Unpacker u;
  u.bytes = _mm512_add_epi8(first, Set(0x0706050403020100));
  u.shift = _mm512_and_si512(bit, Set(7));
  u.mask = Set(width == 64 ? ~uint64_t{0} : (uint64_t{1} << width) - 1);
  u.base = Set(base);
  return u;
}

VARVE_AVX512 inline __m512i Words(const Unpacker& u, __m512i group) {
  const __m512i v =
      _mm512_srlv_epi64(_mm512_permutexvar_epi8(u.bytes, group), u.shift);
  return _mm512_add_epi64(_mm512_and_si512(v, u.mask), u.base);
}

/// Words of more than 57 bits may reach into a ninth byte.
VARVE_AVX512 inline __m512i WideWords(const Unpacker& u, __m512i group) {
  const __m512i ninth = _mm512_permutexvar_epi8(
      _mm512_add_epi8(u.bytes, _mm512_set1_epi8(8)), group);
  const __m512i high =
      _mm512_sllv_epi64(ninth, _mm512_sub_epi64(Set(64), u.shift));
  const __m512i low =
      _mm512_srlv_epi64(_mm512_permutexvar_epi8(u.bytes, group), u.shift);
  return _mm512_add_epi64(_mm512_and_si512(_mm512_or_si512(low, high), u.mask),
                          u.base);
}

VARVE_AVX512 inline __m512i LoadBytes(const char* at, size_t size) {
  const __mmask64 mask = size >= 64 ? ~uint64_t{0} : (uint64_t{1} << size) - 1;
  return _mm512_maskz_loadu_epi8(mask, at);
}

template <bool kWide>
VARVE_AVX512 inline void UnpackGroups(const char* bytes, unsigned width,
                                      size_t n, uint64_t base, char* x) {
  const Unpacker u = MakeUnpacker(width, base);
  size_t i = 0;
  for (; i + 8 <= n; i += 8, bytes += width, x += 64) {
    const __m512i group = LoadBytes(bytes, width);
    _mm512_storeu_si512(x, kWide ? WideWords(u, group) : Words(u, group));
  }
  if (i == n) return;
  const __m512i group = LoadBytes(bytes, ((n - i) * width + 7) / 8);
  _mm512_mask_storeu_epi64(x, Lanes(n - i),
                           kWide ? WideWords(u, group) : Words(u, group));
}

VARVE_AVX512 void Fill(char* x, size_t n, uint64_t v) {
  for (size_t i = 0; i < n; i += 8, x += 64) {
    _mm512_mask_storeu_epi64(x, Lanes(n - i), Set(v));
  }
}

VARVE_AVX512 void Unpack(const char* bytes, unsigned width, size_t n,
                         uint64_t base, char* x) {
  if (width == 0) {
    Fill(x, n, base);
  } else if (width <= 57) {
    UnpackGroups<false>(bytes, width, n, base, x);
  } else {
    UnpackGroups<true>(bytes, width, n, base, x);
  }
}

/// Running sums within the eight words.
VARVE_AVX512 inline __m512i Prefix(__m512i v) {
  const __m512i zero = _mm512_setzero_si512();
  v = _mm512_add_epi64(v, _mm512_alignr_epi64(v, zero, 7));
  v = _mm512_add_epi64(v, _mm512_alignr_epi64(v, zero, 6));
  return _mm512_add_epi64(v, _mm512_alignr_epi64(v, zero, 4));
}
VARVE_AVX512 inline __m512i BroadcastLast(__m512i v) {
  return _mm512_permutexvar_epi64(_mm512_set1_epi64(7), v);
}

VARVE_AVX512 void Sum(char* x, size_t n, uint64_t start) {
  // The sums of a group do not wait for the carry: its chain is one addition.
  __m512i carry = Set(start);
  size_t i = 0;
  for (; i + 8 <= n; i += 8, x += 64) {
    const __m512i v = Prefix(_mm512_loadu_si512(x));
    _mm512_storeu_si512(x, _mm512_add_epi64(v, carry));
    carry = _mm512_add_epi64(carry, BroadcastLast(v));
  }
  const __mmask8 lanes = Lanes(n - i);
  const __m512i v = Prefix(_mm512_maskz_loadu_epi64(lanes, x));
  _mm512_mask_storeu_epi64(x, lanes, _mm512_add_epi64(v, carry));
}

VARVE_AVX512 void Sum2(char* x, size_t n, uint64_t start, uint64_t delta) {
  __m512i carry = Set(start);
  __m512i carry_delta = Set(delta);
  size_t i = 0;
  for (; i + 8 <= n; i += 8, x += 64) {
    const __m512i d = Prefix(_mm512_loadu_si512(x));
    const __m512i v = Prefix(_mm512_add_epi64(d, carry_delta));
    _mm512_storeu_si512(x, _mm512_add_epi64(v, carry));
    carry = _mm512_add_epi64(carry, BroadcastLast(v));
    carry_delta = _mm512_add_epi64(carry_delta, BroadcastLast(d));
  }
  const __mmask8 lanes = Lanes(n - i);
  const __m512i d = Prefix(_mm512_maskz_loadu_epi64(lanes, x));
  const __m512i v = Prefix(_mm512_add_epi64(d, carry_delta));
  _mm512_mask_storeu_epi64(x, lanes, _mm512_add_epi64(v, carry));
}

VARVE_AVX512 void AddLine(char* x, size_t n, uint64_t start, uint64_t slope) {
  __m512i line = _mm512_add_epi64(
      Set(start), _mm512_mullo_epi64(LaneNumbers(), Set(slope)));
  const __m512i step = Set(8 * slope);
  for (size_t i = 0; i < n; i += 8, x += 64) {
    const __mmask8 lanes = Lanes(n - i);
    const __m512i v = _mm512_maskz_loadu_epi64(lanes, x);
    _mm512_mask_storeu_epi64(x, lanes, _mm512_add_epi64(v, line));
    line = _mm512_add_epi64(line, step);
  }
}

VARVE_AVX512 void Scale(char* x, size_t n, unsigned shift, uint64_t origin) {
  const __m512i origins = Set(origin);
  const __m128i count = _mm_cvtsi32_si128(static_cast<int>(shift));
  for (size_t i = 0; i < n; i += 8, x += 64) {
    const __mmask8 lanes = Lanes(n - i);
    const __m512i v =
        _mm512_sll_epi64(_mm512_maskz_loadu_epi64(lanes, x), count);
    _mm512_mask_storeu_epi64(x, lanes, _mm512_add_epi64(v, origins));
  }
}

/// Per byte of a bitmap, for each of its bits: which of the next eight values
/// stands there, or 8 for the value before them.
constexpr std::array<uint64_t, 256> MakeSpreadTable() {
  std::array<uint64_t, 256> table{};
  for (unsigned byte = 0; byte < 256; ++byte) {
    unsigned seen = 0;
    for (unsigned bit = 0; bit < 8; ++bit) {
      seen += byte >> bit & 1;
      table[byte] |= uint64_t{seen == 0 ? 8 : seen - 1} << (8 * bit);
    }
  }
  return table;
}
constexpr std::array<uint64_t, 256> kSpreadTable = MakeSpreadTable();

VARVE_AVX512 void Spread(const char* bitmap, size_t n, size_t changed,
                         uint64_t first, char* x) {
  // The next source is never before the next destination, since no more values
  // than places are left; and a group's values are loaded before it is stored.
  const char* source = x + 8 * (n - changed);
  __m512i last = Set(first);
  for (size_t i = 0; i < n; i += 8, x += 64) {
    const auto byte = static_cast<uint8_t>(bitmap[i >> 3]);
    const __m512i next = _mm512_maskz_loadu_epi64(Lanes(changed), source);
    const __m512i from = _mm512_cvtepu8_epi64(
        _mm_cvtsi64_si128(static_cast<int64_t>(kSpreadTable[byte])));
    const __m512i v = _mm512_permutex2var_epi64(next, from, last);
    _mm512_mask_storeu_epi64(x, Lanes(n - i), v);
    last = BroadcastLast(v);
    const auto taken = static_cast<size_t>(__builtin_popcount(byte));
    changed -= taken;
    source += 8 * taken;
  }
}

/// A division takes several times as long as all the rest.
VARVE_AVX512 void Convert(char* x, size_t n) {
  for (size_t i = 0; i < n; i += 8, x += 64) {
    const __mmask8 lanes = Lanes(n - i);
    const __m512i v = _mm512_maskz_loadu_epi64(lanes, x);
    _mm512_mask_storeu_pd(x, lanes, _mm512_cvtepi64_pd(v));
  }
}

VARVE_AVX512 void Divide(char* x, size_t n, double power) {
  if (power == 1) return Convert(x, n);
  const __m512d powers = _mm512_set1_pd(power);
  for (size_t i = 0; i < n; i += 8, x += 64) {
    const __mmask8 lanes = Lanes(n - i);
    const __m512d v = _mm512_cvtepi64_pd(_mm512_maskz_loadu_epi64(lanes, x));
    _mm512_mask_storeu_pd(x, lanes, _mm512_div_pd(v, powers));
  }
}

VARVE_AVX512 size_t Decimals(const double* v, size_t n, double power,
                             double limit, int64_t* out) {
  const __m512d powers = _mm512_set1_pd(power);
  const __m512d limits = _mm512_set1_pd(limit);
  for (size_t i = 0; i < n; i += 8) {
    const __mmask8 lanes = Lanes(n - i);
    const __m512d value = _mm512_maskz_loadu_pd(lanes, v + i);
    const __m512d scaled = _mm512_mul_pd(value, powers);
    const __m512i rounded = _mm512_cvtpd_epi64(scaled);
    const __m512d back = _mm512_div_pd(_mm512_cvtepi64_pd(rounded), powers);
    const __mmask8 near =
        _mm512_cmp_pd_mask(_mm512_abs_pd(scaled), limits, _CMP_LE_OQ);
    const __mmask8 same = _mm512_cmpeq_epi64_mask(_mm512_castpd_si512(back),
                                                  _mm512_castpd_si512(value));
    _mm512_mask_storeu_epi64(out + i, lanes, rounded);
    const unsigned bad = ~static_cast<unsigned>(near & same) & lanes;
    if (bad != 0) return i + static_cast<size_t>(__builtin_ctz(bad));
  }
  return n;
}

/// The bytes of `n` more lengths; those of no word stay as they are.
VARVE_AVX512 inline void StoreLengths(const uint64_t* words, size_t n,
                                      __m512i base, uint8_t* lengths) {
  const __mmask8 lanes = Lanes(n);
  const __m512i offset =
      _mm512_sub_epi64(_mm512_maskz_loadu_epi64(lanes, words), base);
  const __m512i code = _mm512_xor_si512(_mm512_slli_epi64(offset, 1),
                                        _mm512_srai_epi64(offset, 63));
  const __m512i bits = _mm512_sub_epi64(Set(64), _mm512_lzcnt_epi64(code));
  const __m512i below =
      _mm512_and_si512(_mm512_srai_epi64(offset, 63), Set(0x80));
  _mm512_mask_cvtepi64_storeu_epi8(lengths, lanes,
                                   _mm512_or_si512(bits, below));
}

VARVE_AVX512 inline uint8_t CountEqual(__m512i a, __m512i b, unsigned value) {
  const __m512i v = _mm512_set1_epi8(static_cast<char>(value));
  return static_cast<uint8_t>(
      __builtin_popcountll(_mm512_cmpeq_epi8_mask(a, v)) +
      __builtin_popcountll(_mm512_cmpeq_epi8_mask(b, v)));
}

/// Lengths as bytes in two registers, and a comparison for each that occurs.
VARVE_AVX512 void CountLengths(const uint64_t* words, size_t n, uint64_t base,
                               LengthCounts* out) {
  constexpr char kNone = 0x7f;
  alignas(64) std::array<uint8_t, 128> lengths;
  _mm512_store_si512(lengths.data(), _mm512_set1_epi8(kNone));
  _mm512_store_si512(lengths.data() + 64, _mm512_set1_epi8(kNone));
  const __m512i bases = Set(base);
  for (size_t i = 0; i < n; i += 8) {
    StoreLengths(words + i, n - i, bases, lengths.data() + i);
  }
  const __m512i a = _mm512_load_si512(lengths.data());
  const __m512i b = _mm512_load_si512(lengths.data() + 64);
  out->any_below = (_mm512_movepi8_mask(a) | _mm512_movepi8_mask(b)) != 0;
  size_t left = n;
  unsigned bits = 0;
  for (; bits <= 64 && left > 0; ++bits) {
    out->above[bits] = CountEqual(a, b, bits);
    left -= out->above[bits];
    if (!out->any_below) continue;
    out->below[bits] = CountEqual(a, b, bits | 0x80);
    left -= out->below[bits];
  }
  unsigned longest = bits - 1;
  if (out->any_below) {
    for (; bits <= 64; ++bits) out->below[bits] = 0;
    while (longest > 0 && out->above[longest] == 0) --longest;
  }
  out->longest_above = static_cast<uint8_t>(longest);
}

VARVE_AVX512 int64_t Least(const uint64_t* words, size_t n) {
  __m512i least = Set(words[0]);
  for (size_t i = 0; i < n; i += 8) {
    const __m512i v = _mm512_mask_loadu_epi64(least, Lanes(n - i), words + i);
    least = _mm512_min_epi64(least, v);
  }
  return _mm512_reduce_min_epi64(least);
}

}  // namespace

namespace internal {
const ColumnKernels kAvx512ColumnKernels = {
    "avx512", Unpack, Sum,      Sum2,         AddLine, Scale,
    Spread,   Divide, Decimals, CountLengths, Least};
}  // namespace internal

}  // namespace varve

#endif  // defined(__x86_64__)
