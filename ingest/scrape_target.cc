#include "ingest/scrape_target.h"

#include <xxhash.h>

#include <algorithm>
#include <map>
#include <vector>

#include "ingest/duration.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

constexpr std::string_view kParamPrefix = "__param_";
constexpr std::string_view kMetaPrefix = "__meta_";

bool IsAlnum(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         (c >= '0' && c <= '9');
}

std::string Escape(std::string_view text, std::string_view kept) {
  std::string out;
  for (const char c : text) {
    if (IsAlnum(c) || kept.find(c) != std::string_view::npos) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

// As Go writes a path and a query.
std::string EscapePath(std::string_view path) {
  return Escape(path, "-_.~$&+,/:;=@");
}
std::string EscapeQuery(std::string_view text) {
  std::string out = Escape(text, "-_.~ ");
  std::replace(out.begin(), out.end(), ' ', '+');
  return out;
}

std::string MakeUrl(const LabelsBuilder& labels, const ScrapeConfig& config) {
  std::map<std::string, std::vector<std::string>> params(config.params.begin(),
                                                         config.params.end());
  for (const auto& [name, value] : labels.entries()) {
    if (!std::string_view(name).starts_with(kParamPrefix)) continue;
    std::vector<std::string>& values = params[name.substr(kParamPrefix.size())];
    if (values.empty()) values.emplace_back();
    values[0] = value;
  }
  std::string query;
  for (const auto& [name, values] : params) {
    for (const std::string& value : values) {
      query += query.empty() ? "?" : "&";
      query += EscapeQuery(name) + "=" + EscapeQuery(value);
    }
  }
  std::string path = EscapePath(labels.Get("__metrics_path__"));
  if (!path.empty() && path.front() != '/') path.insert(0, "/");
  return fmt::format("{}://{}{}{}", labels.Get("__scheme__"),
                     labels.Get("__address__"), path, query);
}

absl::StatusOr<int64_t> PositiveDuration(const LabelsBuilder& labels,
                                         std::string_view label,
                                         std::string_view what) {
  const std::string_view text = labels.Get(label);
  const std::optional<int64_t> ms = ParseDurationMs(text);
  if (!ms) {
    return InvalidArgument("error parsing {}: not a valid duration string: {}",
                           what, Quote(text));
  }
  if (*ms == 0) return InvalidArgument("{} cannot be 0", what);
  return *ms;
}

absl::Status CheckAddress(std::string_view address) {
  if (address.empty()) return InvalidArgument("no address");
  // Also what would change the meaning of the URL.
  if (address.find_first_of("/?#@\\ \t\r\n") != std::string_view::npos) {
    return InvalidArgument("{} is not a valid hostname", Quote(address));
  }
  return absl::OkStatus();
}

absl::Status CheckScheme(std::string_view scheme) {
  if (scheme == "http" || scheme == "https") return absl::OkStatus();
  return InvalidArgument("invalid scheme: {}", Quote(scheme));
}

absl::Status CheckLabels(const LabelsBuilder& labels) {
  for (const auto& [name, value] : labels.entries()) {
    if (!IsValidUtf8(value)) {
      return InvalidArgument("invalid label value for {}: {}", Quote(name),
                             Quote(value));
    }
  }
  return absl::OkStatus();
}

Labels PublicLabels(const LabelsBuilder& labels) {
  LabelsBuilder out;
  for (const auto& [name, value] : labels.entries()) {
    if (!std::string_view(name).starts_with("__")) out.Set(name, value);
  }
  return out.Build();
}

void DropMeta(LabelsBuilder* labels) {
  const auto entries = labels->entries();
  for (const auto& [name, value] : entries) {
    if (std::string_view(name).starts_with(kMetaPrefix)) labels->Del(name);
  }
}

}  // namespace

Labels JoinGroupLabels(const Labels& target, const Labels& group) {
  LabelsBuilder builder(group);
  for (const LabelView& label : target) builder.Set(label.name, label.value);
  return builder.Build();
}

Labels DiscoveredLabels(const Labels& discovered, const ScrapeConfig& config) {
  LabelsBuilder labels(discovered);
  const auto set = [&](std::string_view name, std::string_view value) {
    if (labels.Get(name).empty()) labels.Set(name, value);
  };
  set("job", config.job_name);
  set("__scrape_interval__", FormatDurationMs(config.scrape_interval_ms));
  set("__scrape_timeout__", FormatDurationMs(config.scrape_timeout_ms));
  set("__metrics_path__", config.metrics_path);
  set("__scheme__", config.scheme);
  for (const auto& [name, values] : config.params) {
    if (values.empty()) continue;
    set(std::string(kParamPrefix) + name, values[0]);
  }
  return labels.Build();
}

absl::StatusOr<std::optional<ScrapeTarget>> MakeTarget(
    const Labels& discovered, const ScrapeConfig& config,
    const RelabelRules& rules) {
  ScrapeTarget target;
  target.discovered = DiscoveredLabels(discovered, config);
  LabelsBuilder labels(target.discovered);
  if (!rules.Apply(&labels)) return std::nullopt;
  VARVE_RETURN_IF_ERROR(CheckAddress(labels.Get("__address__")));
  VARVE_RETURN_IF_ERROR(CheckScheme(labels.Get("__scheme__")));
  VARVE_ASSIGN_OR_RETURN(
      target.interval_ms,
      PositiveDuration(labels, "__scrape_interval__", "scrape interval"));
  VARVE_ASSIGN_OR_RETURN(
      target.timeout_ms,
      PositiveDuration(labels, "__scrape_timeout__", "scrape timeout"));
  if (target.timeout_ms > target.interval_ms) {
    return InvalidArgument(
        "scrape timeout cannot be greater than scrape interval ({} > {})",
        Quote(labels.Get("__scrape_timeout__")),
        Quote(labels.Get("__scrape_interval__")));
  }
  DropMeta(&labels);
  if (labels.Get("instance").empty()) {
    labels.Set("instance", std::string(labels.Get("__address__")));
  }
  VARVE_RETURN_IF_ERROR(CheckLabels(labels));
  target.url = MakeUrl(labels, config);
  target.labels = PublicLabels(labels);
  target.hash =
      labels.Build().Hash() ^ XXH3_64bits(target.url.data(), target.url.size());
  return target;
}

std::string GlobalUrl(const std::string& url, const std::string& host_name) {
  for (const std::string_view loopback : {"127.0.0.1", "localhost", "[::1]"}) {
    const size_t at = url.find("://");
    if (at == std::string::npos || host_name.empty()) break;
    const std::string_view rest = std::string_view(url).substr(at + 3);
    if (!rest.starts_with(loopback)) continue;
    const std::string_view tail = rest.substr(loopback.size());
    if (!tail.empty() && tail[0] != ':' && tail[0] != '/' && tail[0] != '?') {
      continue;
    }
    return url.substr(0, at + 3) + host_name + std::string(tail);
  }
  return url;
}

}  // namespace varve
