#include "ingest/scrape_pool.h"

#include <utility>

#include "storage/status_macros.h"

namespace varve {
namespace {

// The configuration without what leaves the series of a body as they are.
ScrapeConfig SeriesPart(ScrapeConfig config) {
  const ScrapeConfig defaults;
  config.scrape_interval_ms = defaults.scrape_interval_ms;
  config.scrape_timeout_ms = defaults.scrape_timeout_ms;
  config.sample_limit = 0;
  config.target_limit = 0;
  config.body_size_limit = 0;
  config.keep_dropped_targets = 0;
  config.enable_compression = defaults.enable_compression;
  config.http = defaults.http;
  config.static_configs.clear();
  config.file_sd_configs.clear();
  config.relabel_configs.clear();
  return config;
}

}  // namespace

ScrapePool::ScrapePool(std::shared_ptr<const ScrapeJob> job, Clock* clock,
                       Logger logger)
    : job_(std::move(job)), logger_(std::move(logger)) {
  for (const FileSdConfig& sd : job_->config.file_sd_configs) {
    files_.emplace_back(sd, clock, logger_);
  }
}

std::vector<TargetGroup> ScrapePool::Groups() const {
  std::vector<TargetGroup> groups = job_->config.static_configs;
  for (const FileDiscovery& files : files_) {
    for (TargetGroup& group : files.Groups()) {
      groups.push_back(std::move(group));
    }
  }
  return groups;
}

int64_t ScrapePool::discovery_errors() const {
  int64_t n = 0;
  for (const FileDiscovery& files : files_) n += files.errors();
  return n;
}

bool ScrapePool::over_target_limit() const {
  const uint64_t limit = job_->config.target_limit;
  return limit > 0 && loops_.size() > limit;
}

void ScrapePool::Drop(const Labels& labels) {
  ++dropped_count_;
  const uint64_t keep = job_->config.keep_dropped_targets;
  if (keep == 0 || dropped_.size() < keep) dropped_.push_back(labels);
}

std::map<uint64_t, ScrapeTarget> ScrapePool::MakeTargets() {
  std::map<uint64_t, ScrapeTarget> targets;
  dropped_.clear();
  dropped_count_ = 0;
  for (const TargetGroup& group : Groups()) {
    for (const Labels& own : group.targets) {
      const Labels labels = JoinGroupLabels(own, group.labels);
      auto made = MakeTarget(labels, job_->config, job_->target_relabel);
      if (!made.ok()) {
        logger_.Error("scrape", "job {}: target {} of group {}: {}",
                      job_->config.job_name, own.ToString(), group.source,
                      Message(made.status()));
      } else if (!made->has_value()) {
        Drop(DiscoveredLabels(labels, job_->config));
      } else {
        const uint64_t hash = (*made)->hash;
        targets.emplace(hash, **std::move(made));
      }
    }
  }
  return targets;
}

void ScrapePool::Inherit(const ScrapePool& old) {
  if (SeriesPart(old.job_->config) != SeriesPart(job_->config)) return;
  // Targets are told apart by their labels and URL without interval and
  // timeout here, since the hash has those, too.
  for (const auto& [hash, loop] : old.loops_) {
    const std::string key =
        loop->target().labels.ToString() + loop->target().url;
    inherited_.emplace(std::hash<std::string>()(key), loop->memory());
  }
}

void ScrapePool::Poll(std::vector<Loop>* added, std::vector<Loop>* removed) {
  bool changed = !polled_;
  for (FileDiscovery& files : files_) {
    if (files.Poll()) changed = true;
  }
  if (!changed) return;
  polled_ = true;
  std::map<uint64_t, ScrapeTarget> targets = MakeTargets();
  for (auto it = loops_.begin(); it != loops_.end();) {
    if (targets.erase(it->first) > 0) {
      ++it;
    } else {
      removed->push_back(it->second);
      it = loops_.erase(it);
    }
  }
  for (auto& [hash, target] : targets) {
    const std::string key = target.labels.ToString() + target.url;
    const auto found = inherited_.find(std::hash<std::string>()(key));
    std::shared_ptr<TargetMemory> memory =
        found == inherited_.end() ? ScrapeLoop::NewMemory(*job_, target)
                                  : found->second;
    if (found != inherited_.end()) inherited_.erase(found);
    auto loop = std::make_shared<ScrapeLoop>(job_, std::move(target),
                                             std::move(memory));
    loops_.emplace(hash, loop);
    added->push_back(std::move(loop));
  }
  inherited_.clear();
  absl::Status forced;
  if (over_target_limit()) {
    forced = ResourceExhausted(
        "target_limit exceeded (number of targets: {}, limit: {})",
        loops_.size(), job_->config.target_limit);
  }
  for (auto& [hash, loop] : loops_) loop->forced_error = forced;
}

}  // namespace varve
