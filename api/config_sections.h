#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "api/config.h"
#include "ingest/scrape_config.h"
#include "ingest/yaml_reader.h"

namespace varve {

// The parts of the configuration loader; only api/config*.cc includes this.

/// The global section: what jobs inherit.
struct Globals {
  int64_t scrape_interval_ms = 0;
  int64_t scrape_timeout_ms = 0;
  int64_t evaluation_interval_ms = 0;
  int64_t rule_query_offset_ms = 0;
  std::string query_log_file;
  std::string scrape_failure_log_file;
  std::vector<std::pair<std::string, std::string>> external_labels;
  std::vector<ScrapeProtocol> scrape_protocols;  ///< empty: not given
  uint64_t body_size_limit = 0;
  uint64_t sample_limit = 0;
  uint64_t target_limit = 0;
  uint64_t label_limit = 0;
  uint64_t label_name_length_limit = 0;
  uint64_t label_value_length_limit = 0;
  uint64_t keep_dropped_targets = 0;
  std::string metric_name_validation = "utf8";
  std::string metric_name_escaping;  ///< empty: follows the validation
  bool always_scrape_classic_histograms = false;
  bool extra_scrape_metrics = false;
};

/// The document while it is read.
struct LoadState {
  explicit LoadState(std::string file, std::string base_dir)
      : problems(std::move(file)), base_dir(std::move(base_dir)) {}

  YamlProblems problems;
  std::string base_dir;
  Globals globals;
  Config config;
  /// Entries of config.scrape_configs that stand in the main file.
  size_t own_scrape_configs = 0;
  std::vector<std::string> rule_files;
  std::vector<std::string> scrape_config_files;
  /// Sections without effect here, to be shown as they stand in the file. They
  /// live as long as the document that is being read.
  std::vector<std::pair<std::string, const YamlNode*>> inert_sections;

  /// A line for the log: "file:line: text".
  void Notice(int line, std::string_view text);
};

/// `path` below `directory` unless it is empty or absolute.
std::string JoinDir(const std::string& directory, const std::string& path);

// config_scrape.cc
void ReadScrapeConfig(const YamlNode& node, const std::string& where,
                      LoadState* state);
void ReadScrapeProtocols(YamlReader* reader,
                         std::vector<ScrapeProtocol>* protocols);
std::vector<RelabelConfig> ReadRelabelConfigs(YamlReader* reader,
                                              std::string_view name,
                                              NameScheme scheme);
/// Reports *_sd_configs of service discoveries that are known and missing.
void RefuseServiceDiscovery(YamlReader* reader);
/// Names of all service discoveries of Prometheus 3 but static and file.
const std::vector<std::string>& ServiceDiscoveryNames();

// config_http.cc
HttpClientConfig ReadHttpClientConfig(YamlReader* reader,
                                      const std::string& base_dir);

// config_yaml.cc
std::string WriteConfigYaml(const LoadState& state);

}  // namespace varve
