#include "storage/reclaimer.h"

#include <utility>

namespace varve {
namespace {

/// Chunks per generation: freeing them takes some tens of microseconds.
constexpr size_t kChunksMax = 256;

}  // namespace

struct Reclaimer::Generation {
  struct Chunk {
    SlabArena* arena;
    SlabArena::Handle block;
    uint8_t words;
  };

  ~Generation() {
    for (const Chunk& chunk : chunks) {
      GorillaTail tail;
      tail.block = chunk.block;
      tail.words = chunk.words;
      GorillaFree(tail, chunk.arena);
    }
    for (const auto& free : others) free();
    LetGoOfNext();
  }

  /// A long chain must not end in deep recursion: while a thread lets one
  /// generation go, those that end with it leave their `next` to its loop.
  void LetGoOfNext() {
    static thread_local std::shared_ptr<Generation>* waiting = nullptr;
    if (waiting != nullptr) {
      *waiting = std::move(next);
      return;
    }
    std::shared_ptr<Generation> rest = std::move(next);
    waiting = &rest;
    while (rest != nullptr) {
      std::shared_ptr<Generation> one = std::move(rest);
      rest = nullptr;
      one.reset();  // puts its `next` into `rest` if it ends here
    }
    waiting = nullptr;
  }

  std::vector<Chunk> chunks;
  std::vector<std::function<void()>> others;
  std::shared_ptr<Generation> next;
};

Reclaimer::Reclaimer() : current_(std::make_shared<Generation>()) {}
Reclaimer::~Reclaimer() = default;

Reclaimer::Pin Reclaimer::pin() const {
  MutexLock lock(&mutex_);
  return current_;
}

std::shared_ptr<Reclaimer::Generation> Reclaimer::AdvanceLocked() {
  auto next = std::make_shared<Generation>();
  current_->next = next;
  std::swap(current_, next);
  return next;  // the caller lets it go without the lock
}

void Reclaimer::RetireChunk(const GorillaTail& tail, SlabArena* arena) {
  if (tail.words == 0) return;
  std::shared_ptr<Generation> old;  // ends after the lock
  MutexLock lock(&mutex_);
  current_->chunks.push_back({arena, tail.block, tail.words});
  if (current_->chunks.size() >= kChunksMax) old = AdvanceLocked();
}

void Reclaimer::Retire(std::function<void()> free) {
  MutexLock lock(&mutex_);
  current_->others.push_back(std::move(free));
}

void Reclaimer::Advance() {
  std::shared_ptr<Generation> old;  // ends after the lock
  MutexLock lock(&mutex_);
  old = AdvanceLocked();
}

}  // namespace varve
