#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace varve {

enum class WireType : uint8_t {
  kVarint = 0,
  kFixed64 = 1,
  kBytes = 2,
  kFixed32 = 5,
};

/// Walks the fields of one protobuf message in place. Every read is checked
/// against the end; after a false nothing more may be read. Small enough to
/// live in registers, hence in the header.
class WireReader {
 public:
  explicit WireReader(std::string_view bytes)
      : at_(bytes.data()), end_(at_ + bytes.size()) {}

  bool done() const { return at_ == end_; }
  const char* at() const { return at_; }

  /// False for field 0, groups and unknown wire types.
  bool Tag(uint32_t* field, WireType* type) {
    uint64_t tag;
    if (!Varint(&tag) || tag > UINT32_MAX) return false;
    const auto wire = static_cast<uint32_t>(tag & 7);
    *field = static_cast<uint32_t>(tag >> 3);
    *type = static_cast<WireType>(wire);
    return *field != 0 && (wire <= 2 || wire == 5);
  }

  bool Varint(uint64_t* value) {
    if (at_ != end_ && static_cast<unsigned char>(*at_) < 0x80) {
      *value = static_cast<unsigned char>(*at_++);
      return true;
    }
    return LongVarint(value);
  }

  bool Fixed64(uint64_t* value) {
    static_assert(std::endian::native == std::endian::little);
    if (end_ - at_ < 8) return false;
    std::memcpy(value, at_, 8);
    at_ += 8;
    return true;
  }

  bool Double(double* value) {
    // Through an integer: a load as double would be allowed to quieten the
    // stale NaN on some machines.
    uint64_t bits;
    if (!Fixed64(&bits)) return false;
    *value = std::bit_cast<double>(bits);
    return true;
  }

  bool Bytes(std::string_view* bytes) {
    uint64_t size;
    if (!Varint(&size) || size > static_cast<uint64_t>(end_ - at_)) {
      return false;
    }
    *bytes = {at_, static_cast<size_t>(size)};
    at_ += size;
    return true;
  }

  bool Skip(WireType type) {
    switch (type) {
      case WireType::kVarint: {
        uint64_t ignored;
        return Varint(&ignored);
      }
      case WireType::kFixed64:
        return Advance(8);
      case WireType::kFixed32:
        return Advance(4);
      case WireType::kBytes: {
        std::string_view ignored;
        return Bytes(&ignored);
      }
    }
    return false;
  }

  /// A varint field as sint32 / sint64 has it.
  static int64_t ZigZag(uint64_t v) {
    return static_cast<int64_t>(v >> 1) ^ -static_cast<int64_t>(v & 1);
  }

 private:
  bool Advance(int64_t bytes) {
    if (end_ - at_ < bytes) return false;
    at_ += bytes;
    return true;
  }

  /// At most 10 bytes; bits above the 64th are dropped, as protobuf does.
  bool LongVarint(uint64_t* value) {
    uint64_t v = 0;
    for (int shift = 0; shift < 70; shift += 7) {
      if (at_ == end_) return false;
      const auto byte = static_cast<unsigned char>(*at_++);
      if (shift < 64) v |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) {
        *value = v;
        return true;
      }
    }
    return false;
  }

  const char* at_;
  const char* end_;
};

}  // namespace varve
