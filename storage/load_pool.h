#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "storage/head_checkpoint.h"
#include "storage/mutex.h"

namespace varve {

/// Loads the kHeadSeries records of a checkpoint on all cores. Its methods are
/// called by one thread.
class LoadPool {
 public:
  explicit LoadPool(HeadLoader* loader) : loader_(loader) {}
  ~LoadPool();

  /// Copies the payload. Waits when many are waiting.
  void Add(std::string_view payload);
  /// Returns when all that was added is loaded.
  void Drain();
  /// Drain(), and the sum of all reports.
  LoadReport Finish();

 private:
  void Start();
  void Run(LoadReport* report);

  HeadLoader* const loader_;
  LoadReport own_;  ///< of what was loaded here
  std::vector<std::thread> threads_;
  std::vector<LoadReport> reports_;  // one per thread

  Mutex mutex_;
  CondVar changed_;
  std::deque<std::string> queue_ ABSL_GUARDED_BY(mutex_);
  size_t busy_ ABSL_GUARDED_BY(mutex_) = 0;
  bool end_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace varve
