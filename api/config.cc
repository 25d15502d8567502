#include "api/config.h"

#include <algorithm>
#include <cstdlib>

#include "api/config_sections.h"
#include "ingest/file_signature.h"
#include "storage/file_system.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

constexpr uint64_t kFileBytesMax = uint64_t{16} << 20;
constexpr int64_t kDefaultIntervalMs = 60 * 1000;
constexpr int64_t kDefaultTimeoutMs = 10 * 1000;

bool IsNull(const YamlNode* node) {
  return node == nullptr || node->kind == YamlNode::Kind::kNull;
}

bool IsEmptyList(const YamlNode* node) {
  return IsNull(node) ||
         (node->kind == YamlNode::Kind::kSequence && node->items.empty());
}

std::string Directory(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash + 1);
}

// Length of the variable's name at the head of `text`, as a shell sees it, and
// how many bytes it takes with its braces; a length of 0 is no name.
struct Variable {
  std::string name;
  size_t bytes = 0;
};

Variable TakeVariable(std::string_view text) {
  const auto is_word = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
  };
  const auto is_special = [](char c) {
    return std::string_view("*#$@!?-0123456789").find(c) !=
           std::string_view::npos;
  };
  if (text.empty()) return {};
  if (text[0] == '{') {
    if (text.size() > 2 && is_special(text[1]) && text[2] == '}') {
      return {std::string(1, text[1]), 3};
    }
    const size_t close = text.find('}');
    if (close == std::string_view::npos) return {"", 1};
    return {std::string(text.substr(1, close - 1)), close + 1};
  }
  if (is_special(text[0])) return {std::string(1, text[0]), 1};
  size_t length = 0;
  while (length < text.size() && is_word(text[length])) ++length;
  return {std::string(text.substr(0, length)), length};
}

// $VAR and ${VAR} from the environment; $$ is a dollar.
std::string ExpandEnvironment(std::string_view text, int line,
                              LoadState* state) {
  std::string out;
  while (!text.empty()) {
    const size_t dollar = text.find('$');
    out += text.substr(0, dollar);
    if (dollar == std::string_view::npos) break;
    text.remove_prefix(dollar + 1);
    const Variable variable = TakeVariable(text);
    text.remove_prefix(variable.bytes);
    if (variable.name == "$") {
      out += '$';
    } else if (variable.name.empty()) {
      if (variable.bytes == 0) out += '$';
    } else if (const char* value = std::getenv(variable.name.c_str());
               value != nullptr && *value != '\0') {
      out += value;
    } else {
      state->Notice(line, fmt::format("environment variable {} in "
                                      "external_labels is empty",
                                      variable.name));
    }
  }
  return out;
}

void ReadExternalLabels(YamlReader* r, LoadState* state) {
  Globals& g = state->globals;
  r->StringMap("external_labels", &g.external_labels);
  const NameScheme scheme = g.metric_name_validation == "legacy"
                                ? NameScheme::kLegacy
                                : NameScheme::kUtf8;
  LabelsBuilder labels;
  for (auto& [name, value] : g.external_labels) {
    if (!IsValidLabelName(name, scheme)) {
      r->Problem("external_labels",
                 fmt::format("{} is not a valid label name", Quote(name)));
      continue;
    }
    value = ExpandEnvironment(value, r->Line("external_labels"), state);
    labels.Set(name, value);
  }
  std::sort(g.external_labels.begin(), g.external_labels.end());
  state->config.external_labels = labels.Build();
}

void ReadGlobalLimits(YamlReader* r, Globals* g) {
  r->Bytes("body_size_limit", &g->body_size_limit);
  r->Uint("sample_limit", &g->sample_limit);
  r->Uint("target_limit", &g->target_limit);
  r->Uint("label_limit", &g->label_limit);
  r->Uint("label_name_length_limit", &g->label_name_length_limit);
  r->Uint("label_value_length_limit", &g->label_value_length_limit);
  r->Uint("keep_dropped_targets", &g->keep_dropped_targets);
}

void ReadGlobalTimes(YamlReader* r, Globals* g) {
  r->Duration("scrape_interval", &g->scrape_interval_ms);
  r->Duration("scrape_timeout", &g->scrape_timeout_ms);
  r->Duration("evaluation_interval", &g->evaluation_interval_ms);
  r->Duration("rule_query_offset", &g->rule_query_offset_ms);
  if (g->scrape_interval_ms == 0) g->scrape_interval_ms = kDefaultIntervalMs;
  if (g->scrape_timeout_ms > g->scrape_interval_ms) {
    r->Problem("scrape_timeout",
               "global scrape timeout greater than scrape interval");
  }
  if (g->scrape_timeout_ms == 0) {
    g->scrape_timeout_ms = std::min(kDefaultTimeoutMs, g->scrape_interval_ms);
  }
  if (g->evaluation_interval_ms == 0) {
    g->evaluation_interval_ms = kDefaultIntervalMs;
  }
}

// Files that Prometheus would write and we do not.
void ReadGlobalFiles(YamlReader* r, LoadState* state) {
  Globals& g = state->globals;
  r->String("query_log_file", &g.query_log_file);
  r->String("scrape_failure_log_file", &g.scrape_failure_log_file);
  if (!g.scrape_failure_log_file.empty()) {
    state->Notice(r->Line("scrape_failure_log_file"),
                  "scrape_failure_log_file has no effect; failed scrapes are "
                  "in the log");
  }
  g.query_log_file = JoinDir(state->base_dir, g.query_log_file);
  g.scrape_failure_log_file =
      JoinDir(state->base_dir, g.scrape_failure_log_file);
}

void ReadGlobal(const YamlNode* node, LoadState* state) {
  static const YamlNode kNull;
  YamlReader r(node == nullptr ? kNull : *node, "global", &state->problems);
  Globals& g = state->globals;
  ReadGlobalTimes(&r, &g);
  ReadScrapeProtocols(&r, &g.scrape_protocols);
  ReadGlobalFiles(&r, state);
  ReadGlobalLimits(&r, &g);
  r.String("metric_name_validation_scheme", &g.metric_name_validation);
  if (g.metric_name_validation.empty()) g.metric_name_validation = "utf8";
  if (g.metric_name_validation != "utf8" &&
      g.metric_name_validation != "legacy") {
    r.Problem("metric_name_validation_scheme",
              fmt::format("metric_name_validation_scheme must be \"utf8\" or "
                          "\"legacy\", not {}",
                          Quote(g.metric_name_validation)));
  }
  r.String("metric_name_escaping_scheme", &g.metric_name_escaping);
  ReadExternalLabels(&r, state);
  for (const char* name :
       {"scrape_native_histograms", "convert_classic_histograms_to_nhcb"}) {
    bool on = false;
    r.Bool(name, &on);
    if (on) r.Problem(name, fmt::format("{} is not supported yet", name));
  }
  r.Bool("always_scrape_classic_histograms",
         &g.always_scrape_classic_histograms);
  r.Bool("extra_scrape_metrics", &g.extra_scrape_metrics);
  r.Done();
  state->config.scrape_interval_ms = g.scrape_interval_ms;
  state->config.scrape_timeout_ms = g.scrape_timeout_ms;
  state->config.evaluation_interval_ms = g.evaluation_interval_ms;
  state->config.rule_query_offset_ms = g.rule_query_offset_ms;
  state->config.query_log_file = g.query_log_file;
}

void ReadTsdb(const YamlNode& node, LoadState* state) {
  YamlReader r(node, "storage.tsdb", &state->problems);
  Config& config = state->config;
  if (r.Has("out_of_order_time_window")) {
    int64_t ms = 0;
    r.Duration("out_of_order_time_window", &ms);
    config.out_of_order_window_ms = ms;
  }
  if (const YamlNode* retention = r.Child("retention"); !IsNull(retention)) {
    YamlReader rr(*retention, "storage.tsdb.retention", &state->problems);
    int64_t ms = 0;
    uint64_t bytes = 0;
    rr.Duration("time", &ms);
    rr.Bytes("size", &bytes);
    rr.Done();
    if (ms > 0) config.retention_ms = ms;
    if (bytes > 0) config.retention_bytes = bytes;
  }
  // Prometheus writes this name into /api/v1/status/config by accident; a file
  // made from that must load.
  r.Ignore("outofordertimewindow");
  r.Done();
}

void ReadStorage(const YamlNode* node, LoadState* state) {
  if (IsNull(node)) return;
  YamlReader r(*node, "storage", &state->problems);
  if (const YamlNode* tsdb = r.Child("tsdb"); !IsNull(tsdb)) {
    ReadTsdb(*tsdb, state);
  }
  if (const YamlNode* exemplars = r.Child("exemplars"); !IsNull(exemplars)) {
    YamlReader e(*exemplars, "storage.exemplars", &state->problems);
    e.Int("max_exemplars", &state->config.max_exemplars);
    e.Done();
  }
  r.Done();
}

bool IsPathPattern(std::string_view path) {
  const size_t star = path.find('*');
  if (star == std::string_view::npos) return true;
  const std::string_view rest = path.substr(star + 1);
  return rest.find('*') == std::string_view::npos &&
         rest.find('/') == std::string_view::npos;
}

void ReadRuleFiles(YamlReader* top, LoadState* state) {
  top->Strings("rule_files", &state->rule_files);
  for (std::string& pattern : state->rule_files) {
    if (!IsPathPattern(pattern)) {
      top->Problem("rule_files",
                   fmt::format("invalid rule file path {}", Quote(pattern)));
    }
    pattern = JoinDir(state->base_dir, pattern);
    state->config.watch_patterns.push_back(pattern);
    const std::vector<std::string> matches = GlobPaths(pattern);
    if (matches.empty()) {
      state->Notice(top->Line("rule_files"),
                    fmt::format("rule_files: nothing matches {}", pattern));
    } else {
      top->Problem("rule_files",
                   fmt::format("rule_files: recording and alerting rules are "
                               "not supported yet ({})",
                               matches.front()));
    }
  }
}

// Known fields of an alertmanager; nothing is sent, so only their names and the
// parts we can check count.
void CheckAlertmanager(const YamlNode& node, const std::string& where,
                       LoadState* state) {
  YamlReader r(node, where, &state->problems);
  std::string api_version = "v2";
  r.String("api_version", &api_version);
  if (api_version != "v2") {
    r.Problem("api_version",
              fmt::format("expected Alertmanager api version to be one of [v2] "
                          "but got {}",
                          api_version));
  }
  int64_t timeout_ms = 0;
  r.Duration("timeout", &timeout_ms);
  for (const char* name :
       {"scheme", "path_prefix", "sigv4", "static_configs", "file_sd_configs",
        "basic_auth", "authorization", "oauth2", "tls_config", "bearer_token",
        "bearer_token_file", "follow_redirects", "enable_http2", "http_headers",
        "proxy_url", "no_proxy", "proxy_from_environment",
        "proxy_connect_header"}) {
    r.Ignore(name);
  }
  for (const std::string& name : ServiceDiscoveryNames()) r.Ignore(name);
  ReadRelabelConfigs(&r, "relabel_configs", NameScheme::kUtf8);
  ReadRelabelConfigs(&r, "alert_relabel_configs", NameScheme::kUtf8);
  r.Done();
}

void ReadAlerting(YamlReader* top, LoadState* state) {
  const YamlNode* node = top->Child("alerting");
  if (IsNull(node)) return;
  YamlReader r(*node, "alerting", &state->problems);
  ReadRelabelConfigs(&r, "alert_relabel_configs", NameScheme::kUtf8);
  r.List("alertmanagers", [&](const YamlNode& item, const std::string& where) {
    CheckAlertmanager(item, where, state);
  });
  r.Done();
  if (!node->entries.empty()) {
    state->inert_sections.emplace_back("alerting", node);
    state->Notice(top->Line("alerting"),
                  "alerting has no effect: there are no alerting rules");
  }
}

// Sections that change neither what is stored nor what is answered here.
void ReadInert(YamlReader* top, std::string_view name,
               std::initializer_list<const char*> fields, LoadState* state) {
  const YamlNode* node = top->Child(name);
  if (IsNull(node)) return;
  YamlReader r(*node, std::string(name), &state->problems);
  for (const char* field : fields) r.Ignore(field);
  r.Done();
  if (!node->entries.empty()) {
    state->inert_sections.emplace_back(name, node);
    state->Notice(top->Line(name), fmt::format("{} has no effect here", name));
  }
}

void RefuseRemotes(YamlReader* top) {
  for (const char* name : {"remote_write", "remote_read"}) {
    const YamlNode* node = top->Child(name);
    if (!IsEmptyList(node)) {
      top->Problem(name, fmt::format("{} is not supported yet", name));
    }
  }
}

void ReadScrapeConfigs(YamlReader* reader, LoadState* state) {
  reader->List("scrape_configs",
               [&](const YamlNode& item, const std::string& where) {
                 ReadScrapeConfig(item, where, state);
               });
}

absl::StatusOr<YamlPtr> Parse(std::string_view text, const std::string& file) {
  absl::StatusOr<YamlPtr> node = ParseYaml(text);
  if (node.ok()) return node;
  return InvalidArgument("{}:{}", file, Message(node.status()));
}

// One file of scrape_config_files: its own name in messages, its own directory
// for relative paths.
absl::Status ReadScrapeFile(const std::string& path, LoadState* state) {
  VARVE_ASSIGN_OR_RETURN(const std::string text,
                         ReadFile(FileSystem::Posix(), path, kFileBytesMax));
  VARVE_ASSIGN_OR_RETURN(const YamlPtr node, Parse(text, path));
  LoadState inner(path, Directory(path));
  inner.globals = state->globals;
  inner.config.scrape_configs = std::move(state->config.scrape_configs);
  YamlReader r(*node, "", &inner.problems);
  ReadScrapeConfigs(&r, &inner);
  r.Done();
  state->config.scrape_configs = std::move(inner.config.scrape_configs);
  for (std::string& notice : inner.config.notices) {
    state->config.notices.push_back(std::move(notice));
  }
  return inner.problems.ToStatus();
}

absl::Status ReadScrapeFiles(YamlReader* top, LoadState* state) {
  top->Strings("scrape_config_files", &state->scrape_config_files);
  for (std::string& pattern : state->scrape_config_files) {
    if (!IsPathPattern(pattern)) {
      top->Problem(
          "scrape_config_files",
          fmt::format("invalid scrape config file path {}", Quote(pattern)));
      continue;
    }
    pattern = JoinDir(state->base_dir, pattern);
    state->config.watch_patterns.push_back(pattern);
    for (const std::string& path : GlobPaths(pattern)) {
      VARVE_RETURN_IF_ERROR(ReadScrapeFile(path, state));
    }
  }
  return absl::OkStatus();
}

absl::Status ReadDocument(const YamlNode& node, LoadState* state) {
  YamlReader top(node, "", &state->problems);
  ReadGlobal(top.Child("global"), state);
  ReadStorage(top.Child("storage"), state);
  ReadRuleFiles(&top, state);
  ReadAlerting(&top, state);
  RefuseRemotes(&top);
  ReadInert(&top, "runtime", {"gogc"}, state);
  ReadInert(&top, "tracing",
            {"client_type", "endpoint", "sampling_fraction", "insecure",
             "tls_config", "headers", "compression", "timeout"},
            state);
  ReadInert(
      &top, "otlp",
      {"promote_all_resource_attributes", "promote_resource_attributes",
       "ignore_resource_attributes", "translation_strategy",
       "keep_identifying_resource_attributes", "convert_histograms_to_nhcb",
       "promote_scope_metadata", "label_name_underscore_sanitization",
       "label_name_preserve_multiple_underscores"},
      state);
  ReadScrapeConfigs(&top, state);
  state->own_scrape_configs = state->config.scrape_configs.size();
  const absl::Status files = ReadScrapeFiles(&top, state);
  top.Done();
  VARVE_RETURN_IF_ERROR(state->problems.ToStatus());
  return files;
}

absl::StatusOr<Config> Load(std::string_view text, const std::string& base_dir,
                            const std::string& name, bool watch) {
  VARVE_ASSIGN_OR_RETURN(const YamlPtr node, Parse(text, name));
  LoadState state(name, base_dir);
  if (watch) state.config.watch_patterns.push_back(name);
  VARVE_RETURN_IF_ERROR(ReadDocument(*node, &state));
  state.config.yaml = WriteConfigYaml(state);
  return std::move(state.config);
}

}  // namespace

void LoadState::Notice(int line, std::string_view text) {
  config.notices.push_back(
      fmt::format("{}:{}: {}", problems.file(), line, text));
}

std::string JoinDir(const std::string& directory, const std::string& path) {
  if (path.empty() || path.front() == '/' || directory.empty()) return path;
  return directory.back() == '/' ? directory + path : directory + "/" + path;
}

absl::StatusOr<Config> LoadConfigFile(const std::string& path) {
  VARVE_ASSIGN_OR_RETURN(const std::string text,
                         ReadFile(FileSystem::Posix(), path, kFileBytesMax));
  return Load(text, Directory(path), path, true);
}

absl::StatusOr<Config> LoadConfigText(std::string_view text,
                                      const std::string& base_dir,
                                      std::string_view name) {
  return Load(text, base_dir, std::string(name), false);
}

}  // namespace varve
