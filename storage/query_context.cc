#include "storage/query_context.h"

#include <algorithm>

#include "storage/status_macros.h"

namespace varve {

QueryContext::~QueryContext() { ReleaseBytes(bytes()); }

absl::Status QueryContext::Check() const {
  if (cancelled_.load(std::memory_order_relaxed)) {
    return absl::CancelledError("query was canceled");
  }
  if (limits_.deadline_ns != 0 && clock_->MonotonicNs() > limits_.deadline_ns) {
    return absl::DeadlineExceededError("query timed out");
  }
  return absl::OkStatus();
}

absl::Status QueryContext::ChargeSamples(int64_t samples) {
  VARVE_RETURN_IF_ERROR(HoldSamples(samples));
  samples_.fetch_add(samples, std::memory_order_relaxed);
  return absl::OkStatus();
}

absl::Status QueryContext::HoldSamples(int64_t samples) {
  const int64_t now =
      samples_held_.fetch_add(samples, std::memory_order_relaxed) + samples;
  if (limits_.samples_max != 0 && now > limits_.samples_max) {
    samples_held_.fetch_sub(samples, std::memory_order_relaxed);
    return ResourceExhausted(
        "query processing would load too many samples into memory in query "
        "execution (--query.max-samples is {})",
        limits_.samples_max);
  }
  return absl::OkStatus();
}

void QueryContext::ReleaseSamples(int64_t samples) {
  samples_held_.fetch_sub(samples, std::memory_order_relaxed);
}

absl::Status QueryContext::ChargeBytes(int64_t bytes) {
  const int64_t now =
      bytes_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  if (limits_.bytes_max != 0 && now > limits_.bytes_max) {
    bytes_.fetch_sub(bytes, std::memory_order_relaxed);
    return ResourceExhausted(
        "query would hold more than {} bytes of memory (--query.max-bytes)",
        limits_.bytes_max);
  }
  if (QueryBudget* const all = limits_.budget.get(); all != nullptr) {
    const int64_t total =
        all->bytes.fetch_add(bytes, std::memory_order_relaxed) + bytes;
    if (all->bytes_max != 0 && total > all->bytes_max) {
      ReleaseBytes(bytes);
      return ResourceExhausted(
          "all running queries together would hold more than {} bytes of "
          "memory (--query.max-total-bytes)",
          all->bytes_max);
    }
  }
  int64_t peak = bytes_peak_.load(std::memory_order_relaxed);
  while (now > peak && !bytes_peak_.compare_exchange_weak(
                           peak, now, std::memory_order_relaxed)) {
  }
  return absl::OkStatus();
}

void QueryContext::ReleaseBytes(int64_t bytes) {
  bytes_.fetch_sub(bytes, std::memory_order_relaxed);
  if (limits_.budget != nullptr) {
    limits_.budget->bytes.fetch_sub(bytes, std::memory_order_relaxed);
  }
}

void QueryContext::AddWarning(std::string text) {
  MutexLock lock(&mutex_);
  if (std::find(warnings_.begin(), warnings_.end(), text) == warnings_.end()) {
    warnings_.push_back(std::move(text));
  }
}

std::vector<std::string> QueryContext::warnings() const {
  MutexLock lock(&mutex_);
  return warnings_;
}

}  // namespace varve
