#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <optional>
#include <string>

#include "ingest/relabel.h"
#include "ingest/scrape_config.h"
#include "storage/labels.h"

namespace varve {

/// What a target is, fixed once it is discovered and relabelled.
struct ScrapeTarget {
  Labels discovered;  ///< before relabelling, job and __scheme__ and so on set
  Labels labels;      ///< public labels: no name begins with "__"
  std::string url;
  int64_t interval_ms = 0;
  int64_t timeout_ms = 0;
  /// Of all labels, internal ones included, and the URL: equal hashes mean the
  /// same target. Stable across restarts.
  uint64_t hash = 0;
};

/// The labels of a target before relabelling: those of discovery, then job,
/// __metrics_path__, __scheme__, __scrape_interval__, __scrape_timeout__ and
/// __param_* where they are not set.
Labels DiscoveredLabels(const Labels& discovered, const ScrapeConfig& config);

/// Relabels. nullopt: the rules drop it. InvalidArgument: it cannot be scraped
/// ("no address", a timeout above the interval, ...).
absl::StatusOr<std::optional<ScrapeTarget>> MakeTarget(
    const Labels& discovered, const ScrapeConfig& config,
    const RelabelRules& rules);

/// The labels of a target of a group: its own, and the group's where it has
/// none of that name.
Labels JoinGroupLabels(const Labels& target, const Labels& group);

/// The URL with a loopback host replaced by `host_name`.
std::string GlobalUrl(const std::string& url, const std::string& host_name);

}  // namespace varve
