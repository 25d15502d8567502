#include "storage/float_column.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "storage/adaptive_values.h"
#include "storage/coding.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

// The first byte. 1 and 2 are read but not written any more.
enum Codec : uint8_t {
  kRaw = 0,
  kConstant = 1,
  kXor = 2,
  kAdaptive = internal::kValueDecimal,  // and above: see adaptive_values.h
};

// The XOR stream, highest bit first: 64 bits of the first value, then for every
// value its XOR with the one before as
//   0                                     zero
//   10  bits                              the last window holds all its bits
//   11  leading:5 length-1:6 bits         a new window
constexpr unsigned kLeadingBits = 5;
constexpr unsigned kLengthBits = 6;
constexpr unsigned kLeadingMax = (1U << kLeadingBits) - 1;
constexpr unsigned kCodeBitsMax = 2 + kLeadingBits + kLengthBits + 64;

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

absl::Status UnknownCodec(uint8_t codec) {
  return Unimplemented(
      "float column in codec {}, which this version does not know", codec);
}
absl::Status BadColumn(size_t bytes, size_t values, uint8_t codec) {
  return DataLoss("float column in codec {}: {} bytes are not {} values", codec,
                  bytes, values);
}

absl::Status GetAdaptive(std::string_view bytes, uint8_t codec,
                         std::span<double> out) {
  Decoder in(bytes);
  const ColumnRead result = GetAdaptiveValues(&in, out);
  if (result == ColumnRead::kUnknown) return UnknownCodec(codec);
  if (result == ColumnRead::kOk && in.done()) return absl::OkStatus();
  return BadColumn(bytes.size(), out.size(), codec);
}

}  // namespace

void PutFloatColumn(std::string* out, std::span<const double> values) {
  const size_t begin = out->size();
  PutAdaptiveValues(out, values);
  if (out->size() - begin <= 1 + 8 * values.size()) return;
  out->resize(begin);
  PutU8(out, kRaw);
  out->append(reinterpret_cast<const char*>(values.data()), 8 * values.size());
}

absl::Status GetFloatPresence(std::string_view bytes, std::span<double> out) {
  const auto codec =
      bytes.empty() ? uint8_t{0} : static_cast<uint8_t>(bytes[0]);
  // Decimals are numbers; stale markers between them would stand in runs.
  constexpr uint8_t kMask = internal::kValueKindMask | internal::kValueHasRuns;
  if ((codec & kMask) != kAdaptive) return GetFloatColumn(bytes, out);
  std::fill(out.begin(), out.end(), 0);
  return absl::OkStatus();
}

absl::Status GetFloatColumn(std::string_view bytes, std::span<double> out) {
  if (out.empty() && bytes.empty()) return absl::OkStatus();
  if (out.empty() || bytes.empty()) {
    return DataLoss("float column of {} values has {} bytes", out.size(),
                    bytes.size());
  }
  const auto codec = static_cast<uint8_t>(bytes[0]);
  if (codec >= kAdaptive) return GetAdaptive(bytes, codec, out);
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
      return UnknownCodec(codec);
  }
  if (good) return absl::OkStatus();
  return BadColumn(bytes.size(), out.size(), codec);
}

}  // namespace varve
