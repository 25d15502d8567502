#pragma once

#include <absl/status/status.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "storage/clock.h"
#include "storage/mutex.h"

namespace varve {

/// The memory that all queries together may hold. Thread-safe.
struct QueryBudget {
  explicit QueryBudget(int64_t max) : bytes_max(max) {}

  const int64_t bytes_max;  ///< 0: no limit
  std::atomic<int64_t> bytes{0};
};

/// What one query may use, and how it is stopped. One object per query, shared
/// by all of its threads. Thread-safe.
///
/// Whoever works for a query calls Check() once per batch of bounded work (at
/// most some milliseconds) and charges the memory it takes before it takes it.
class QueryContext {
 public:
  struct Limits {
    /// Clock::MonotonicNs() after which the query ends; 0: never.
    int64_t deadline_ns = 0;
    /// Samples that may be held at once; 0: no limit.
    int64_t samples_max = 0;
    /// Bytes held at once; 0: no limit.
    int64_t bytes_max = 0;
    /// Shared with other queries, or null. A context gives back at its end
    /// what was not released.
    std::shared_ptr<QueryBudget> budget;
  };

  QueryContext() : QueryContext(Clock::System(), Limits{}) {}
  QueryContext(const Clock* clock, Limits limits)
      : clock_(clock), limits_(std::move(limits)) {}
  ~QueryContext();
  QueryContext(const QueryContext&) = delete;
  QueryContext& operator=(const QueryContext&) = delete;

  /// Cancelled if Cancel() was called, DeadlineExceeded after the deadline.
  absl::Status Check() const;
  void Cancel() { cancelled_.store(true, std::memory_order_relaxed); }

  /// ResourceExhausted when the query's limit, or that of all queries, would be
  /// passed; the message names the limit. A failed charge leaves the count as
  /// it was.
  absl::Status ChargeSamples(int64_t samples);
  /// The same for samples that are computed, not loaded.
  absl::Status HoldSamples(int64_t samples);
  void ReleaseSamples(int64_t samples);
  absl::Status ChargeBytes(int64_t bytes);
  void ReleaseBytes(int64_t bytes);

  /// All samples that were charged as loaded, released or not.
  int64_t samples() const { return samples_.load(std::memory_order_relaxed); }
  int64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }
  int64_t bytes_peak() const {
    return bytes_peak_.load(std::memory_order_relaxed);
  }
  const Clock* clock() const { return clock_; }

  /// A remark for the user about data that could not be used, shown with the
  /// answer. The same text is kept once.
  void AddWarning(std::string text);
  std::vector<std::string> warnings() const;

 private:
  const Clock* clock_;
  const Limits limits_;
  std::atomic<bool> cancelled_{false};
  std::atomic<int64_t> samples_{0};
  std::atomic<int64_t> samples_held_{0};
  std::atomic<int64_t> bytes_{0};
  std::atomic<int64_t> bytes_peak_{0};
  mutable Mutex mutex_;
  std::vector<std::string> warnings_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace varve
