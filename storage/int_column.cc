#include "storage/int_column.h"

#include <algorithm>
#include <array>
#include <bit>
#include <vector>

#include "storage/status_macros.h"

namespace varve {
namespace {

enum Codec : uint8_t {
  kRaw = 0,
  kConstant = 1,
  kLinear = 2,
  kPacked = 3,  // the values
  kDelta = 4,   // first value, packed differences
  kDelta2 = 5,  // first value, first difference, packed differences of those
};

constexpr size_t kBlockValues = 128;
constexpr uint8_t kHasExceptions = 0x80;

int64_t Minus(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) -
                              static_cast<uint64_t>(b));
}
int64_t Plus(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) +
                              static_cast<uint64_t>(b));
}
unsigned BitLength(uint64_t v) {
  return static_cast<unsigned>(std::bit_width(v));
}
uint64_t LowMask(unsigned width) {
  return width >= 64 ? ~uint64_t{0} : (uint64_t{1} << width) - 1;
}

/// The width at which a block takes the fewest bytes when values that need more
/// are exceptions: a position byte and a varint of the upper bits each.
unsigned ChooseWidth(std::span<const uint64_t> block) {
  std::array<uint16_t, 65> count{};
  unsigned width_max = 0;
  for (const uint64_t v : block) {
    const unsigned width = BitLength(v);
    ++count[width];
    width_max = std::max(width_max, width);
  }
  unsigned best = width_max;
  size_t best_bytes = (block.size() * width_max + 7) / 8;
  size_t exceptions = 0;
  for (unsigned width = width_max; width-- > 0;) {
    exceptions += count[width + 1];
    const size_t bytes = (block.size() * width + 7) / 8 + 1 +
                         exceptions * (2 + (width_max - width) / 7);
    if (bytes < best_bytes) {
      best_bytes = bytes;
      best = width;
    }
  }
  return best;
}

/// Low `width` bits of each value, lowest bit first, without gaps.
void PutBits(std::string* out, std::span<const uint64_t> block,
             unsigned width) {
  if (width == 0) return;
  uint64_t bits = 0;
  unsigned used = 0;
  const uint64_t mask = LowMask(width);
  for (const uint64_t value : block) {
    const uint64_t v = value & mask;
    bits |= v << used;
    used += width;
    if (used >= 64) {
      PutFixed64(out, bits);
      used -= 64;
      bits = used == 0 ? 0 : v >> (width - used);
    }
  }
  for (; used > 0; used -= std::min(used, 8U), bits >>= 8) {
    PutU8(out, static_cast<uint8_t>(bits));
  }
}

void PutBlock(std::string* out, std::span<const uint64_t> block) {
  const unsigned width = ChooseWidth(block);
  std::string positions;
  std::string uppers;
  for (size_t i = 0; i < block.size(); ++i) {
    if (BitLength(block[i]) <= width) continue;
    PutU8(&positions, static_cast<uint8_t>(i));
    PutVarint(&uppers, block[i] >> width);
  }
  const bool exceptions = !positions.empty();
  PutU8(out, static_cast<uint8_t>(width | (exceptions ? kHasExceptions : 0)));
  if (exceptions) PutU8(out, static_cast<uint8_t>(positions.size()));
  PutBits(out, block, width);
  *out += positions;
  *out += uppers;
}

void PutBlocks(std::string* out, std::span<const uint64_t> values) {
  for (size_t i = 0; i < values.size(); i += kBlockValues) {
    PutBlock(out, values.subspan(i, std::min(kBlockValues, values.size() - i)));
  }
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

/// Which transform leaves the fewest bits.
Codec ChooseCodec(std::span<const int64_t> values) {
  uint64_t plain = 0;
  uint64_t delta = 0;
  uint64_t delta2 = 0;
  int64_t last_delta = Minus(values[1], values[0]);
  for (size_t i = 2; i < values.size(); ++i) {
    const int64_t d = Minus(values[i], values[i - 1]);
    plain += BitLength(ZigZag(values[i]));
    delta += BitLength(ZigZag(d));
    delta2 += BitLength(ZigZag(Minus(d, last_delta)));
    last_delta = d;
  }
  if (delta2 == 0) return last_delta == 0 ? kConstant : kLinear;
  if (std::min({plain, delta, delta2}) / 8 >= values.size() * 8) return kRaw;
  if (plain <= delta && plain <= delta2) return kPacked;
  return delta <= delta2 ? kDelta : kDelta2;
}

void PutTransformed(std::string* out, std::span<const int64_t> values,
                    Codec codec) {
  std::vector<uint64_t> codes;
  codes.reserve(values.size());
  if (codec == kPacked) {
    for (const int64_t v : values) codes.push_back(ZigZag(v));
  } else if (codec == kDelta) {
    PutZigZag(out, values[0]);
    for (size_t i = 1; i < values.size(); ++i) {
      codes.push_back(ZigZag(Minus(values[i], values[i - 1])));
    }
  } else {
    int64_t last_delta = Minus(values[1], values[0]);
    PutZigZag(out, values[0]);
    PutZigZag(out, last_delta);
    for (size_t i = 2; i < values.size(); ++i) {
      const int64_t d = Minus(values[i], values[i - 1]);
      codes.push_back(ZigZag(Minus(d, last_delta)));
      last_delta = d;
    }
  }
  PutBlocks(out, codes);
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

}  // namespace

void PutIntColumn(std::string* out, std::span<const int64_t> values) {
  if (values.empty()) return;
  const Codec codec = values.size() == 1 ? kConstant : ChooseCodec(values);
  PutU8(out, codec);
  switch (codec) {
    case kRaw:
      for (const int64_t v : values) PutFixed(out, v);
      break;
    case kConstant:
      PutZigZag(out, values[0]);
      break;
    case kLinear:
      PutZigZag(out, values[0]);
      PutZigZag(out, Minus(values[1], values[0]));
      break;
    default:
      PutTransformed(out, values, codec);
  }
}

absl::Status GetIntColumn(Decoder* in, std::span<int64_t> out) {
  if (out.empty()) return absl::OkStatus();
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
      return Unimplemented(
          "integer column in codec {}, which this version does not know",
          codec);
  }
  if (good) return absl::OkStatus();
  return DataLoss("integer column of {} values in codec {} ends too early",
                  out.size(), codec);
}

}  // namespace varve
