#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace varve {

// How numbers stand in varve's files: fixed-width little-endian integers,
// varints of 7 bits per byte with the lowest first (at most 10 bytes), and
// zigzag for signed varints. Writers append to a string; Decoder reads.

static_assert(std::endian::native == std::endian::little,
              "the codings below copy integers as they stand in memory");

inline constexpr size_t kVarintBytesMax = 10;

template <typename T>
inline void PutFixed(std::string* out, T v) {
  out->append(reinterpret_cast<const char*>(&v), sizeof(v));
}
inline void PutU8(std::string* out, uint8_t v) {
  out->push_back(static_cast<char>(v));
}
inline void PutFixed16(std::string* out, uint16_t v) { PutFixed(out, v); }
inline void PutFixed32(std::string* out, uint32_t v) { PutFixed(out, v); }
inline void PutFixed64(std::string* out, uint64_t v) { PutFixed(out, v); }

template <typename T>
inline T LoadFixed(const char* at) {
  T v;
  std::memcpy(&v, at, sizeof(v));
  return v;
}
inline uint16_t LoadFixed16(const char* at) { return LoadFixed<uint16_t>(at); }
inline uint32_t LoadFixed32(const char* at) { return LoadFixed<uint32_t>(at); }
inline uint64_t LoadFixed64(const char* at) { return LoadFixed<uint64_t>(at); }
template <typename T>
inline void StoreFixed(char* at, T v) {
  std::memcpy(at, &v, sizeof(v));
}

inline void PutVarint(std::string* out, uint64_t v) {
  char buffer[kVarintBytesMax];
  size_t n = 0;
  while (v >= 0x80) {
    buffer[n++] = static_cast<char>(v | 0x80);
    v >>= 7;
  }
  buffer[n++] = static_cast<char>(v);
  out->append(buffer, n);
}

inline uint64_t ZigZag(int64_t v) {
  return (static_cast<uint64_t>(v) << 1) ^ static_cast<uint64_t>(v >> 63);
}
inline int64_t UnZigZag(uint64_t v) {
  return static_cast<int64_t>(v >> 1) ^ -static_cast<int64_t>(v & 1);
}
inline void PutZigZag(std::string* out, int64_t v) {
  PutVarint(out, ZigZag(v));
}

/// Varint length, then the bytes.
inline void PutText(std::string* out, std::string_view text) {
  PutVarint(out, text.size());
  out->append(text);
}

/// Reads codings from bytes that may be damaged. It never reads past the end:
/// a read that would, or a malformed varint, gives 0 or "" and makes ok() false
/// for good, so that a caller may read a whole record and check once. Lengths
/// and counts that were read must still be checked before they are used to
/// allocate. A view: the bytes must outlive it. Thread-compatible.
class Decoder {
 public:
  Decoder() = default;
  explicit Decoder(std::string_view bytes)
      : begin_(bytes.data()),
        at_(bytes.data()),
        end_(bytes.data() + bytes.size()) {}

  bool ok() const { return !failed_; }
  /// All bytes were read, and none beyond them.
  bool done() const { return !failed_ && at_ == end_; }
  size_t remaining() const { return static_cast<size_t>(end_ - at_); }
  /// Of the next byte, from the beginning.
  size_t offset() const { return static_cast<size_t>(at_ - begin_); }
  std::string_view rest() const { return {at_, remaining()}; }
  /// For a value that is well coded but cannot be right.
  void Fail() {
    failed_ = true;
    at_ = end_;
  }

  uint8_t U8() { return Fixed<uint8_t>(); }
  uint16_t Fixed16() { return Fixed<uint16_t>(); }
  uint32_t Fixed32() { return Fixed<uint32_t>(); }
  uint64_t Fixed64() { return Fixed<uint64_t>(); }

  uint64_t Varint() {
    uint64_t v = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (at_ == end_) break;
      const auto byte = static_cast<unsigned char>(*at_++);
      // The tenth byte holds one bit.
      if (shift == 63 && byte > 1) break;
      v |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return v;
    }
    Fail();
    return 0;
  }
  int64_t ZigZagVarint() { return UnZigZag(Varint()); }
  /// A varint that must not be above `max`.
  uint64_t VarintAtMost(uint64_t max) {
    const uint64_t v = Varint();
    if (v <= max) return v;
    Fail();
    return 0;
  }

  std::string_view Bytes(uint64_t size) {
    if (size > remaining()) {
      Fail();
      return {};
    }
    std::string_view bytes(at_, size);
    at_ += size;
    return bytes;
  }
  std::string_view Text() { return Bytes(Varint()); }

 private:
  template <typename T>
  T Fixed() {
    if (remaining() < sizeof(T)) {
      Fail();
      return 0;
    }
    const T v = LoadFixed<T>(at_);
    at_ += sizeof(T);
    return v;
  }

  const char* begin_ = nullptr;
  const char* at_ = nullptr;
  const char* end_ = nullptr;
  bool failed_ = false;
};

}  // namespace varve
