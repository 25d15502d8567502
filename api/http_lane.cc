#include "api/http_lane.h"

#include <utility>

namespace varve {

HttpLane::HttpLane(int threads_max, size_t queue_max)
    : threads_max_(threads_max), queue_max_(queue_max) {}

HttpLane::~HttpLane() { Stop(); }

bool HttpLane::Submit(const std::string& client, std::function<void()> task) {
  MutexLock lock(&mutex_);
  if (stopped_ || queued_ >= queue_max_) return false;
  auto& tasks = waiting_[client];
  if (tasks.empty()) turns_.push_back(client);
  tasks.push_back(std::move(task));
  ++queued_;
  const bool all_busy = running_ + queued_ > threads_.size();
  if (all_busy && threads_.size() < static_cast<size_t>(threads_max_)) {
    threads_.emplace_back([this] { Work(); });
  }
  wake_.NotifyOne();
  return true;
}

void HttpLane::Work() {
  while (true) {
    std::function<void()> task;
    {
      MutexLock lock(&mutex_);
      while (queued_ == 0 && !stopped_) wake_.Wait(&mutex_);
      if (queued_ == 0) return;
      const std::string client = std::move(turns_.front());
      turns_.pop_front();
      const auto it = waiting_.find(client);
      task = std::move(it->second.front());
      it->second.pop_front();
      if (it->second.empty()) {
        waiting_.erase(it);
      } else {
        turns_.push_back(client);
      }
      --queued_;
      ++running_;
    }
    task();
    task = nullptr;
    MutexLock lock(&mutex_);
    --running_;
  }
}

void HttpLane::Stop() {
  std::vector<std::thread> threads;
  {
    MutexLock lock(&mutex_);
    stopped_ = true;
    threads.swap(threads_);
    wake_.NotifyAll();
  }
  for (std::thread& t : threads) t.join();
}

size_t HttpLane::queued() const {
  MutexLock lock(&mutex_);
  return queued_;
}

size_t HttpLane::running() const {
  MutexLock lock(&mutex_);
  return running_;
}

}  // namespace varve
