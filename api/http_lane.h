#pragma once

#include <deque>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "api/varve.h"

namespace varve {

/// A bounded queue with threads of its own, so that one kind of request cannot
/// hold up another. Waiting clients take turns: one that queues a hundred
/// requests delays its own, not those of others. Thread-safe.
class HttpLane {
 public:
  /// Threads start with the first tasks that need them.
  HttpLane(int threads_max, size_t queue_max);
  /// Stop().
  ~HttpLane();

  /// False when the queue is full or the lane has stopped.
  bool Submit(const std::string& client, std::function<void()> task);
  /// Runs what is queued, then ends the threads.
  void Stop();

  size_t queued() const;
  size_t running() const;

 private:
  void Work();

  const int threads_max_;
  const size_t queue_max_;
  mutable Mutex mutex_;
  CondVar wake_;
  std::vector<std::thread> threads_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::deque<std::function<void()>>> waiting_
      ABSL_GUARDED_BY(mutex_);
  // The clients of `waiting_` in the order of their turns.
  std::deque<std::string> turns_ ABSL_GUARDED_BY(mutex_);
  size_t queued_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t running_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace varve
