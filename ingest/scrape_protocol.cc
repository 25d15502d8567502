#include "ingest/scrape_protocol.h"

#include <absl/strings/ascii.h>
#include <fmt/format.h>

#include <array>

#include "storage/status_macros.h"

namespace varve {
namespace {

struct ProtocolInfo {
  ScrapeProtocol protocol;
  std::string_view name;
  std::string_view media_type;
  std::string_view version;
  bool escaping;  ///< takes the `escaping` parameter
};

constexpr std::array<ProtocolInfo, 5> kProtocols = {{
    {ScrapeProtocol::kOpenMetricsText1_0_0, "OpenMetricsText1.0.0",
     "application/openmetrics-text", "1.0.0", true},
    {ScrapeProtocol::kOpenMetricsText0_0_1, "OpenMetricsText0.0.1",
     "application/openmetrics-text", "0.0.1", false},
    {ScrapeProtocol::kPrometheusText1_0_0, "PrometheusText1.0.0", "text/plain",
     "1.0.0", true},
    {ScrapeProtocol::kPrometheusText0_0_4, "PrometheusText0.0.4", "text/plain",
     "0.0.4", false},
    {ScrapeProtocol::kPrometheusProto, "PrometheusProto",
     "application/vnd.google.protobuf", "", true},
}};

constexpr std::array<ScrapeProtocol, 4> kDefaultProtocols = {
    ScrapeProtocol::kOpenMetricsText1_0_0,
    ScrapeProtocol::kOpenMetricsText0_0_1,
    ScrapeProtocol::kPrometheusText1_0_0,
    ScrapeProtocol::kPrometheusText0_0_4,
};

const ProtocolInfo& Info(ScrapeProtocol protocol) {
  return kProtocols[static_cast<size_t>(protocol)];
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && absl::ascii_isspace(text.front())) {
    text.remove_prefix(1);
  }
  while (!text.empty() && absl::ascii_isspace(text.back())) {
    text.remove_suffix(1);
  }
  return text;
}

/// The media type of a Content-Type, in lower case, without parameters.
std::string MediaType(std::string_view content_type) {
  std::string type(Trim(content_type.substr(0, content_type.find(';'))));
  for (char& c : type) c = absl::ascii_tolower(c);
  return type;
}

std::optional<TextFormat> FormatOf(std::string_view media_type) {
  if (media_type == "text/plain") return TextFormat::kPrometheus;
  if (media_type == "application/openmetrics-text") {
    return TextFormat::kOpenMetrics;
  }
  return std::nullopt;
}

}  // namespace

std::optional<ScrapeProtocol> ScrapeProtocolFromName(std::string_view name) {
  for (const ProtocolInfo& info : kProtocols) {
    if (info.name == name) return info.protocol;
  }
  return std::nullopt;
}

std::string_view ScrapeProtocolName(ScrapeProtocol protocol) {
  return Info(protocol).name;
}

std::span<const ScrapeProtocol> DefaultScrapeProtocols() {
  return kDefaultProtocols;
}

std::string AcceptHeader(std::span<const ScrapeProtocol> protocols,
                         bool allow_utf8) {
  std::string out;
  // As Prometheus: the weights fall by 0.1 from 0.6; what is left is for
  // "anything".
  size_t weight = kProtocols.size() + 1;
  for (ScrapeProtocol protocol : protocols) {
    if (protocol == ScrapeProtocol::kPrometheusProto) {
      // A target that offers it would answer with what we cannot read.
      --weight;
      continue;
    }
    const ProtocolInfo& info = Info(protocol);
    out += fmt::format("{};version={};", info.media_type, info.version);
    if (info.escaping) {
      out += allow_utf8 ? "escaping=allow-utf-8;" : "escaping=underscores;";
    }
    out += fmt::format("q=0.{},", weight--);
  }
  return out + fmt::format("*/*;q=0.{}", weight);
}

absl::StatusOr<ChosenFormat> ChooseFormat(
    std::string_view content_type, std::optional<ScrapeProtocol> fallback) {
  const std::string media_type = MediaType(content_type);
  if (auto format = FormatOf(media_type)) return ChosenFormat{*format, ""};

  std::string problem;
  if (media_type.empty()) {
    problem = "the target sent no Content-Type";
  } else if (media_type == "application/vnd.google.protobuf") {
    problem = "the target sent protobuf, which varve cannot read yet";
  } else {
    problem = fmt::format("unsupported Content-Type {}", Quote(content_type));
  }
  if (!fallback.has_value()) {
    return InvalidArgument(
        "{} and the scrape configuration sets no fallback_scrape_protocol",
        problem);
  }
  const ProtocolInfo& info = Info(*fallback);
  auto format = FormatOf(info.media_type);
  if (!format.has_value()) {
    return InvalidArgument(
        "{} and varve cannot read fallback_scrape_protocol {} yet", problem,
        info.name);
  }
  return ChosenFormat{*format,
                      fmt::format("{}; reading it as fallback_scrape_protocol "
                                  "{}",
                                  problem, info.name)};
}

}  // namespace varve
