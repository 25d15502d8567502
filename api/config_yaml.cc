#include "api/config_sections.h"
#include "ingest/duration.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

constexpr std::string_view kSecret = "<secret>";

// Writes block-style YAML line by line, fields in Prometheus's order, leaving
// out what is empty where Prometheus does.
class Writer {
 public:
  // The next line starts a list item.
  void Item() { item_ = true; }
  void Indent() { depth_ += 2; }
  void Outdent() { depth_ -= 2; }

  void Raw(std::string_view name, std::string_view value) {
    out_.append(depth_ - (item_ ? 2 : 0), ' ');
    if (item_) out_ += "- ";
    item_ = false;
    out_ += name;
    out_ += value.empty() ? ":" : ": ";
    out_ += value;
    out_ += '\n';
  }
  void Open(std::string_view name) { Raw(name, ""); }
  // A list item that is a plain value. Ends the item.
  void Bare(std::string_view value) {
    out_.append(depth_ - (item_ ? 2 : 0), ' ');
    if (item_) out_ += "- ";
    item_ = false;
    out_ += value;
    out_ += '\n';
  }
  void Text(std::string_view name, std::string_view value) {
    if (!value.empty()) Raw(name, YamlQuote(value));
  }
  void Bool(std::string_view name, bool value) {
    Raw(name, value ? "true" : "false");
  }
  void Number(std::string_view name, uint64_t value) {
    if (value != 0) Raw(name, fmt::to_string(value));
  }
  void Duration(std::string_view name, int64_t ms) {
    if (ms != 0) Raw(name, FormatDurationMs(ms));
  }
  void Bytes(std::string_view name, uint64_t value) {
    if (value != 0) Raw(name, FormatByteSize(value));
  }
  void Secret(std::string_view name, std::string_view value) {
    if (!value.empty()) Raw(name, kSecret);
  }
  void Strings(std::string_view name, const std::vector<std::string>& values,
               bool secret = false) {
    if (values.empty()) return;
    Open(name);
    for (const std::string& value : values) {
      out_.append(depth_, ' ');
      out_ += "- ";
      out_ += secret ? std::string(kSecret) : YamlQuote(value);
      out_ += '\n';
    }
  }

  std::string Take() { return std::move(out_); }

 private:
  std::string out_;
  int depth_ = 0;
  bool item_ = false;
};

void WriteProtocols(const std::vector<ScrapeProtocol>& protocols, Writer* w) {
  std::vector<std::string> names;
  for (ScrapeProtocol p : protocols) names.emplace_back(ScrapeProtocolName(p));
  w->Strings("scrape_protocols", names);
}

void WriteLabels(std::string_view name, const Labels& labels, Writer* w) {
  if (labels.empty()) return;
  w->Open(name);
  w->Indent();
  for (const LabelView& label : labels) {
    w->Raw(YamlQuote(label.name), YamlQuote(label.value));
  }
  w->Outdent();
}

template <typename T>
void WriteLimits(const T& c, Writer* w) {
  w->Bytes("body_size_limit", c.body_size_limit);
  w->Number("sample_limit", c.sample_limit);
  w->Number("target_limit", c.target_limit);
  w->Number("label_limit", c.label_limit);
  w->Number("label_name_length_limit", c.label_name_length_limit);
  w->Number("label_value_length_limit", c.label_value_length_limit);
}

void WriteGlobal(const LoadState& state, Writer* w) {
  const Globals& g = state.globals;
  w->Open("global");
  w->Indent();
  w->Duration("scrape_interval", g.scrape_interval_ms);
  w->Duration("scrape_timeout", g.scrape_timeout_ms);
  const auto defaults = DefaultScrapeProtocols();
  WriteProtocols(
      g.scrape_protocols.empty()
          ? std::vector<ScrapeProtocol>(defaults.begin(), defaults.end())
          : g.scrape_protocols,
      w);
  w->Duration("evaluation_interval", g.evaluation_interval_ms);
  w->Duration("rule_query_offset", g.rule_query_offset_ms);
  w->Text("query_log_file", g.query_log_file);
  w->Text("scrape_failure_log_file", g.scrape_failure_log_file);
  if (!g.external_labels.empty()) {
    w->Open("external_labels");
    w->Indent();
    for (const auto& [name, value] : g.external_labels) {
      w->Raw(YamlQuote(name), YamlQuote(value));
    }
    w->Outdent();
  }
  WriteLimits(g, w);
  w->Number("keep_dropped_targets", g.keep_dropped_targets);
  if (g.metric_name_validation != "utf8") {
    w->Text("metric_name_validation_scheme", g.metric_name_validation);
  }
  w->Text("metric_name_escaping_scheme", g.metric_name_escaping);
  if (g.always_scrape_classic_histograms) {
    w->Bool("always_scrape_classic_histograms", true);
  }
  if (g.extra_scrape_metrics) w->Bool("extra_scrape_metrics", true);
  w->Outdent();
}

void WriteTls(const TlsConfig& tls, Writer* w) {
  if (tls == TlsConfig()) return;
  w->Open("tls_config");
  w->Indent();
  w->Text("ca", tls.ca);
  w->Text("cert", tls.cert);
  w->Secret("key", tls.key);
  w->Text("ca_file", tls.ca_file);
  w->Text("cert_file", tls.cert_file);
  w->Text("key_file", tls.key_file);
  w->Text("server_name", tls.server_name);
  w->Bool("insecure_skip_verify", tls.insecure_skip_verify);
  w->Text("min_version", tls.min_version);
  w->Text("max_version", tls.max_version);
  w->Outdent();
}

void WriteHeaders(const std::vector<HttpHeaderConfig>& headers, Writer* w) {
  if (headers.empty()) return;
  w->Open("http_headers");
  w->Indent();
  for (const HttpHeaderConfig& header : headers) {
    w->Open(YamlQuote(header.name));
    w->Indent();
    w->Strings("values", header.values);
    w->Strings("secrets", header.secrets, true);
    w->Strings("files", header.files);
    w->Outdent();
  }
  w->Outdent();
}

void WriteHttp(const HttpClientConfig& http, Writer* w) {
  if (http.basic_auth) {
    w->Open("basic_auth");
    w->Indent();
    w->Text("username", http.basic_auth->username);
    w->Text("username_file", http.basic_auth->username_file);
    w->Secret("password", http.basic_auth->password);
    w->Text("password_file", http.basic_auth->password_file);
    w->Outdent();
  }
  if (http.authorization) {
    w->Open("authorization");
    w->Indent();
    w->Text("type", http.authorization->type);
    w->Secret("credentials", http.authorization->credentials);
    w->Text("credentials_file", http.authorization->credentials_file);
    w->Outdent();
  }
  WriteTls(http.tls, w);
  w->Bool("follow_redirects", http.follow_redirects);
  w->Bool("enable_http2", http.enable_http2);
  WriteHeaders(http.headers, w);
}

void WriteRelabel(std::string_view name,
                  const std::vector<RelabelConfig>& configs, Writer* w) {
  if (configs.empty()) return;
  w->Open(name);
  for (const RelabelConfig& c : configs) {
    w->Indent();
    w->Item();
    if (!c.source_labels.empty()) {
      std::string list;
      for (const std::string& label : c.source_labels) {
        list += list.empty() ? "" : ", ";
        list += YamlQuote(label);
      }
      w->Raw("source_labels", "[" + list + "]");
    }
    w->Text("separator", c.separator);
    if (c.regex != RelabelConfig().regex) {
      w->Raw("regex", YamlQuote(c.regex));
    }
    w->Number("modulus", c.modulus);
    w->Text("target_label", c.target_label);
    w->Text("replacement", c.replacement);
    w->Raw("action", RelabelActionName(c.action));
    w->Outdent();
  }
}

void WriteDiscovery(const ScrapeConfig& c, Writer* w) {
  if (!c.file_sd_configs.empty()) w->Open("file_sd_configs");
  for (const FileSdConfig& sd : c.file_sd_configs) {
    w->Indent();
    w->Item();
    w->Strings("files", sd.files);
    w->Duration("refresh_interval", sd.refresh_interval_ms);
    w->Outdent();
  }
  if (!c.static_configs.empty()) w->Open("static_configs");
  for (const TargetGroup& group : c.static_configs) {
    std::vector<std::string> targets;
    for (const Labels& target : group.targets) {
      targets.emplace_back(target.Get("__address__"));
    }
    w->Indent();
    w->Item();
    if (targets.empty()) w->Raw("targets", "[]");
    w->Strings("targets", targets);
    WriteLabels("labels", group.labels, w);
    w->Outdent();
  }
}

void WriteParams(const ScrapeConfig& c, Writer* w) {
  if (c.params.empty()) return;
  w->Open("params");
  w->Indent();
  for (const auto& [name, values] : c.params) {
    if (values.empty()) w->Raw(YamlQuote(name), "[]");
    w->Strings(YamlQuote(name), values);
  }
  w->Outdent();
}

void WriteScrapeConfig(const ScrapeConfig& c, Writer* w) {
  w->Indent();
  w->Item();
  w->Raw("job_name", YamlQuote(c.job_name));
  if (c.honor_labels) w->Bool("honor_labels", true);
  w->Bool("honor_timestamps", c.honor_timestamps);
  w->Bool("track_timestamps_staleness", c.track_timestamps_staleness);
  WriteParams(c, w);
  w->Duration("scrape_interval", c.scrape_interval_ms);
  w->Duration("scrape_timeout", c.scrape_timeout_ms);
  WriteProtocols(c.scrape_protocols, w);
  if (c.fallback_scrape_protocol) {
    w->Text("fallback_scrape_protocol",
            ScrapeProtocolName(*c.fallback_scrape_protocol));
  }
  w->Bool("always_scrape_classic_histograms",
          c.always_scrape_classic_histograms);
  w->Bool("convert_classic_histograms_to_nhcb", false);
  w->Text("scrape_failure_log_file", c.scrape_failure_log_file);
  w->Text("metrics_path", c.metrics_path);
  w->Text("scheme", c.scheme);
  w->Bool("enable_compression", c.enable_compression);
  WriteLimits(c, w);
  w->Number("native_histogram_bucket_limit", c.native_histogram_bucket_limit);
  if (c.native_histogram_min_bucket_factor != 0) {
    w->Raw("native_histogram_min_bucket_factor",
           fmt::to_string(c.native_histogram_min_bucket_factor));
  }
  w->Number("keep_dropped_targets", c.keep_dropped_targets);
  w->Text("metric_name_validation_scheme",
          c.metric_name_validation == NameScheme::kUtf8 ? "utf8" : "legacy");
  w->Text("metric_name_escaping_scheme", c.metric_name_escaping);
  if (c.extra_scrape_metrics) w->Bool("extra_scrape_metrics", true);
  WriteHttp(c.http, w);
  WriteRelabel("relabel_configs", c.relabel_configs, w);
  WriteRelabel("metric_relabel_configs", c.metric_relabel_configs, w);
  WriteDiscovery(c, w);
  w->Outdent();
}

bool IsSecretName(std::string_view name) {
  for (const std::string_view word :
       {"password", "credentials", "bearer_token", "secret", "secrets", "key",
        "client_secret", "secret_key", "access_key", "token", "headers"}) {
    if (name == word) return true;
  }
  return false;
}

void WriteNode(const std::string& name, const YamlNode& node, Writer* w);

void WriteItems(const YamlNode& list, Writer* w) {
  for (const YamlPtr& item : list.items) {
    w->Indent();
    w->Item();
    if (item->kind == YamlNode::Kind::kMap && !item->entries.empty()) {
      for (const auto& [key, value] : item->entries) {
        WriteNode(YamlQuote(key->scalar), *value, w);
      }
    } else if (item->kind == YamlNode::Kind::kSequence) {
      w->Bare("[]");  // no section has lists of lists
    } else {
      w->Bare(item->kind == YamlNode::Kind::kMap    ? "{}"
              : item->kind == YamlNode::Kind::kNull ? "null"
                                                    : YamlQuote(item->scalar));
    }
    w->Outdent();
  }
}

// A value as it stands in the file, but for secrets. The reader has bounded
// depth and size.
void WriteNode(const std::string& name, const YamlNode& node, Writer* w) {
  if (IsSecretName(name) && node.kind != YamlNode::Kind::kNull) {
    w->Raw(name, kSecret);
    return;
  }
  switch (node.kind) {
    case YamlNode::Kind::kNull:
      w->Raw(name, "null");
      break;
    case YamlNode::Kind::kScalar:
      // Unquoted scalars may be numbers and booleans and stay as they were.
      w->Raw(name, node.quoted || YamlQuote(node.scalar).front() != '"'
                       ? YamlQuote(node.scalar)
                       : node.scalar);
      break;
    case YamlNode::Kind::kSequence:
      if (node.items.empty()) {
        w->Raw(name, "[]");
      } else {
        w->Open(name);
        WriteItems(node, w);
      }
      break;
    case YamlNode::Kind::kMap:
      if (node.entries.empty()) {
        w->Raw(name, "{}");
        break;
      }
      w->Open(name);
      w->Indent();
      for (const auto& [key, value] : node.entries) {
        WriteNode(YamlQuote(key->scalar), *value, w);
      }
      w->Outdent();
      break;
  }
}

void WriteStorage(const Config& config, Writer* w) {
  const bool tsdb = config.out_of_order_window_ms || config.retention_ms ||
                    config.retention_bytes;
  const bool exemplars = config.max_exemplars != Config().max_exemplars;
  if (!tsdb && !exemplars) return;
  w->Open("storage");
  w->Indent();
  if (tsdb) {
    w->Open("tsdb");
    w->Indent();
    if (config.out_of_order_window_ms) {
      w->Raw("out_of_order_time_window",
             FormatDurationMs(*config.out_of_order_window_ms));
    }
    if (config.retention_ms || config.retention_bytes) {
      w->Open("retention");
      w->Indent();
      if (config.retention_ms) w->Duration("time", *config.retention_ms);
      if (config.retention_bytes) {
        w->Raw("size", FormatByteSize(*config.retention_bytes));
      }
      w->Outdent();
    }
    w->Outdent();
  }
  if (exemplars) {
    w->Open("exemplars");
    w->Indent();
    w->Raw("max_exemplars", fmt::to_string(config.max_exemplars));
    w->Outdent();
  }
  w->Outdent();
}

}  // namespace

std::string WriteConfigYaml(const LoadState& state) {
  Writer w;
  WriteGlobal(state, &w);
  for (const auto& [name, node] : state.inert_sections) {
    WriteNode(name, *node, &w);
  }
  w.Strings("rule_files", state.rule_files);
  w.Strings("scrape_config_files", state.scrape_config_files);
  if (state.own_scrape_configs > 0) {
    w.Open("scrape_configs");
    for (size_t i = 0; i < state.own_scrape_configs; ++i) {
      WriteScrapeConfig(state.config.scrape_configs[i], &w);
    }
  }
  WriteStorage(state.config, &w);
  return w.Take();
}

}  // namespace varve
