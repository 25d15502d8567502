#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "storage/gorilla.h"
#include "storage/mutex.h"

namespace varve {

/// Frees what the head does not need any more once nobody can be reading it.
///
/// A reader takes a pin before it looks; whatever is retired while a pin is
/// held stays until the pin is gone. Generations form a chain: each owns what
/// was retired in it and holds the next one alive, so that a generation ends
/// only after all earlier ones. Thread-safe.
class Reclaimer {
 public:
  using Pin = std::shared_ptr<const void>;

  Reclaimer();
  ~Reclaimer();

  Pin pin() const;
  /// The blocks of a closed chunk. `arena` outlives all pins.
  void RetireChunk(const GorillaTail& tail, SlabArena* arena);
  void Retire(std::function<void()> free);
  /// Starts a new generation, so that what was retired can go.
  void Advance();

 private:
  struct Generation;
  std::shared_ptr<Generation> AdvanceLocked()
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable Mutex mutex_;
  std::shared_ptr<Generation> current_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace varve
