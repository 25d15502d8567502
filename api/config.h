#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ingest/scrape_config.h"
#include "storage/labels.h"

namespace varve {

/// A loaded prometheus.yml: validated, defaults and global values filled in,
/// paths joined with the file's directory. A value type.
struct Config {
  // global
  int64_t scrape_interval_ms = 60 * 1000;
  int64_t scrape_timeout_ms = 10 * 1000;
  int64_t evaluation_interval_ms = 60 * 1000;
  int64_t rule_query_offset_ms = 0;
  /// Added on the way out, never stored. $VAR and ${VAR} are expanded.
  Labels external_labels;
  /// Where to log queries; "": nowhere.
  std::string query_log_file;

  /// Of this file and of scrape_config_files, in order.
  std::vector<ScrapeConfig> scrape_configs;

  /// storage.tsdb.out_of_order_time_window; nullopt: not given.
  std::optional<int64_t> out_of_order_window_ms;
  /// storage.tsdb.retention.time; nullopt: not given, the flag decides.
  std::optional<int64_t> retention_ms;
  /// storage.tsdb.retention.size, in the same way.
  std::optional<uint64_t> retention_bytes;
  /// storage.exemplars.max_exemplars.
  int64_t max_exemplars = 100000;

  /// What the user should be told at load: "prometheus.yml:14: alerting has no
  /// effect: there are no alerting rules". To be logged, one line each.
  std::vector<std::string> notices;
  /// The file itself and every pattern of scrape_config_files; what a
  /// ConfigWatcher should look at. Empty for LoadConfigText.
  std::vector<std::string> watch_patterns;
  /// The whole configuration as YAML, defaults filled in, secrets replaced by
  /// "<secret>"; the answer of /api/v1/status/config.
  std::string yaml;
};

/// Reads and validates. InvalidArgument names file, line and field:
/// `prometheus.yml:12: unknown field "scrap_interval" in global`. A section
/// that would change data or alerts and is not supported is an error, too.
/// NotFound / Unavailable when the file cannot be read.
absl::StatusOr<Config> LoadConfigFile(const std::string& path);

/// The same from a string. Relative paths are joined with `base_dir` (unless
/// that is empty); `name` stands for the file in messages.
absl::StatusOr<Config> LoadConfigText(std::string_view text,
                                      const std::string& base_dir,
                                      std::string_view name = "config");

}  // namespace varve
