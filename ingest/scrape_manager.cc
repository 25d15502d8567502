#include "ingest/scrape_manager.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <thread>
#include <utility>

#include "ingest/http_client.h"
#include "ingest/scrape_loop.h"
#include "ingest/scrape_pool.h"
#include "storage/check.h"
#include "storage/mutex.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

constexpr int64_t kDiscoveryMs = 2000;
// Prometheus's: a scrape that starts this little late counts as on time, so
// that timestamps stay regular.
constexpr int64_t kToleranceMs = 2;
constexpr int kWaitMsMax = 1000;

std::string HostName() {
  std::array<char, 256> name = {};
  if (gethostname(name.data(), name.size() - 1) != 0) return "";
  return name.data();
}

// When a target with this hash is due next, at or after `now`. Absolute, so
// that reloads and restarts do not shift it.
int64_t NextDue(uint64_t hash, int64_t interval_ms, int64_t now) {
  const int64_t offset =
      static_cast<int64_t>(hash % static_cast<uint64_t>(interval_ms));
  int64_t due = now - now % interval_ms + offset;
  if (due < now) due += interval_ms;
  return due;
}

class Manager final : public ScrapeManager {
 public:
  explicit Manager(ScrapeManagerOptions options)
      : options_(std::move(options)),
        host_name_(HostName()),
        client_(HttpClient::Create()) {
    VARVE_CHECK(options_.db != nullptr);
    if (!options_.background) return;
    network_ = std::thread([this] { NetworkMain(); });
    for (int i = 0; i < std::max(1, options_.worker_threads); ++i) {
      workers_.emplace_back([this] { WorkerMain(); });
    }
  }
  ~Manager() override { Stop(); }

  absl::Status ApplyConfig(const std::vector<ScrapeConfig>& configs,
                           const Labels& external_labels) override;
  TargetsView Targets() const override;
  std::vector<TargetMetadata> MetadataOfTargets() const override;
  ScrapeStats Stats() const override;
  int Step(int wait_ms) override;
  void Stop() override;

 private:
  using Loop = std::shared_ptr<ScrapeLoop>;

  /// A target that is gone, whose series end when it does not come back.
  struct Ghost {
    Loop loop;
    int64_t stale_ms;  // of the markers: when it would have been scraped next
    int64_t due_ms;
  };
  /// Work for the workers: a response, or a ghost to lay to rest.
  struct Work {
    Loop loop;
    ScrapeStart start;
    HttpResponse response;
    absl::Status forced;
    bool ghost = false;
    std::vector<SeriesRef> alive;
  };
  struct Begin {
    Loop loop;
    ScrapeStart start;
    absl::Status forced;
  };

  void NetworkMain();
  void WorkerMain();
  void RunOnce(int wait_ms_max);
  std::vector<Begin> TakeDue(int64_t now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::vector<Work> TakeGhosts(int64_t now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void PollDiscovery(int64_t now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Schedule(const Loop& loop, int64_t now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void RescheduleAll(int64_t now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Bury(const Loop& loop, int64_t now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  int WaitMs(int64_t now, int wait_ms_max) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<std::map<std::string, std::unique_ptr<ScrapePool>>> MakePools(
      const std::vector<ScrapeConfig>& configs)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Start(Begin begin);
  void Enqueue(Work work);
  void Process(Work work);
  void ProcessGhost(const Work& work);
  void Count(const Loop& loop, const ScrapeOutcome& outcome)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const ScrapeManagerOptions options_;
  const std::string host_name_;

  /// Used by the network thread only (Wakeup excepted).
  const std::unique_ptr<HttpClient> client_;

  // Lock order: mutex_ before a loop's or a memory's; queue_mutex_ alone.
  mutable Mutex mutex_;
  std::map<std::string, std::unique_ptr<ScrapePool>> pools_
      ABSL_GUARDED_BY(mutex_);
  std::multimap<int64_t, Loop> schedule_ ABSL_GUARDED_BY(mutex_);
  std::vector<Ghost> ghosts_ ABSL_GUARDED_BY(mutex_);
  uint64_t offset_seed_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t next_discovery_ms_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t last_now_ms_ ABSL_GUARDED_BY(mutex_) = 0;
  int under_way_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  ScrapeStats stats_ ABSL_GUARDED_BY(mutex_);

  mutable Mutex queue_mutex_;
  CondVar queue_changed_;
  std::deque<Work> queue_ ABSL_GUARDED_BY(queue_mutex_);
  bool queue_closed_ ABSL_GUARDED_BY(queue_mutex_) = false;

  std::thread network_;
  std::vector<std::thread> workers_;
};

// ------------------------------------------------------------ configuration

absl::StatusOr<std::map<std::string, std::unique_ptr<ScrapePool>>>
Manager::MakePools(const std::vector<ScrapeConfig>& configs) {
  std::map<std::string, std::unique_ptr<ScrapePool>> pools;
  for (const ScrapeConfig& config : configs) {
    const auto old = pools_.find(config.job_name);
    if (old != pools_.end() && old->second->job().config == config) {
      pools[config.job_name] = nullptr;  // stays; moved once nothing can fail
      continue;
    }
    VARVE_ASSIGN_OR_RETURN(std::shared_ptr<const ScrapeJob> job,
                           ScrapeJob::Create(config, options_));
    pools[config.job_name] = std::make_unique<ScrapePool>(
        std::move(job), options_.clock, options_.logger);
  }
  return pools;
}

absl::Status Manager::ApplyConfig(const std::vector<ScrapeConfig>& configs,
                                  const Labels& external_labels) {
  {
    MutexLock lock(&mutex_);
    VARVE_ASSIGN_OR_RETURN(auto pools, MakePools(configs));
    const int64_t now = options_.clock->NowMs();
    const uint64_t seed =
        external_labels.Hash() ^ std::hash<std::string>()(host_name_);
    const bool reseeded = seed != offset_seed_;
    offset_seed_ = seed;
    std::vector<Loop> added;
    std::vector<Loop> removed;
    for (auto& [name, pool] : pools) {
      const auto old = pools_.find(name);
      if (pool == nullptr) {
        pool = std::move(old->second);
        pools_.erase(old);
        continue;
      }
      if (old != pools_.end()) pool->Inherit(*old->second);
      pool->Poll(&added, &removed);
    }
    // What is left in pools_ was replaced or dropped.
    for (const auto& [name, pool] : pools_) {
      for (const auto& [hash, loop] : pool->loops()) removed.push_back(loop);
    }
    pools_ = std::move(pools);
    std::vector<const TargetMemory*> inherited;
    for (const Loop& loop : added) inherited.push_back(loop->memory().get());
    std::sort(inherited.begin(), inherited.end());
    for (const Loop& loop : removed) {
      const bool goes_on = std::binary_search(
          inherited.begin(), inherited.end(), loop->memory().get());
      loop->removed = true;
      if (!goes_on) Bury(loop, now);
    }
    if (reseeded) {
      RescheduleAll(now);
    } else {
      for (const Loop& loop : added) Schedule(loop, now);
    }
  }
  client_->Wakeup();
  return absl::OkStatus();
}

void Manager::Schedule(const Loop& loop, int64_t now) {
  schedule_.emplace(NextDue(loop->target().hash ^ offset_seed_,
                            loop->target().interval_ms, now),
                    loop);
}

void Manager::RescheduleAll(int64_t now) {
  schedule_.clear();
  for (const auto& [name, pool] : pools_) {
    for (const auto& [hash, loop] : pool->loops()) Schedule(loop, now);
  }
}

void Manager::Bury(const Loop& loop, int64_t now) {
  loop->removed = true;
  const int64_t interval = loop->target().interval_ms;
  const int64_t stale =
      NextDue(loop->target().hash ^ offset_seed_, interval, now);
  ghosts_.push_back({loop, stale, stale + interval + interval / 10});
}

// ----------------------------------------------------------------- schedule

void Manager::PollDiscovery(int64_t now) {
  if (now < next_discovery_ms_ && next_discovery_ms_ - now <= kDiscoveryMs) {
    return;
  }
  next_discovery_ms_ = now + kDiscoveryMs;
  std::vector<Loop> added;
  std::vector<Loop> removed;
  for (const auto& [name, pool] : pools_) pool->Poll(&added, &removed);
  for (const Loop& loop : removed) Bury(loop, now);
  for (const Loop& loop : added) Schedule(loop, now);
}

std::vector<Manager::Begin> Manager::TakeDue(int64_t now) {
  // A wall clock that was set back would leave all targets waiting.
  if (now < last_now_ms_ - 1000) RescheduleAll(now);
  last_now_ms_ = now;
  std::vector<Begin> begins;
  while (!schedule_.empty() && schedule_.begin()->first <= now) {
    const int64_t due = schedule_.begin()->first;
    const Loop loop = std::move(schedule_.begin()->second);
    schedule_.erase(schedule_.begin());
    if (loop->removed) continue;
    Schedule(loop, now + 1);  // missed rounds are left out
    if (loop->busy) continue;
    loop->busy = true;
    ++under_way_;
    Begin begin;
    begin.loop = loop;
    const int64_t tolerance =
        std::min(loop->target().interval_ms / 100, kToleranceMs);
    begin.start.timestamp_ms = now - due <= tolerance ? due : now;
    begin.start.started_ns = options_.clock->MonotonicNs();
    begin.forced = loop->forced_error;
    begins.push_back(std::move(begin));
  }
  return begins;
}

std::vector<Manager::Work> Manager::TakeGhosts(int64_t now) {
  std::vector<Work> out;
  for (auto it = ghosts_.begin(); it != ghosts_.end();) {
    if (it->due_ms > now || it->loop->busy) {
      ++it;
      continue;
    }
    Work work;
    work.loop = it->loop;
    work.ghost = true;
    work.start.timestamp_ms = it->stale_ms;
    // A successor of the same job may feed some of the series by now.
    const auto pool = pools_.find(it->loop->job().config.job_name);
    if (pool != pools_.end()) {
      for (const auto& [hash, loop] : pool->second->loops()) {
        MutexLock lock(&loop->memory()->mutex);
        loop->memory()->series.CollectLive(&work.alive);
      }
    }
    it->loop->busy = true;
    ++under_way_;
    out.push_back(std::move(work));
    it = ghosts_.erase(it);
  }
  return out;
}

int Manager::WaitMs(int64_t now, int wait_ms_max) const {
  int64_t until = now + wait_ms_max;
  if (!schedule_.empty()) until = std::min(until, schedule_.begin()->first);
  for (const Ghost& ghost : ghosts_) until = std::min(until, ghost.due_ms);
  return static_cast<int>(std::clamp<int64_t>(until - now, 0, wait_ms_max));
}

void Manager::RunOnce(int wait_ms_max) {
  std::vector<Begin> begins;
  std::vector<Work> ghosts;
  int wait_ms = 0;
  {
    MutexLock lock(&mutex_);
    const int64_t now = options_.clock->NowMs();
    PollDiscovery(now);
    begins = TakeDue(now);
    ghosts = TakeGhosts(now);
    wait_ms = options_.background ? WaitMs(now, wait_ms_max) : wait_ms_max;
  }
  for (Work& work : ghosts) Enqueue(std::move(work));
  for (Begin& begin : begins) Start(std::move(begin));
  if (options_.background || client_->active() > 0) client_->Poll(wait_ms);
}

// ---------------------------------------------------------------- processing

void Manager::Start(Begin begin) {
  Work work;
  work.loop = begin.loop;
  work.start = begin.start;
  work.forced = begin.forced;
  if (!begin.forced.ok()) {
    Enqueue(std::move(work));
    return;
  }
  auto shared = std::make_shared<Work>(std::move(work));
  client_->Start(begin.loop->MakeRequest(), [this, shared](HttpResponse r) {
    shared->response = std::move(r);
    Enqueue(std::move(*shared));
  });
}

void Manager::Enqueue(Work work) {
  if (!options_.background) {
    Process(std::move(work));
    return;
  }
  {
    MutexLock lock(&queue_mutex_);
    queue_.push_back(std::move(work));
  }
  queue_changed_.NotifyOne();
}

void Manager::ProcessGhost(const Work& work) {
  const absl::Status status =
      work.loop->MarkStale(work.start.timestamp_ms, work.alive, options_.db);
  if (!status.ok()) {
    options_.logger.Warn("scrape", "stale markers of {}: {}",
                         work.loop->target().url, Message(status));
  }
}

void Manager::Process(Work work) {
  ScrapeOutcome outcome;
  if (work.ghost) {
    ProcessGhost(work);
  } else {
    outcome = work.loop->Finish(work.start, std::move(work.response),
                                work.forced, options_.db, options_.clock);
  }
  MutexLock lock(&mutex_);
  work.loop->busy = false;
  --under_way_;
  if (!work.ghost) Count(work.loop, outcome);
}

void Manager::Count(const Loop& loop, const ScrapeOutcome& outcome) {
  ++stats_.scrapes;
  if (!outcome.scrape.ok()) {
    ++stats_.scrape_failures;
    options_.logger.Log(LogLevel::kDebug, "scrape", "{}: {}",
                        loop->target().url, Message(outcome.scrape));
  }
  if (!outcome.commit.ok()) {
    ++stats_.commit_failures;
    options_.logger.Error("scrape", "{}: storing failed: {}",
                          loop->target().url, Message(outcome.commit));
  }
  stats_.samples_appended += outcome.written.samples_stored;
  stats_.samples_rejected += outcome.written.rejected_total();
  if (outcome.written.rejected_total() > 0) {
    options_.logger.Warn(
        "scrape", "{}: {} samples rejected, the first: {}", loop->target().url,
        outcome.written.rejected_total(),
        outcome.written.examples.empty()
            ? "unknown"
            : RejectionText(outcome.written.examples[0].reason));
  }
  if (outcome.sample_limit_exceeded) ++stats_.sample_limit_exceeded;
  if (outcome.body_size_limit_exceeded) ++stats_.body_size_limit_exceeded;
  if (!loop->forced_error.ok()) ++stats_.target_limit_exceeded;
}

void Manager::NetworkMain() {
  while (true) {
    {
      MutexLock lock(&mutex_);
      if (stopping_) return;
    }
    RunOnce(kWaitMsMax);
  }
}

void Manager::WorkerMain() {
  while (true) {
    Work work;
    {
      MutexLock lock(&queue_mutex_);
      while (queue_.empty() && !queue_closed_) {
        queue_changed_.Wait(&queue_mutex_);
      }
      if (queue_closed_) return;
      work = std::move(queue_.front());
      queue_.pop_front();
    }
    Process(std::move(work));
  }
}

int Manager::Step(int wait_ms) {
  VARVE_CHECK(!options_.background);
  RunOnce(wait_ms);
  MutexLock lock(&mutex_);
  return under_way_;
}

void Manager::Stop() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    schedule_.clear();
    ghosts_.clear();
  }
  {
    MutexLock lock(&queue_mutex_);
    queue_closed_ = true;
    queue_.clear();
  }
  queue_changed_.NotifyAll();
  if (network_.joinable()) {
    client_->Wakeup();
    network_.join();
  }
  for (std::thread& worker : workers_) {
    if (worker.joinable()) worker.join();
  }
}

// -------------------------------------------------------------------- views

// By URL, then by labels.
std::vector<std::shared_ptr<ScrapeLoop>> LoopsInOrder(const ScrapePool& pool) {
  std::vector<std::shared_ptr<ScrapeLoop>> loops;
  for (const auto& [hash, loop] : pool.loops()) loops.push_back(loop);
  std::sort(loops.begin(), loops.end(), [](const auto& a, const auto& b) {
    const ScrapeTarget& x = a->target();
    const ScrapeTarget& y = b->target();
    return x.url != y.url ? x.url < y.url : x.labels < y.labels;
  });
  return loops;
}

TargetsView Manager::Targets() const {
  TargetsView view;
  MutexLock lock(&mutex_);
  for (const auto& [name, pool] : pools_) {
    view.pools.push_back(name);
    for (const auto& loop : LoopsInOrder(*pool)) {
      view.active.push_back(loop->View(host_name_));
    }
    for (const Labels& labels : pool->dropped()) {
      view.dropped.push_back({labels, name});
    }
    view.dropped_counts.emplace_back(name, pool->dropped_count());
  }
  return view;
}

std::vector<TargetMetadata> Manager::MetadataOfTargets() const {
  std::vector<std::shared_ptr<ScrapeLoop>> loops;
  {
    MutexLock lock(&mutex_);
    for (const auto& [name, pool] : pools_) {
      auto more = LoopsInOrder(*pool);
      std::move(more.begin(), more.end(), std::back_inserter(loops));
    }
  }
  // Without the lock: a target's memory is held while a scrape is stored.
  std::vector<TargetMetadata> out;
  for (const auto& loop : loops) out.push_back(loop->Families());
  return out;
}

ScrapeStats Manager::Stats() const {
  MutexLock lock(&mutex_);
  ScrapeStats stats = stats_;
  stats.pools = static_cast<int64_t>(pools_.size());
  for (const auto& [name, pool] : pools_) {
    stats.targets += static_cast<int64_t>(pool->loops().size());
    stats.discovery_errors += pool->discovery_errors();
  }
  return stats;
}

}  // namespace

std::string_view TargetHealthName(TargetHealth health) {
  switch (health) {
    case TargetHealth::kUp:
      return "up";
    case TargetHealth::kDown:
      return "down";
    case TargetHealth::kUnknown:
      break;
  }
  return "unknown";
}

std::unique_ptr<ScrapeManager> ScrapeManager::Create(
    ScrapeManagerOptions options) {
  return std::make_unique<Manager>(std::move(options));
}

}  // namespace varve
