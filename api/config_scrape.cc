#include <fmt/ranges.h>

#include <algorithm>

#include "api/config_sections.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

bool HasStarOnlyInLastPart(std::string_view path) {
  const size_t star = path.find('*');
  if (star == std::string_view::npos) return true;
  const std::string_view rest = path.substr(star + 1);
  return rest.find('/') == std::string_view::npos;
}

// What file discovery accepts: one `*` at most, and a known extension.
bool IsDiscoveryPath(std::string_view path) {
  static const std::vector<std::string> kExtensions = {
      ".json", ".yml", ".yaml", ".JSON", ".YML", ".YAML"};
  const size_t star = path.find('*');
  const bool one_star = star == std::string_view::npos ||
                        path.find('*', star + 1) == std::string_view::npos;
  return one_star && HasStarOnlyInLastPart(path) &&
         std::any_of(kExtensions.begin(), kExtensions.end(),
                     [&](const std::string& e) { return path.ends_with(e); });
}

FileSdConfig ReadFileSd(const YamlNode& node, const std::string& where,
                        LoadState* state) {
  YamlReader r(node, where, &state->problems);
  FileSdConfig sd;
  r.Strings("files", &sd.files);
  r.Duration("refresh_interval", &sd.refresh_interval_ms);
  r.Done();
  if (sd.files.empty()) {
    state->problems.Add(
        node.line,
        "file service discovery config must contain at least one path name");
  }
  for (std::string& file : sd.files) {
    if (!IsDiscoveryPath(file)) {
      r.Problem("files",
                fmt::format("path name {} is not valid for file discovery",
                            Quote(file)));
    }
    file = JoinDir(state->base_dir, file);
  }
  if (sd.refresh_interval_ms == 0) sd.refresh_interval_ms = 5 * 60 * 1000;
  return sd;
}

Labels MakeLabels(
    const std::vector<std::pair<std::string, std::string>>& pairs) {
  LabelsBuilder builder;
  for (const auto& [name, value] : pairs) builder.Set(name, value);
  return builder.Build();
}

TargetGroup ReadStaticConfig(const YamlNode& node, const std::string& where,
                             size_t index, LoadState* state) {
  YamlReader r(node, where, &state->problems);
  TargetGroup group;
  group.source = fmt::to_string(index);
  std::vector<std::string> targets;
  r.Strings("targets", &targets);
  std::vector<std::pair<std::string, std::string>> labels;
  r.StringMap("labels", &labels);
  r.Done();
  for (const auto& [name, value] : labels) {
    if (!IsValidLabelName(name, NameScheme::kUtf8)) {
      r.Problem("labels",
                fmt::format("{} is not a valid label name", Quote(name)));
    }
  }
  for (const std::string& target : targets) {
    group.targets.push_back(Labels{{"__address__", target}});
  }
  group.labels = MakeLabels(labels);
  return group;
}

// A URL in place of host:port is a common mistake; with relabelling it may be
// intended.
void RefuseUrlsAsTargets(const ScrapeConfig& config, YamlReader* reader) {
  if (!config.relabel_configs.empty()) return;
  for (const TargetGroup& group : config.static_configs) {
    for (const Labels& target : group.targets) {
      if (target.Get("__address__").find('/') != std::string_view::npos) {
        reader->Problem("static_configs",
                        fmt::format("{} is not a valid hostname",
                                    Quote(target.Get("__address__"))));
      }
    }
  }
}

void ReadDiscovery(YamlReader* reader, ScrapeConfig* config, LoadState* state) {
  reader->List("static_configs",
               [&](const YamlNode& item, const std::string& where) {
                 config->static_configs.push_back(ReadStaticConfig(
                     item, where, config->static_configs.size(), state));
               });
  reader->List(
      "file_sd_configs", [&](const YamlNode& item, const std::string& where) {
        config->file_sd_configs.push_back(ReadFileSd(item, where, state));
      });
  RefuseServiceDiscovery(reader);
}

void ReadParams(YamlReader* reader, ScrapeConfig* config) {
  const YamlNode* node = reader->Child("params");
  if (node == nullptr) return;
  YamlReader params(*node, reader->where() + ".params", reader->problems());
  for (const auto& [key, value] : node->entries) {
    params.Strings(key->scalar, &config->params[key->scalar]);
  }
}

void ReadLimits(YamlReader* r, const Globals& globals, ScrapeConfig* config) {
  const auto inherit = [](uint64_t* value, uint64_t global) {
    if (*value == 0) *value = global;
  };
  r->Bytes("body_size_limit", &config->body_size_limit);
  inherit(&config->body_size_limit, globals.body_size_limit);
  r->Uint("sample_limit", &config->sample_limit);
  inherit(&config->sample_limit, globals.sample_limit);
  r->Uint("target_limit", &config->target_limit);
  inherit(&config->target_limit, globals.target_limit);
  r->Uint("label_limit", &config->label_limit);
  inherit(&config->label_limit, globals.label_limit);
  r->Uint("label_name_length_limit", &config->label_name_length_limit);
  inherit(&config->label_name_length_limit, globals.label_name_length_limit);
  r->Uint("label_value_length_limit", &config->label_value_length_limit);
  inherit(&config->label_value_length_limit, globals.label_value_length_limit);
  r->Uint("keep_dropped_targets", &config->keep_dropped_targets);
  inherit(&config->keep_dropped_targets, globals.keep_dropped_targets);
}

void ReadTimes(YamlReader* r, const Globals& globals, ScrapeConfig* config) {
  config->scrape_interval_ms = 0;
  config->scrape_timeout_ms = 0;
  r->Duration("scrape_interval", &config->scrape_interval_ms);
  r->Duration("scrape_timeout", &config->scrape_timeout_ms);
  if (config->scrape_interval_ms == 0) {
    config->scrape_interval_ms = globals.scrape_interval_ms;
  }
  if (config->scrape_timeout_ms > config->scrape_interval_ms) {
    r->Problem("scrape_timeout",
               fmt::format("scrape timeout greater than scrape interval for "
                           "scrape config with job name {}",
                           Quote(config->job_name)));
  }
  if (config->scrape_timeout_ms == 0) {
    config->scrape_timeout_ms =
        std::min(globals.scrape_timeout_ms, config->scrape_interval_ms);
  }
}

void ReadNames(YamlReader* r, const Globals& globals, ScrapeConfig* config) {
  std::string validation;
  r->String("metric_name_validation_scheme", &validation);
  if (!validation.empty() && validation != "utf8" && validation != "legacy") {
    r->Problem("metric_name_validation_scheme",
               fmt::format("metric_name_validation_scheme must be \"utf8\" or "
                           "\"legacy\", not {}",
                           Quote(validation)));
  }
  const bool inherited = validation.empty();
  if (inherited) validation = globals.metric_name_validation;
  const bool legacy = validation == "legacy";
  config->metric_name_validation =
      legacy ? NameScheme::kLegacy : NameScheme::kUtf8;
  std::string escaping;
  r->String("metric_name_escaping_scheme", &escaping);
  if (escaping.empty() && inherited) escaping = globals.metric_name_escaping;
  if (escaping.empty()) escaping = legacy ? "underscores" : "allow-utf-8";
  if (escaping == "dots" || escaping == "values") {
    r->Problem("metric_name_escaping_scheme",
               fmt::format("metric_name_escaping_scheme {} is not supported "
                           "yet",
                           Quote(escaping)));
  } else if (escaping != "allow-utf-8" && escaping != "underscores") {
    r->Problem(
        "metric_name_escaping_scheme",
        fmt::format("unknown metric_name_escaping_scheme {}", Quote(escaping)));
  } else if (escaping == "allow-utf-8" && legacy) {
    r->Problem("metric_name_escaping_scheme",
               "utf8 metric names requested but validation scheme is not set "
               "to UTF8");
  }
  config->metric_name_escaping = escaping;
}

void ReadProtocols(YamlReader* r, const Globals& globals,
                   ScrapeConfig* config) {
  if (!globals.scrape_protocols.empty()) {
    config->scrape_protocols = globals.scrape_protocols;
  }
  std::vector<ScrapeProtocol> own;
  ReadScrapeProtocols(r, &own);
  if (!own.empty()) config->scrape_protocols = own;
  std::string fallback;
  r->String("fallback_scrape_protocol", &fallback);
  if (fallback.empty()) return;
  config->fallback_scrape_protocol = ScrapeProtocolFromName(fallback);
  if (!config->fallback_scrape_protocol) {
    r->Problem("fallback_scrape_protocol",
               fmt::format("unknown scrape protocol {}", fallback));
  } else if (fallback == "PrometheusProto") {
    r->Problem("fallback_scrape_protocol",
               "scrape protocol PrometheusProto is not supported yet");
  }
}

void ReadHistograms(YamlReader* r, const Globals& globals,
                    ScrapeConfig* config) {
  config->always_scrape_classic_histograms =
      globals.always_scrape_classic_histograms;
  r->Bool("always_scrape_classic_histograms",
          &config->always_scrape_classic_histograms);
  for (const char* name :
       {"scrape_native_histograms", "convert_classic_histograms_to_nhcb"}) {
    bool on = false;
    r->Bool(name, &on);
    if (on) r->Problem(name, fmt::format("{} is not supported yet", name));
  }
  r->Uint("native_histogram_bucket_limit",
          &config->native_histogram_bucket_limit);
  r->Double("native_histogram_min_bucket_factor",
            &config->native_histogram_min_bucket_factor);
}

RelabelConfig ReadRelabelConfig(const YamlNode& node, const std::string& where,
                                NameScheme scheme, YamlProblems* problems) {
  RelabelConfig config;
  YamlReader r(node, where, problems);
  r.Strings("source_labels", &config.source_labels);
  r.String("separator", &config.separator);
  r.String("regex", &config.regex);
  r.Uint("modulus", &config.modulus);
  r.String("target_label", &config.target_label);
  r.String("replacement", &config.replacement);
  std::string action = "replace";
  r.String("action", &action);
  r.Done();
  if (!ParseRelabelAction(action, &config.action)) {
    r.Problem("action",
              fmt::format("unknown relabel action {}", Quote(action)));
    return config;
  }
  if (const auto rules = RelabelRules::Create({config}, scheme); !rules.ok()) {
    problems->Add(node.line,
                  fmt::format("{}: {}", where, Message(rules.status())));
  }
  return config;
}

}  // namespace

const std::vector<std::string>& ServiceDiscoveryNames() {
  static const std::vector<std::string> kNames = {
      "aws_sd_configs",         "azure_sd_configs",
      "consul_sd_configs",      "digitalocean_sd_configs",
      "dns_sd_configs",         "docker_sd_configs",
      "dockerswarm_sd_configs", "ec2_sd_configs",
      "ecs_sd_configs",         "eureka_sd_configs",
      "gce_sd_configs",         "hetzner_sd_configs",
      "http_sd_configs",        "ionos_sd_configs",
      "kubernetes_sd_configs",  "kuma_sd_configs",
      "lightsail_sd_configs",   "linode_sd_configs",
      "marathon_sd_configs",    "nerve_sd_configs",
      "nomad_sd_configs",       "openstack_sd_configs",
      "ovhcloud_sd_configs",    "puppetdb_sd_configs",
      "scaleway_sd_configs",    "serverset_sd_configs",
      "stackit_sd_configs",     "triton_sd_configs",
      "uyuni_sd_configs",       "vultr_sd_configs"};
  return kNames;
}

void RefuseServiceDiscovery(YamlReader* reader) {
  for (const std::string& name : ServiceDiscoveryNames()) {
    const YamlNode* node = reader->Child(name);
    const bool empty =
        node == nullptr || node->kind == YamlNode::Kind::kNull ||
        (node->kind == YamlNode::Kind::kSequence && node->items.empty());
    if (!empty) {
      reader->Problem(name, fmt::format("{} is not supported yet; static_"
                                        "configs and file_sd_configs are",
                                        name));
    }
  }
}

void ReadScrapeProtocols(YamlReader* reader,
                         std::vector<ScrapeProtocol>* protocols) {
  if (!reader->Has("scrape_protocols")) return;
  std::vector<std::string> names;
  reader->Strings("scrape_protocols", &names);
  if (names.empty() &&
      reader->Child("scrape_protocols")->kind == YamlNode::Kind::kSequence) {
    reader->Problem("scrape_protocols", "scrape_protocols cannot be empty");
  }
  for (const std::string& name : names) {
    const auto protocol = ScrapeProtocolFromName(name);
    if (!protocol) {
      reader->Problem("scrape_protocols",
                      fmt::format("scrape_protocols: unknown scrape protocol "
                                  "{}, supported: OpenMetricsText0.0.1, "
                                  "OpenMetricsText1.0.0, PrometheusText0.0.4, "
                                  "PrometheusText1.0.0",
                                  name));
    } else if (*protocol == ScrapeProtocol::kPrometheusProto) {
      reader->Problem("scrape_protocols",
                      "scrape_protocols: PrometheusProto is not supported yet; "
                      "the text protocols are");
    } else if (std::find(protocols->begin(), protocols->end(), *protocol) !=
               protocols->end()) {
      reader->Problem("scrape_protocols",
                      fmt::format("duplicated protocol in scrape_protocols, "
                                  "got [{}]",
                                  fmt::join(names, " ")));
    } else {
      protocols->push_back(*protocol);
    }
  }
}

std::vector<RelabelConfig> ReadRelabelConfigs(YamlReader* reader,
                                              std::string_view name,
                                              NameScheme scheme) {
  std::vector<RelabelConfig> configs;
  reader->List(name, [&](const YamlNode& item, const std::string& where) {
    if (item.kind == YamlNode::Kind::kNull) {
      reader->problems()->Add(item.line, where + " is empty");
      return;
    }
    configs.push_back(
        ReadRelabelConfig(item, where, scheme, reader->problems()));
  });
  return configs;
}

void ReadScrapeConfig(const YamlNode& node, const std::string& where,
                      LoadState* state) {
  if (node.kind == YamlNode::Kind::kNull) {
    state->problems.Add(node.line, where + " is empty");
    return;
  }
  const Globals& globals = state->globals;
  ScrapeConfig config;
  YamlReader r(node, where, &state->problems);
  r.String("job_name", &config.job_name);
  if (config.job_name.empty()) {
    state->problems.Add(node.line, where + ": job_name is empty");
  }
  r.Bool("honor_labels", &config.honor_labels);
  r.Bool("honor_timestamps", &config.honor_timestamps);
  r.Bool("track_timestamps_staleness", &config.track_timestamps_staleness);
  ReadParams(&r, &config);
  ReadTimes(&r, globals, &config);
  ReadProtocols(&r, globals, &config);
  ReadHistograms(&r, globals, &config);
  config.scrape_failure_log_file = globals.scrape_failure_log_file;
  std::string log_file;
  r.String("scrape_failure_log_file", &log_file);
  if (!log_file.empty()) {
    config.scrape_failure_log_file = JoinDir(state->base_dir, log_file);
    state->Notice(r.Line("scrape_failure_log_file"),
                  "scrape_failure_log_file has no effect; failed scrapes are "
                  "in the log");
  }
  r.String("metrics_path", &config.metrics_path);
  if (config.metrics_path.empty()) config.metrics_path = "/metrics";
  r.String("scheme", &config.scheme);
  if (config.scheme.empty()) config.scheme = "http";
  r.Bool("enable_compression", &config.enable_compression);
  ReadLimits(&r, globals, &config);
  ReadNames(&r, globals, &config);
  config.extra_scrape_metrics = globals.extra_scrape_metrics;
  r.Bool("extra_scrape_metrics", &config.extra_scrape_metrics);
  config.http = ReadHttpClientConfig(&r, state->base_dir);
  ReadDiscovery(&r, &config, state);
  config.relabel_configs =
      ReadRelabelConfigs(&r, "relabel_configs", config.metric_name_validation);
  config.metric_relabel_configs = ReadRelabelConfigs(
      &r, "metric_relabel_configs", config.metric_name_validation);
  r.Done();
  RefuseUrlsAsTargets(config, &r);
  for (const ScrapeConfig& other : state->config.scrape_configs) {
    if (other.job_name == config.job_name && !config.job_name.empty()) {
      r.Problem("job_name",
                fmt::format("found multiple scrape configs with job name {}",
                            Quote(config.job_name)));
    }
  }
  state->config.scrape_configs.push_back(std::move(config));
}

}  // namespace varve
