#include "storage/adaptive_ints.h"

#include <bit>
#include <cstring>

namespace varve {
namespace {

/// The exceptions' places and values, which stand behind the packed words.
bool ReadExceptions(Decoder* in, size_t exceptions, size_t n, uint64_t base,
                    char* x) {
  const std::string_view places = in->Bytes(exceptions);
  for (const char c : places) {
    const auto place = static_cast<uint8_t>(c);
    if (place >= n) return false;
    const auto offset = static_cast<uint64_t>(in->ZigZagVarint());
    StoreFixed(x + 8 * size_t{place}, base + offset);
  }
  return in->ok();
}

bool ReadBlock(Decoder* in, size_t n, char* x, const ColumnKernels& kernels) {
  const uint8_t head = in->U8();
  const unsigned width = head & ~internal::kBlockHasExceptions;
  const bool has_exceptions = (head & internal::kBlockHasExceptions) != 0;
  const size_t exceptions = has_exceptions ? in->U8() : 0;
  const auto base = static_cast<uint64_t>(in->ZigZagVarint());
  if (width > 64 || exceptions > n || has_exceptions != (exceptions > 0)) {
    return false;
  }
  const std::string_view packed = in->Bytes((n * width + 7) / 8);
  if (!in->ok()) return false;
  kernels.unpack(packed.data(), width, n, base, x);
  return exceptions == 0 || ReadExceptions(in, exceptions, n, base, x);
}

bool ReadBlocks(Decoder* in, size_t n, char* x, const ColumnKernels& kernels) {
  for (; n > kPackedBlock; n -= kPackedBlock, x += 8 * kPackedBlock) {
    if (!ReadBlock(in, kPackedBlock, x, kernels)) return false;
  }
  return n == 0 || ReadBlock(in, n, x, kernels);
}

/// How many bits are set, or more than n if there are some beyond the first n.
size_t CountBits(std::string_view bitmap, size_t n) {
  size_t count = 0;
  size_t i = 0;
  for (; i + 8 <= bitmap.size(); i += 8) {
    count += static_cast<size_t>(std::popcount(LoadFixed64(bitmap.data() + i)));
  }
  for (; i < bitmap.size(); ++i) {
    count +=
        static_cast<size_t>(std::popcount(static_cast<uint8_t>(bitmap[i])));
  }
  const bool beyond =
      n % 8 != 0 && static_cast<uint8_t>(bitmap.back()) >> (n % 8) != 0;
  return beyond ? n + 1 : count;
}

/// `x` has the n places behind the first value.
bool ReadBitmap(Decoder* in, size_t n, uint64_t first, char* x,
                const ColumnKernels& kernels) {
  const std::string_view bitmap = in->Bytes((n + 7) / 8);
  if (!in->ok() || n == 0) return false;
  const size_t changed = CountBits(bitmap, n);
  if (changed > n) return false;
  char* source = x + 8 * (n - changed);
  if (!ReadBlocks(in, changed, source, kernels)) return false;
  kernels.sum(source, changed, first);
  kernels.spread(bitmap.data(), n, changed, first, x);
  return true;
}

/// The modes that need no blocks: n words from `first` with one step.
void FillLine(size_t n, uint64_t first, uint64_t step, char* x,
              const ColumnKernels& kernels) {
  kernels.unpack(nullptr, 0, n, step == 0 ? first : 0, x);
  if (step != 0) kernels.add_line(x, n, first, step);
}

/// Everything behind the head; y[0] is `start`.
ColumnRead ReadMode(Decoder* in, IntMode mode, size_t n, uint64_t start,
                    char* x, const ColumnKernels& kernels) {
  const auto result = [](bool good) {
    return good ? ColumnRead::kOk : ColumnRead::kCorrupt;
  };
  char* rest = x + 8;
  switch (mode) {
    case IntMode::kPlain:
      return result(ReadBlocks(in, n, x, kernels));
    case IntMode::kDelta:
      if (!ReadBlocks(in, n - 1, rest, kernels)) return ColumnRead::kCorrupt;
      StoreFixed(x, start);
      kernels.sum(rest, n - 1, start);
      return ColumnRead::kOk;
    case IntMode::kDelta2: {
      const auto delta = static_cast<uint64_t>(in->ZigZagVarint());
      if (n < 2 || !ReadBlocks(in, n - 2, rest + 8, kernels)) {
        return ColumnRead::kCorrupt;
      }
      StoreFixed(x, start);
      StoreFixed(rest, start + delta);
      kernels.sum2(rest + 8, n - 2, start + delta, delta);
      return result(in->ok());
    }
    case IntMode::kBitmap:
      StoreFixed(x, start);
      return result(ReadBitmap(in, n - 1, start, rest, kernels));
    case IntMode::kLine: {
      const auto slope = static_cast<uint64_t>(in->ZigZagVarint());
      if (!ReadBlocks(in, n - 1, rest, kernels)) return ColumnRead::kCorrupt;
      StoreFixed(x, start);
      kernels.add_line(rest, n - 1, start + slope, slope);
      return ColumnRead::kOk;
    }
    default:
      return ColumnRead::kUnknown;
  }
}

}  // namespace

ColumnRead GetAdaptiveWords(Decoder* in, size_t n, char* x,
                            const ColumnKernels& kernels) {
  if (n == 0) return ColumnRead::kOk;
  const uint8_t head = in->U8();
  if (!in->ok()) return ColumnRead::kCorrupt;
  const bool shifted = (head & internal::kIntShifted) != 0;
  const auto mode = static_cast<IntMode>(head & internal::kIntModeMask);
  if ((head & ~(internal::kIntShifted | internal::kIntModeMask)) !=
          internal::kAdaptiveInts ||
      static_cast<size_t>(mode) >= kIntModes) {
    return ColumnRead::kUnknown;
  }
  const unsigned shift = shifted ? in->U8() : 0;
  const auto origin = static_cast<uint64_t>(in->ZigZagVarint());
  if (mode == IntMode::kConstant || mode == IntMode::kLinear) {
    const uint64_t step = mode == IntMode::kLinear
                              ? static_cast<uint64_t>(in->ZigZagVarint())
                              : 0;
    if (shifted || !in->ok()) return ColumnRead::kCorrupt;
    FillLine(n, origin, step, x, kernels);
    return ColumnRead::kOk;
  }
  if (!in->ok() || shift > 63 || shifted != (shift > 0)) {
    return ColumnRead::kCorrupt;
  }
  // Without a shift the origin is where the sums begin; with one it is added
  // at the end, as it always is to plain values.
  const uint64_t start = shifted ? 0 : origin;
  const ColumnRead result = ReadMode(in, mode, n, start, x, kernels);
  if (result != ColumnRead::kOk) return result;
  if (shifted || (mode == IntMode::kPlain && origin != 0)) {
    kernels.scale(x, n, shift, origin);
  }
  return ColumnRead::kOk;
}

ColumnRead GetAdaptiveInts(Decoder* in, std::span<int64_t> out,
                           const ColumnKernels& kernels) {
  return GetAdaptiveWords(in, out.size(), reinterpret_cast<char*>(out.data()),
                          kernels);
}

}  // namespace varve
