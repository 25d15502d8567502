#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ingest/discovery.h"
#include "ingest/scrape_loop.h"

namespace varve {

/// The targets of one job: discovery, relabelling, one loop each. Not
/// thread-safe; the manager's mutex guards it.
class ScrapePool {
 public:
  using Loop = std::shared_ptr<ScrapeLoop>;

  ScrapePool(std::shared_ptr<const ScrapeJob> job, Clock* clock, Logger logger);

  /// Looks at discovery; if the targets changed (always the first time), adds
  /// the loops that are new and those that are gone to the lists.
  void Poll(std::vector<Loop>* added, std::vector<Loop>* removed);

  /// Takes over what `old` (the same job before a reload) remembers of targets
  /// that both have, if nothing that decides about series has changed. Call
  /// before the first Poll.
  void Inherit(const ScrapePool& old);

  const ScrapeJob& job() const { return *job_; }
  const std::map<uint64_t, Loop>& loops() const { return loops_; }
  const std::vector<Labels>& dropped() const { return dropped_; }
  int64_t dropped_count() const { return dropped_count_; }
  int64_t discovery_errors() const;
  bool over_target_limit() const;

 private:
  std::map<uint64_t, ScrapeTarget> MakeTargets();
  void Drop(const Labels& labels);
  std::vector<TargetGroup> Groups() const;

  const std::shared_ptr<const ScrapeJob> job_;
  Logger logger_;
  std::vector<FileDiscovery> files_;
  bool polled_ = false;
  std::map<uint64_t, Loop> loops_;
  std::map<uint64_t, std::shared_ptr<TargetMemory>> inherited_;
  std::vector<Labels> dropped_;
  int64_t dropped_count_ = 0;
};

}  // namespace varve
