#include "storage/load_pool.h"

#include <algorithm>

namespace varve {
namespace {

/// A smaller record is no work for another thread.
constexpr size_t kSmallBytes = size_t{64} << 10;
constexpr unsigned kThreadsMax = 8;

}  // namespace

LoadPool::~LoadPool() {
  {
    MutexLock lock(&mutex_);
    end_ = true;
    changed_.NotifyAll();
  }
  for (std::thread& thread : threads_) thread.join();
}

void LoadPool::Start() {
  const unsigned n =
      std::clamp(std::thread::hardware_concurrency(), 1U, kThreadsMax);
  reports_.resize(n);
  for (LoadReport& report : reports_) {
    threads_.emplace_back([this, &report] { Run(&report); });
  }
}

void LoadPool::Add(std::string_view payload) {
  if (payload.size() < kSmallBytes) {
    loader_->LoadSeries(payload, &own_);
    return;
  }
  if (threads_.empty()) Start();
  MutexLock lock(&mutex_);
  while (queue_.size() >= 2 * threads_.size()) changed_.Wait(&mutex_);
  queue_.emplace_back(payload);
  changed_.NotifyAll();
}

void LoadPool::Run(LoadReport* report) {
  while (true) {
    std::string payload;
    {
      MutexLock lock(&mutex_);
      while (queue_.empty() && !end_) changed_.Wait(&mutex_);
      if (queue_.empty()) return;
      payload = std::move(queue_.front());
      queue_.pop_front();
      ++busy_;
      changed_.NotifyAll();
    }
    loader_->LoadSeries(payload, report);
    MutexLock lock(&mutex_);
    --busy_;
    changed_.NotifyAll();
  }
}

void LoadPool::Drain() {
  MutexLock lock(&mutex_);
  while (!queue_.empty() || busy_ > 0) changed_.Wait(&mutex_);
}

LoadReport LoadPool::Finish() {
  Drain();
  LoadReport sum = std::move(own_);
  for (const LoadReport& report : reports_) {
    sum.series += report.series;
    sum.samples += report.samples;
    sum.sealed += report.sealed;
    sum.too_old += report.too_old;
    sum.malformed += report.malformed;
    sum.refs.insert(sum.refs.end(), report.refs.begin(), report.refs.end());
  }
  own_ = LoadReport();
  for (LoadReport& report : reports_) report = LoadReport();
  return sum;
}

}  // namespace varve
