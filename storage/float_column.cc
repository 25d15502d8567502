#include "storage/float_column.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "storage/coding.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

enum Codec : uint8_t { kRaw = 0, kConstant = 1, kXor = 2 };

// The XOR stream, highest bit first: 64 bits of the first value, then for every
// value its XOR with the one before as
//   0                                     zero
//   10  bits                              the last window holds all its bits
//   11  leading:5 length-1:6 bits         a new window
constexpr unsigned kLeadingBits = 5;
constexpr unsigned kLengthBits = 6;
constexpr unsigned kLeadingMax = (1U << kLeadingBits) - 1;
constexpr unsigned kCodeBitsMax = 2 + kLeadingBits + kLengthBits + 64;
/// A new window costs 11 bits more; it is taken when it saves more on this
/// value.
constexpr unsigned kWindowWasteMax = kLeadingBits + kLengthBits;

uint64_t Bits(double v) { return std::bit_cast<uint64_t>(v); }

class BitWriter {
 public:
  explicit BitWriter(std::string* out) : out_(out) {}

  /// 1 <= n <= 64; the bits of v above n are zero.
  void Put(uint64_t v, unsigned n) {
    if (n <= room_) {
      room_ -= n;
      word_ |= v << room_;
      if (room_ == 0) Emit();
      return;
    }
    const unsigned rest = n - room_;
    word_ |= v >> rest;
    Emit();
    room_ = 64 - rest;
    word_ = v << room_;
  }
  void Finish() {
    const unsigned bytes = (64 - room_ + 7) / 8;
    const uint64_t big = __builtin_bswap64(word_);
    out_->append(reinterpret_cast<const char*>(&big), bytes);
  }

 private:
  void Emit() {
    PutFixed64(out_, __builtin_bswap64(word_));
    word_ = 0;
    room_ = 64;
  }

  std::string* const out_;
  uint64_t word_ = 0;
  unsigned room_ = 64;  // free low bits of word_
};

void PutXor(std::string* out, std::span<const double> values) {
  BitWriter bits(out);
  uint64_t last = Bits(values[0]);
  bits.Put(last, 64);
  unsigned window_leading = 0;
  unsigned window_length = 0;
  for (const double v : values.subspan(1)) {
    const uint64_t now = Bits(v);
    const uint64_t x = now ^ last;
    last = now;
    if (x == 0) {
      bits.Put(0, 1);
      continue;
    }
    const unsigned leading =
        std::min(static_cast<unsigned>(std::countl_zero(x)), kLeadingMax);
    const auto trailing = static_cast<unsigned>(std::countr_zero(x));
    const unsigned length = 64 - leading - trailing;
    const unsigned window_trailing = 64 - window_leading - window_length;
    if (window_length > 0 && leading >= window_leading &&
        trailing >= window_trailing &&
        window_length - length <= kWindowWasteMax) {
      bits.Put(2, 2);
      bits.Put(x >> window_trailing, window_length);
      continue;
    }
    window_leading = leading;
    window_length = length;
    bits.Put((((uint64_t{3} << kLeadingBits) | leading) << kLengthBits) |
                 (length - 1),
             2 + kLeadingBits + kLengthBits);
    bits.Put(x >> trailing, length);
  }
  bits.Finish();
}

/// Decodes the stream. Reads 16 bytes from the byte that holds the next bit,
/// so the caller keeps it away from the end.
class XorReader {
 public:
  XorReader(const char* bytes, size_t at) : bytes_(bytes), at_(at) {}

  size_t at() const { return at_; }
  void Move(const char* bytes, size_t at) {
    bytes_ = bytes;
    at_ = at;
  }

  uint64_t First() {
    last_ = Take64();
    return last_;
  }
  /// False when the stream is malformed.
  bool Next(uint64_t* value) {
    const uint64_t head = Peek();
    if ((head >> 63) == 0) {
      ++at_;
    } else {
      if (((head >> 62) & 1) == 0) {
        at_ += 2;
      } else {
        leading_ = (head >> (62 - kLeadingBits)) & kLeadingMax;
        length_ = ((head >> (62 - kLeadingBits - kLengthBits)) & 63) + 1;
        at_ += 2 + kLeadingBits + kLengthBits;
      }
      const unsigned trailing = 64 - leading_ - length_;
      if (length_ == 0 || trailing > 63) return false;
      last_ ^= (Take64() >> (64 - length_)) << trailing;
      at_ -= 64 - length_;
    }
    *value = last_;
    return true;
  }

 private:
  /// At least 57 bits from at_ on, in the upper bits.
  uint64_t Peek() const {
    return __builtin_bswap64(LoadFixed64(bytes_ + (at_ >> 3))) << (at_ & 7);
  }
  uint64_t Take64() {
    const uint64_t low =
        static_cast<uint8_t>(bytes_[(at_ >> 3) + 8]) >> (8 - (at_ & 7));
    const uint64_t v = Peek() | low;
    at_ += 64;
    return v;
  }

  const char* bytes_;
  size_t at_;
  uint64_t last_ = 0;
  unsigned leading_ = 0;
  unsigned length_ = 0;
};

bool GetXor(std::string_view bytes, std::span<double> out) {
  constexpr size_t kReach = 128;  // bits one code may span, and what is peeked
  static_assert(kReach >= kCodeBitsMax + 16);
  if (bytes.size() < 8) return false;
  const size_t bits = bytes.size() * 8;
  uint64_t value;
  size_t i = 0;
  XorReader reader(bytes.data(), 0);
  if (bits >= 64 + kReach) {
    out[i++] = std::bit_cast<double>(reader.First());
    const size_t safe = bits - kReach;
    while (i < out.size() && reader.at() <= safe) {
      if (!reader.Next(&value)) return false;
      out[i++] = std::bit_cast<double>(value);
    }
  }
  // The last codes are read from a copy that has zeros behind it.
  const size_t from = reader.at() >> 3;
  std::array<char, kReach / 8 + 32> tail{};
  const std::string_view left = bytes.substr(std::min(from, bytes.size()));
  if (left.size() > kReach / 8 + 8) return false;  // more than the values
  left.copy(tail.data(), left.size());
  reader.Move(tail.data(), reader.at() & 7);
  if (i == 0) out[i++] = std::bit_cast<double>(reader.First());
  while (i < out.size() && reader.at() < left.size() * 8) {
    if (!reader.Next(&value)) return false;
    out[i++] = std::bit_cast<double>(value);
  }
  return i == out.size() && (reader.at() + 7) / 8 == left.size();
}

}  // namespace

void PutFloatColumn(std::string* out, std::span<const double> values) {
  if (values.empty()) return;
  const uint64_t first = Bits(values[0]);
  const bool constant = std::all_of(values.begin(), values.end(),
                                    [&](double v) { return Bits(v) == first; });
  if (constant) {
    PutU8(out, kConstant);
    PutFixed64(out, first);
    return;
  }
  const size_t begin = out->size();
  PutU8(out, kXor);
  PutXor(out, values);
  if (out->size() - begin <= 8 * values.size()) return;
  out->resize(begin);
  PutU8(out, kRaw);
  out->append(reinterpret_cast<const char*>(values.data()), 8 * values.size());
}

absl::Status GetFloatColumn(std::string_view bytes, std::span<double> out) {
  if (out.empty() && bytes.empty()) return absl::OkStatus();
  if (out.empty() || bytes.empty()) {
    return DataLoss("float column of {} values has {} bytes", out.size(),
                    bytes.size());
  }
  const auto codec = static_cast<uint8_t>(bytes[0]);
  const std::string_view body = bytes.substr(1);
  bool good = false;
  switch (codec) {
    case kRaw:
      good = body.size() == 8 * out.size();
      if (good) std::memcpy(out.data(), body.data(), body.size());
      break;
    case kConstant:
      good = body.size() == 8;
      if (good) {
        std::fill(out.begin(), out.end(),
                  std::bit_cast<double>(LoadFixed64(body.data())));
      }
      break;
    case kXor:
      good = GetXor(body, out);
      break;
    default:
      return Unimplemented(
          "float column in codec {}, which this version does not know", codec);
  }
  if (good) return absl::OkStatus();
  return DataLoss("float column in codec {}: {} bytes are not {} values", codec,
                  bytes.size(), out.size());
}

}  // namespace varve
