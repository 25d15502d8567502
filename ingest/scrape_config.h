#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ingest/relabel.h"
#include "ingest/scrape_protocol.h"
#include "storage/labels.h"

namespace varve {

// The scrape part of a configuration as plain values, defaults as Prometheus's.
// Produced by api/config.h or by an embedder; consumed by ScrapeManager. Paths
// are absolute or relative to the working directory (the loader has joined
// them with the directory of the configuration file).

struct BasicAuth {
  std::string username;
  std::string username_file;
  std::string password;
  std::string password_file;
  friend bool operator==(const BasicAuth&, const BasicAuth&) = default;
};

/// The Authorization header: "<type> <credentials>".
struct Authorization {
  std::string type = "Bearer";
  std::string credentials;
  std::string credentials_file;
  friend bool operator==(const Authorization&, const Authorization&) = default;
};

/// Of each pair (text, file) at most one is set. Files are read again for
/// every connection, so that rotated certificates work.
struct TlsConfig {
  std::string ca;
  std::string ca_file;
  std::string cert;
  std::string cert_file;
  std::string key;
  std::string key_file;
  std::string server_name;
  bool insecure_skip_verify = false;
  std::string min_version;  ///< "TLS10" ... "TLS13", or empty
  std::string max_version;
  friend bool operator==(const TlsConfig&, const TlsConfig&) = default;
};

/// A header with all its values, in the order values, secrets, files.
struct HttpHeaderConfig {
  std::string name;
  std::vector<std::string> values;
  std::vector<std::string> secrets;
  std::vector<std::string> files;
  friend bool operator==(const HttpHeaderConfig&,
                         const HttpHeaderConfig&) = default;
};

struct HttpClientConfig {
  std::optional<BasicAuth> basic_auth;
  std::optional<Authorization> authorization;
  TlsConfig tls;
  bool follow_redirects = true;
  bool enable_http2 = true;
  std::vector<HttpHeaderConfig> headers;
  friend bool operator==(const HttpClientConfig&,
                         const HttpClientConfig&) = default;
};

/// Targets that share labels. `source` names where the group came from
/// ("0" for the first static group, "file.yml:0").
struct TargetGroup {
  std::string source;
  std::vector<Labels> targets;  ///< each has at least __address__
  Labels labels;                ///< added where a target does not set them
  friend bool operator==(const TargetGroup&, const TargetGroup&) = default;
};

struct FileSdConfig {
  /// Each may hold one `*` in its last part.
  std::vector<std::string> files;
  int64_t refresh_interval_ms = 5 * 60 * 1000;
  friend bool operator==(const FileSdConfig&, const FileSdConfig&) = default;
};

/// One entry of scrape_configs, with the global values filled in.
struct ScrapeConfig {
  std::string job_name;
  bool honor_labels = false;
  bool honor_timestamps = true;
  bool track_timestamps_staleness = false;
  std::map<std::string, std::vector<std::string>> params;
  int64_t scrape_interval_ms = 60 * 1000;
  int64_t scrape_timeout_ms = 10 * 1000;
  std::vector<ScrapeProtocol> scrape_protocols = {
      DefaultScrapeProtocols().begin(), DefaultScrapeProtocols().end()};
  std::optional<ScrapeProtocol> fallback_scrape_protocol;
  std::string metrics_path = "/metrics";
  std::string scheme = "http";
  bool enable_compression = true;
  // Limits; 0 means none (a body has a sanity cap all the same).
  uint64_t body_size_limit = 0;
  uint64_t sample_limit = 0;
  uint64_t target_limit = 0;
  uint64_t label_limit = 0;
  uint64_t label_name_length_limit = 0;
  uint64_t label_value_length_limit = 0;
  uint64_t keep_dropped_targets = 0;
  NameScheme metric_name_validation = NameScheme::kUtf8;
  std::string metric_name_escaping = "allow-utf-8";
  bool extra_scrape_metrics = false;
  std::string scrape_failure_log_file;
  // Known, and without effect until native histograms are scraped.
  bool always_scrape_classic_histograms = false;
  uint64_t native_histogram_bucket_limit = 0;
  double native_histogram_min_bucket_factor = 0;
  HttpClientConfig http;
  std::vector<TargetGroup> static_configs;
  std::vector<FileSdConfig> file_sd_configs;
  std::vector<RelabelConfig> relabel_configs;
  std::vector<RelabelConfig> metric_relabel_configs;
  friend bool operator==(const ScrapeConfig&, const ScrapeConfig&) = default;
};

}  // namespace varve
