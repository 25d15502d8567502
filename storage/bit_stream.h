#pragma once

#include <cstddef>
#include <cstdint>

namespace varve {

// Bits in 64-bit words, the first bit highest. In memory only: the head's open
// and closed chunks are made of them.

/// Appends the low `n` bits of `v` (1 <= n <= 64; the others must be zero) and
/// calls `emit(word)` for the word that became full, if any. Bits that do not
/// fill a word yet stand in the low `acc_bits` (0..63) bits of `acc`.
template <typename Emit>
inline void PutBits(uint64_t* acc, uint8_t* acc_bits, uint64_t v, unsigned n,
                    const Emit& emit) {
  const unsigned room = 64U - *acc_bits;
  if (n < room) {
    *acc = (*acc << n) | v;
    *acc_bits = static_cast<uint8_t>(*acc_bits + n);
    return;
  }
  const unsigned left = n - room;
  emit((*acc_bits == 0 ? 0 : *acc << room) | (v >> left));
  *acc = left == 0 ? 0 : v & ((uint64_t{1} << left) - 1);
  *acc_bits = static_cast<uint8_t>(left);
}

/// Reads what PutBits wrote; beyond the end there are zeros. Thread-compatible.
class BitReader {
 public:
  BitReader(const uint64_t* words, size_t count)
      : words_(words), count_(count) {}

  /// 1 <= n <= 64.
  uint64_t Get(unsigned n) {
    const size_t at = position_ >> 6;
    const unsigned used = position_ & 63;
    position_ += n;
    const uint64_t first = Word(at) << used;
    if (used + n <= 64) return first >> (64 - n);
    return (first | (Word(at + 1) >> (64 - used))) >> (64 - n);
  }
  bool GetBit() { return Get(1) != 0; }

 private:
  uint64_t Word(size_t i) const { return i < count_ ? words_[i] : 0; }

  const uint64_t* words_;
  size_t count_;
  size_t position_ = 0;
};

}  // namespace varve
