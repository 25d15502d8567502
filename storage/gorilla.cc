#include "storage/gorilla.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "storage/bit_stream.h"
#include "storage/check.h"

namespace varve {
namespace {

/// Appends to any sink of words what the grammar in the header says.
template <typename Emit>
class Writer {
 public:
  Writer(GorillaTail* tail, const Emit& emit) : tail_(tail), emit_(emit) {}

  void Put(uint64_t v, unsigned n) {
    PutBits(&tail_->acc, &tail_->acc_bits, v, n, emit_);
  }

  void FlushRun() {
    const unsigned run = tail_->run;
    if (run == 0) return;
    tail_->run = 0;
    if (run < 10) {
      Put(0, run);
    } else {
      Put(0b110, 3);
      Put(run, 7);
    }
  }

  void PutDod(int64_t dod) {
    const auto bits = static_cast<uint64_t>(dod);
    if (dod == static_cast<int8_t>(dod)) {
      Put(0b11100, 5);
      Put(bits & 0xff, 8);
    } else if (dod == static_cast<int16_t>(dod)) {
      Put(0b11101, 5);
      Put(bits & 0xffff, 16);
    } else if (dod == static_cast<int32_t>(dod)) {
      Put(0b11110, 5);
      Put(bits & 0xffffffff, 32);
    } else {
      Put(0b11111, 5);
      Put(bits, 64);
    }
  }

  /// REQUIRES: x != 0.
  void PutValue(uint64_t x) {
    const auto lead = static_cast<unsigned>(std::min(std::countl_zero(x), 31));
    const auto trail = static_cast<unsigned>(std::countr_zero(x));
    const unsigned old_trail = 64U - tail_->lead - tail_->width;
    const unsigned width = 64 - lead - trail;
    // The old window is taken when it covers the bits and is not so wide that
    // a new window's 11 bits would pay.
    if (tail_->width != 0 && lead >= tail_->lead && trail >= old_trail &&
        tail_->width < width + 11) {
      Put(0, 1);
      Put(x >> old_trail, tail_->width);
      return;
    }
    tail_->lead = static_cast<uint8_t>(lead);
    tail_->width = static_cast<uint8_t>(width);
    Put((uint64_t{1} << 11) | (lead << 6) | (width - 1), 12);
    Put(x >> trail, width);
  }

 private:
  GorillaTail* tail_;
  const Emit& emit_;
};

/// Puts full words into the chain of blocks.
void EmitWord(GorillaTail* tail, SlabArena* arena, uint64_t word) {
  const unsigned i = tail->words;
  const unsigned b = internal::GorillaBlockOf(i);
  const unsigned start = internal::kGorillaBlockStart[b];
  if (i == start) {
    const SlabArena::Handle block =
        arena->Allocate(internal::kGorillaBlockWords[b]);
    *arena->at(block) = tail->block;
    tail->block = block;
  }
  arena->at(tail->block)[i - start + 1] = word;
  ++tail->words;
}

template <typename Emit>
void AppendTo(GorillaTail* tail, const Emit& emit, int64_t t, uint64_t v) {
  Writer<Emit> writer(tail, emit);
  const uint64_t x = v ^ tail->last_v;
  if (tail->count == 0) {
    writer.Put(x != 0, 1);
    if (x != 0) writer.PutValue(x);
    tail->first_t = t;
  } else {
    const auto delta = static_cast<int64_t>(
        static_cast<uint64_t>(t) - static_cast<uint64_t>(tail->last_t));
    const int64_t dod = delta - tail->delta;
    if (dod == 0 && x == 0) {
      ++tail->run;
    } else {
      writer.FlushRun();
      if (dod == 0) {
        writer.Put(0b10, 2);
      } else {
        writer.PutDod(dod);
        writer.Put(x != 0, 1);
      }
      if (x != 0) writer.PutValue(x);
      tail->delta = static_cast<int32_t>(delta);
    }
  }
  tail->last_t = t;
  tail->last_v = v;
  ++tail->count;
}

}  // namespace

void GorillaAppend(GorillaTail* tail, SlabArena* arena, int64_t t,
                   uint64_t value_bits) {
  if (tail->count == 0) {
    // The fields of a chunk that was closed say nothing about this one.
    *tail = GorillaTail();
  }
  const auto emit = [=](uint64_t word) { EmitWord(tail, arena, word); };
  AppendTo(tail, emit, t, value_bits);
}

size_t GorillaFinish(const GorillaTail& tail, const SlabArena& arena,
                     uint64_t* out) {
  size_t n = tail.words;
  if (n > 0) {
    SlabArena::Handle block = tail.block;
    size_t end = n;
    for (unsigned b = internal::GorillaBlockOf(tail.words - 1U) + 1; b-- > 0;) {
      const size_t start = internal::kGorillaBlockStart[b];
      const uint64_t* words = arena.at(block);
      std::memcpy(out + start, words + 1, (end - start) * sizeof(uint64_t));
      block = static_cast<SlabArena::Handle>(words[0]);
      end = start;
    }
  }
  GorillaTail rest = tail;
  const auto emit = [&](uint64_t word) { out[n++] = word; };
  Writer<decltype(emit)> writer(&rest, emit);
  writer.FlushRun();
  if (rest.acc_bits > 0) out[n++] = rest.acc << (64 - rest.acc_bits);
  VARVE_CHECK(n <= kGorillaWordsMax);
  return n;
}

void GorillaRestore(GorillaTail* tail, SlabArena* arena,
                    const uint64_t* words) {
  tail->block = SlabArena::kNull;
  for (unsigned i = 0; i < tail->words;) {
    const unsigned b = internal::GorillaBlockOf(i);
    const unsigned room = internal::kGorillaBlockWords[b] - 1U;
    const unsigned n = std::min(room, tail->words - i);
    const SlabArena::Handle block = arena->Allocate(room + 1);
    uint64_t* at = arena->at(block);
    at[0] = tail->block;
    std::memcpy(at + 1, words + i, n * sizeof(uint64_t));
    tail->block = block;
    i += n;
  }
}

void GorillaFree(const GorillaTail& tail, SlabArena* arena) {
  GorillaForEachBlock(tail, *arena,
                      [&](SlabArena::Handle block, unsigned words) {
                        arena->Free(block, words);
                      });
}

namespace {

/// What decoding remembers between samples.
struct ReadState {
  uint64_t t = 0;
  uint64_t delta = 0;
  uint64_t v = 0;
  unsigned lead = 0;
  unsigned width = 0;
};

void ReadValue(BitReader* bits, ReadState* s) {
  if (bits->GetBit()) {
    const uint64_t window = bits->Get(11);
    s->lead = static_cast<unsigned>(window >> 6);
    s->width = static_cast<unsigned>(window & 63) + 1;
  }
  const unsigned used = s->lead + s->width;
  if (s->width == 0 || used > 64) return;  // not what the writer writes
  s->v ^= bits->Get(s->width) << (64 - used);
}

int64_t ReadDod(BitReader* bits) {
  switch (bits->Get(2)) {
    case 0:
      return static_cast<int8_t>(bits->Get(8));
    case 1:
      return static_cast<int16_t>(bits->Get(16));
    case 2:
      return static_cast<int32_t>(bits->Get(32));
    default:
      return static_cast<int64_t>(bits->Get(64));
  }
}

/// Reads one token and returns how many samples it stands for.
unsigned ReadToken(BitReader* bits, ReadState* s) {
  if (!bits->GetBit()) return 1;
  if (!bits->GetBit()) {
    ReadValue(bits, s);
    return 1;
  }
  if (!bits->GetBit()) return static_cast<unsigned>(bits->Get(7));
  s->delta += static_cast<uint64_t>(ReadDod(bits));
  if (bits->GetBit()) ReadValue(bits, s);
  return 1;
}

}  // namespace

void GorillaDecode(const uint64_t* words, size_t word_count, int64_t first_t,
                   size_t count, int64_t* timestamps, double* values) {
  if (count == 0) return;
  BitReader bits(words, word_count);
  ReadState s;
  s.t = static_cast<uint64_t>(first_t);
  if (bits.GetBit()) ReadValue(&bits, &s);
  timestamps[0] = first_t;
  values[0] = std::bit_cast<double>(s.v);
  for (size_t i = 1; i < count;) {
    unsigned run = ReadToken(&bits, &s);
    if (run == 0) run = 1;  // not what the writer writes; still ends
    for (; run > 0 && i < count; --run, ++i) {
      s.t += s.delta;
      timestamps[i] = static_cast<int64_t>(s.t);
      values[i] = std::bit_cast<double>(s.v);
    }
  }
}

}  // namespace varve
