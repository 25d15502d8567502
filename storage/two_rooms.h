#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "storage/mutex.h"

namespace varve {

/// A lock with two rooms: any number of threads may be in one room while the
/// other is empty. Whoever waits for a room is let in before a newcomer to the
/// other room, so neither side starves. (A std::shared_mutex would let a
/// stream of readers shut the writer out.) Thread-safe.
///
/// A thread must not enter while it is inside.
class TwoRooms {
 public:
  enum Room : uint8_t { kFirst = 0, kSecond = 1 };

  void Enter(Room room) { (void)EnterWithin(room, std::nullopt); }

  /// False when the other room did not become empty in time.
  bool EnterWithin(Room room, std::optional<std::chrono::milliseconds> time) {
    const int other = 1 - room;
    MutexLock lock(&mutex_);
    if (inside_[other] == 0 && waiting_[other] == 0) {
      ++inside_[room];
      return true;
    }
    ++waiting_[room];
    const uint64_t phase = phase_[room];
    const auto deadline = std::chrono::steady_clock::now() +
                          time.value_or(std::chrono::milliseconds(0));
    while (phase_[room] == phase) {
      if (!time) {
        opened_[room].Wait(&mutex_);
        continue;
      }
      const auto left = deadline - std::chrono::steady_clock::now();
      if (left <= left.zero()) break;
      opened_[room].WaitFor(&mutex_, left);
    }
    if (phase_[room] != phase) return true;
    // Those whom only this wait kept out may go in.
    --waiting_[room];
    if (waiting_[room] == 0 && inside_[room] == 0) Open(other);
    return false;
  }

  void Leave(Room room) {
    MutexLock lock(&mutex_);
    if (--inside_[room] == 0) Open(1 - room);
  }

 private:
  void Open(int room) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (waiting_[room] == 0) return;
    inside_[room] += waiting_[room];
    waiting_[room] = 0;
    ++phase_[room];
    opened_[room].NotifyAll();
  }

  Mutex mutex_;
  int inside_[2] ABSL_GUARDED_BY(mutex_) = {0, 0};
  int waiting_[2] ABSL_GUARDED_BY(mutex_) = {0, 0};
  uint64_t phase_[2] ABSL_GUARDED_BY(mutex_) = {0, 0};
  CondVar opened_[2];
};

/// Is in a room as long as it lives.
class RoomGuard {
 public:
  RoomGuard(TwoRooms* rooms, TwoRooms::Room room) : rooms_(rooms), room_(room) {
    rooms_->Enter(room_);
  }
  ~RoomGuard() { rooms_->Leave(room_); }
  RoomGuard(const RoomGuard&) = delete;
  RoomGuard& operator=(const RoomGuard&) = delete;

 private:
  TwoRooms* rooms_;
  TwoRooms::Room room_;
};

}  // namespace varve
