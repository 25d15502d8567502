#include "storage/column_kernels.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "storage/coding.h"

namespace varve {
namespace {

uint64_t Word(const char* x, size_t i) { return LoadFixed64(x + 8 * i); }
void SetWord(char* x, size_t i, uint64_t v) { StoreFixed(x + 8 * i, v); }

/// Values whose 9 bytes are all there.
void UnpackInside(const char* bytes, size_t bit, unsigned width, size_t n,
                  uint64_t base, char* x) {
  const uint64_t mask = width == 64 ? ~uint64_t{0} : (uint64_t{1} << width) - 1;
  for (size_t i = 0; i < n; ++i, bit += width) {
    const char* at = bytes + (bit >> 3);
    const unsigned shift = bit & 7;
    uint64_t v = LoadFixed64(at) >> shift;
    if (shift + width > 64) {
      v |= static_cast<uint64_t>(static_cast<uint8_t>(at[8])) << (64 - shift);
    }
    SetWord(x, i, (v & mask) + base);
  }
}

void Unpack(const char* bytes, unsigned width, size_t n, uint64_t base,
            char* x) {
  if (width == 0) {
    for (size_t i = 0; i < n; ++i) SetWord(x, i, base);
    return;
  }
  // The last values are read from a copy with zeros behind it.
  const size_t size = (n * width + 7) / 8;
  const size_t inside = size < 9 ? 0 : ((size - 9) * 8 + 7) / width + 1;
  const size_t safe = inside < n ? inside : n;
  UnpackInside(bytes, 0, width, safe, base, x);
  if (safe == n) return;
  const size_t from = safe * width / 8;
  std::array<char, 24> tail{};
  std::memcpy(tail.data(), bytes + from, size - from);
  UnpackInside(tail.data(), safe * width % 8, width, n - safe, base,
               x + 8 * safe);
}

void Sum(char* x, size_t n, uint64_t start) {
  for (size_t i = 0; i < n; ++i) {
    start += Word(x, i);
    SetWord(x, i, start);
  }
}

void Sum2(char* x, size_t n, uint64_t start, uint64_t delta) {
  for (size_t i = 0; i < n; ++i) {
    delta += Word(x, i);
    start += delta;
    SetWord(x, i, start);
  }
}

void AddLine(char* x, size_t n, uint64_t start, uint64_t slope) {
  for (size_t i = 0; i < n; ++i, start += slope) {
    SetWord(x, i, Word(x, i) + start);
  }
}

void Scale(char* x, size_t n, unsigned shift, uint64_t origin) {
  for (size_t i = 0; i < n; ++i) {
    SetWord(x, i, origin + (Word(x, i) << shift));
  }
}

void Spread(const char* bitmap, size_t n, size_t changed, uint64_t first,
            char* x) {
  // The next source is never before the next destination, since no more values
  // than places are left.
  size_t source = n - changed;
  for (size_t i = 0; i < n; ++i) {
    if ((bitmap[i >> 3] >> (i & 7) & 1) != 0) first = Word(x, source++);
    SetWord(x, i, first);
  }
}

void Divide(char* x, size_t n, double power) {
  for (size_t i = 0; i < n; ++i) {
    const auto v = static_cast<double>(static_cast<int64_t>(Word(x, i)));
    SetWord(x, i, std::bit_cast<uint64_t>(v / power));
  }
}

size_t Decimals(const double* v, size_t n, double power, double limit,
                int64_t* out) {
  for (size_t i = 0; i < n; ++i) {
    const double scaled = v[i] * power;
    if (!(std::fabs(scaled) <= limit && scaled >= -0x1p63 && scaled < 0x1p63)) {
      return i;
    }
    out[i] = std::llrint(scaled);
    const double back = static_cast<double>(out[i]) / power;
    if (std::bit_cast<uint64_t>(back) != std::bit_cast<uint64_t>(v[i])) {
      return i;
    }
  }
  return n;
}

void CountLengths(const uint64_t* words, size_t n, uint64_t base,
                  LengthCounts* out) {
  // One array, so that the loop has no branch.
  std::array<uint8_t, 2 * 72> counts{};
  uint64_t all_above = 0;
  uint64_t any_below = 0;
  for (size_t i = 0; i < n; ++i) {
    const uint64_t code = ZigZag(static_cast<int64_t>(words[i] - base));
    const uint64_t is_below = code & 1;
    any_below |= is_below;
    all_above |= code & (is_below - 1);
    ++counts[static_cast<size_t>(std::bit_width(code)) + 72 * is_below];
  }
  std::memcpy(out->above, counts.data(), sizeof(out->above));
  std::memcpy(out->below, counts.data() + 72, sizeof(out->below));
  out->any_below = any_below != 0;
  out->longest_above = static_cast<uint8_t>(std::bit_width(all_above));
}

int64_t Least(const uint64_t* words, size_t n) {
  auto least = static_cast<int64_t>(words[0]);
  for (size_t i = 1; i < n; ++i) {
    const auto v = static_cast<int64_t>(words[i]);
    least = v < least ? v : least;
  }
  return least;
}

struct Supported {
  Supported() {
    list[size++] = &internal::kPortableColumnKernels;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2")) {
      list[size++] = &internal::kAvx2ColumnKernels;
    }
    if (__builtin_cpu_supports("avx512f") &&
        __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512cd") &&
        __builtin_cpu_supports("avx512vbmi")) {
      list[size++] = &internal::kAvx512ColumnKernels;
    }
#endif
  }
  std::array<const ColumnKernels*, 3> list{};
  size_t size = 0;
};

const Supported& TheSupported() {
  static const Supported supported;
  return supported;
}

}  // namespace

namespace internal {
const ColumnKernels kPortableColumnKernels = {
    "portable", Unpack, Sum,      Sum2,         AddLine, Scale,
    Spread,     Divide, Decimals, CountLengths, Least};
}  // namespace internal

std::span<const ColumnKernels* const> SupportedColumnKernels() {
  return {TheSupported().list.data(), TheSupported().size};
}

const ColumnKernels& BestColumnKernels() {
  return *TheSupported().list[TheSupported().size - 1];
}

}  // namespace varve
