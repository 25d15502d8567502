#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "ingest/text_parser.h"

namespace varve {

/// A format that a target can be asked for, as `scrape_protocols` names it.
enum class ScrapeProtocol : uint8_t {
  kOpenMetricsText1_0_0,
  kOpenMetricsText0_0_1,
  kPrometheusText1_0_0,
  kPrometheusText0_0_4,
  kPrometheusProto,  ///< known by name; cannot be read yet
};

/// "OpenMetricsText1.0.0" and so on; nullopt for an unknown name.
std::optional<ScrapeProtocol> ScrapeProtocolFromName(std::string_view name);
std::string_view ScrapeProtocolName(ScrapeProtocol protocol);

/// What Prometheus 3 asks for when `scrape_protocols` is not set.
std::span<const ScrapeProtocol> DefaultScrapeProtocols();

/// The value of the Accept header, in order of preference; `allow_utf8` says
/// whether names may be more than identifiers.
std::string AcceptHeader(std::span<const ScrapeProtocol> protocols,
                         bool allow_utf8 = true);

struct ChosenFormat {
  TextFormat format = TextFormat::kPrometheus;
  /// Not empty when the fallback had to be used: a line for the log.
  std::string warning;
};

/// The grammar for a response with this Content-Type. Without a usable one the
/// fallback protocol decides; without that it is an error, as in Prometheus 3.
absl::StatusOr<ChosenFormat> ChooseFormat(
    std::string_view content_type, std::optional<ScrapeProtocol> fallback);

}  // namespace varve
