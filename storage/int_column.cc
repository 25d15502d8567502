#include "storage/int_column.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "storage/adaptive_ints.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

// The first byte. From 1 to 5 they are read but not written any more.
enum Codec : uint8_t {
  kRaw = 0,
  kConstant = 1,
  kLinear = 2,
  kPacked = 3,  // the values
  kDelta = 4,   // first value, packed differences
  kDelta2 = 5,  // first value, first difference, packed differences of those
  kAdaptive = internal::kAdaptiveInts,  // and above: see adaptive_ints.h
};

constexpr size_t kBlockValues = 128;
constexpr uint8_t kHasExceptions = 0x80;

int64_t Plus(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) +
                              static_cast<uint64_t>(b));
}
uint64_t LowMask(unsigned width) {
  return width >= 64 ? ~uint64_t{0} : (uint64_t{1} << width) - 1;
}

void UnpackBits(const char* bytes, unsigned width, std::span<uint64_t> out) {
  const uint64_t mask = LowMask(width);
  size_t at = 0;
  for (uint64_t& v : out) {
    const char* byte = bytes + (at >> 3);
    const unsigned shift = at & 7;
    v = LoadFixed64(byte) >> shift;
    if (shift + width > 64) {
      v |= static_cast<uint64_t>(static_cast<uint8_t>(byte[8])) << (64 - shift);
    }
    v &= mask;
    at += width;
  }
}

bool GetBlock(Decoder* in, std::span<uint64_t> out) {
  const uint8_t head = in->U8();
  const unsigned width = head & ~kHasExceptions;
  if (width > 64) return false;
  const size_t exceptions = (head & kHasExceptions) != 0 ? in->U8() : 0;
  const std::string_view bytes = in->Bytes((out.size() * width + 7) / 8);
  if (!in->ok()) return false;
  if (width == 0) {
    std::fill(out.begin(), out.end(), 0);
  } else if (in->remaining() >= 9) {
    UnpackBits(bytes.data(), width, out);
  } else {
    // Unpacking reads a word beyond what it needs.
    std::array<char, kBlockValues * 8 + 9> padded{};
    bytes.copy(padded.data(), bytes.size());
    UnpackBits(padded.data(), width, out);
  }
  if (exceptions == 0) return true;
  const std::string_view positions = in->Bytes(exceptions);
  for (const char position : positions) {
    const auto i = static_cast<uint8_t>(position);
    const uint64_t upper = in->Varint();
    if (i >= out.size() || width >= 64 || (upper << width) >> width != upper) {
      return false;
    }
    out[i] |= upper << width;
  }
  return in->ok();
}

bool GetBlocks(Decoder* in, std::span<uint64_t> out) {
  for (size_t i = 0; i < out.size(); i += kBlockValues) {
    if (!GetBlock(in, out.subspan(i, std::min(kBlockValues, out.size() - i)))) {
      return false;
    }
  }
  return true;
}

/// Replaces zigzag codes by the values, or by running sums of them.
void FromZigZag(std::span<int64_t> values) {
  for (int64_t& v : values) v = UnZigZag(static_cast<uint64_t>(v));
}
void Accumulate(std::span<int64_t> values, int64_t first) {
  int64_t last = first;
  for (int64_t& v : values) {
    last = Plus(last, UnZigZag(static_cast<uint64_t>(v)));
    v = last;
  }
}
void Accumulate2(std::span<int64_t> values, int64_t first, int64_t delta) {
  int64_t last = Plus(first, delta);
  for (int64_t& v : values) {
    delta = Plus(delta, UnZigZag(static_cast<uint64_t>(v)));
    last = Plus(last, delta);
    v = last;
  }
}

/// Zigzag codes stand in the same memory as the values they become.
std::span<uint64_t> AsCodes(std::span<int64_t> values) {
  return {reinterpret_cast<uint64_t*>(values.data()), values.size()};
}

bool GetTransformed(Decoder* in, std::span<int64_t> out, uint8_t codec) {
  const size_t heads = std::min<size_t>(codec - kPacked, out.size());
  int64_t head[2] = {};
  for (size_t i = 0; i < heads; ++i) head[i] = in->ZigZagVarint();
  const std::span<int64_t> rest = out.subspan(heads);
  if (!in->ok() || !GetBlocks(in, AsCodes(rest))) return false;
  if (codec == kPacked) {
    FromZigZag(out);
    return true;
  }
  if (heads > 0) out[0] = head[0];
  if (codec == kDelta) {
    Accumulate(rest, head[0]);
    return true;
  }
  if (heads > 1) out[1] = Plus(head[0], head[1]);
  Accumulate2(rest, head[0], head[1]);
  return true;
}

absl::Status UnknownCodec(uint8_t codec) {
  return Unimplemented(
      "integer column in codec {}, which this version does not know", codec);
}
absl::Status BadColumn(size_t values, uint8_t codec) {
  return DataLoss("bytes in codec {} are not an integer column of {} values",
                  codec, values);
}

absl::Status GetAdaptive(Decoder* in, uint8_t codec, std::span<int64_t> out) {
  switch (GetAdaptiveInts(in, out)) {
    case ColumnRead::kOk:
      return absl::OkStatus();
    case ColumnRead::kUnknown:
      return UnknownCodec(codec);
    case ColumnRead::kCorrupt:
      break;
  }
  return BadColumn(out.size(), codec);
}

}  // namespace

void PutIntColumn(std::string* out, std::span<const int64_t> values) {
  const size_t begin = out->size();
  PutAdaptiveInts(out, values);
  if (out->size() - begin <= 1 + 8 * values.size()) return;
  out->resize(begin);
  PutU8(out, kRaw);
  for (const int64_t v : values) PutFixed(out, v);
}

absl::Status GetIntColumn(Decoder* in, std::span<int64_t> out) {
  if (out.empty()) return absl::OkStatus();
  if (in->remaining() > 0) {
    const auto head = static_cast<uint8_t>(in->rest()[0]);
    if (head >= kAdaptive) return GetAdaptive(in, head, out);
  }
  const uint8_t codec = in->U8();
  bool good = in->ok();
  switch (codec) {
    case kRaw: {
      const std::string_view bytes = in->Bytes(out.size() * 8);
      good = in->ok();
      if (good) std::memcpy(out.data(), bytes.data(), bytes.size());
      break;
    }
    case kConstant:
      std::fill(out.begin(), out.end(), in->ZigZagVarint());
      good = in->ok();
      break;
    case kLinear: {
      int64_t v = in->ZigZagVarint();
      const int64_t step = in->ZigZagVarint();
      good = in->ok();
      for (int64_t& o : out) {
        o = v;
        v = Plus(v, step);
      }
      break;
    }
    case kPacked:
    case kDelta:
    case kDelta2:
      good = GetTransformed(in, out, codec);
      break;
    default:
      return UnknownCodec(codec);
  }
  if (good) return absl::OkStatus();
  return BadColumn(out.size(), codec);
}

}  // namespace varve
