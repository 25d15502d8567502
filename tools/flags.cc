#include "tools/flags.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <span>

namespace varve {
namespace {

enum class Kind { kBool, kText, kTexts, kDuration, kNumber, kBytes };
enum class Effect { kWorks, kNone, kRefused };

struct FlagSpec {
  std::string_view name;
  Kind kind;
  std::string_view value;  // the default
  Effect effect;
  std::string_view help;  // with kNone and kRefused: why
};

constexpr std::string_view kNoAgent = "there is no agent mode";
constexpr std::string_view kNoRules = "there are no rules and alerts yet";
constexpr std::string_view kNoRead = "remote read is not there yet";
constexpr std::string_view kNoConsoles = "there are no consoles";
constexpr std::string_view kOwnBlocks = "varve sizes its own blocks and log";
constexpr std::string_view kNotGo = "this is not a Go program";
constexpr std::string_view kScrapeTimes =
    "scrape times are stored as they were scheduled to the millisecond";

constexpr auto W = Effect::kWorks;
constexpr auto N = Effect::kNone;
constexpr auto R = Effect::kRefused;

// Sorted by name. Defaults are Prometheus's unless said otherwise.
constexpr FlagSpec kFlags[] = {
    {"agent", Kind::kBool, "false", R, kNoAgent},
    {"alertmanager.drain-notification-queue-on-shutdown", Kind::kBool, "true",
     N, kNoRules},
    {"alertmanager.notification-batch-size", Kind::kNumber, "256", N, kNoRules},
    {"alertmanager.notification-queue-capacity", Kind::kNumber, "10000", N,
     kNoRules},
    {"alertmanager.timeout", Kind::kText, "", N, kNoRules},
    {"auto-gomaxprocs", Kind::kBool, "true", N, kNotGo},
    {"auto-gomemlimit", Kind::kBool, "true", N, kNotGo},
    {"auto-gomemlimit.ratio", Kind::kText, "0.9", N, kNotGo},
    {"config.auto-reload-interval", Kind::kDuration, "30s", W,
     "How often to look for a changed configuration file; 0s: never."},
    {"config.file", Kind::kText, "", W,
     "A prometheus.yml. Without one, varve scrapes only itself and listens on "
     "127.0.0.1:9090."},
    {"enable-feature", Kind::kTexts, "", W,
     "Comma separated names of Prometheus's feature flags."},
    {"log.format", Kind::kText, "logfmt", W, "logfmt or json."},
    {"log.level", Kind::kText, "info", W, "debug, info, warn or error."},
    {"query.lookback-delta", Kind::kDuration, "5m", W,
     "How far an instant selector looks back."},
    {"query.max-bytes", Kind::kBytes, "2GB", W,
     "Memory that a single query may hold; 0B: no limit."},
    {"query.max-concurrency", Kind::kNumber, "20", W,
     "Queries that run at once; others wait, clients in turn."},
    {"query.max-samples", Kind::kNumber, "50000000", W,
     "Samples that a single query may load; 0: no limit."},
    {"query.timeout", Kind::kDuration, "2m", W,
     "How long a query may take, waiting included."},
    {"rules.alert.for-grace-period", Kind::kDuration, "10m", N, kNoRules},
    {"rules.alert.for-outage-tolerance", Kind::kDuration, "1h", N, kNoRules},
    {"rules.alert.resend-delay", Kind::kDuration, "1m", N, kNoRules},
    {"rules.max-concurrent-evals", Kind::kNumber, "4", N, kNoRules},
    {"scrape.adjust-timestamps", Kind::kBool, "true", N, kScrapeTimes},
    {"scrape.discovery-reload-interval", Kind::kDuration, "5s", N,
     "discovery takes effect at once"},
    {"scrape.name-escaping-scheme", Kind::kText, "", N,
     "names are stored as they are"},
    {"scrape.timestamp-tolerance", Kind::kDuration, "2ms", N, kScrapeTimes},
    {"storage.agent.no-lockfile", Kind::kBool, "false", N, kNoAgent},
    {"storage.agent.path", Kind::kText, "data-agent/", N, kNoAgent},
    {"storage.agent.retention.max-time", Kind::kDuration, "0s", N, kNoAgent},
    {"storage.agent.retention.min-time", Kind::kDuration, "0s", N, kNoAgent},
    {"storage.agent.wal-compression", Kind::kBool, "true", N, kNoAgent},
    {"storage.agent.wal-compression-type", Kind::kText, "snappy", N, kNoAgent},
    {"storage.agent.wal-segment-size", Kind::kBytes, "0B", N, kNoAgent},
    {"storage.agent.wal-truncate-frequency", Kind::kDuration, "0s", N,
     kNoAgent},
    {"storage.remote.flush-deadline", Kind::kDuration, "1m", N,
     "varve does not send by remote write"},
    {"storage.remote.read-concurrent-limit", Kind::kNumber, "10", N, kNoRead},
    {"storage.remote.read-max-bytes-in-frame", Kind::kNumber, "1048576", N,
     kNoRead},
    {"storage.remote.read-sample-limit", Kind::kText, "50000000", N, kNoRead},
    {"storage.tsdb.allow-overlapping-blocks", Kind::kBool, "true", N,
     kOwnBlocks},
    {"storage.tsdb.allow-overlapping-compaction", Kind::kBool, "true", N,
     kOwnBlocks},
    {"storage.tsdb.block-reload-interval", Kind::kDuration, "1m", N,
     kOwnBlocks},
    {"storage.tsdb.delay-compact-file.path", Kind::kText, "", N, kOwnBlocks},
    {"storage.tsdb.delayed-compaction.max-percent", Kind::kNumber, "10", N,
     kOwnBlocks},
    {"storage.tsdb.head-chunks-write-queue-size", Kind::kNumber, "0", N,
     kOwnBlocks},
    {"storage.tsdb.max-block-chunk-segment-size", Kind::kBytes, "0B", N,
     kOwnBlocks},
    {"storage.tsdb.max-block-duration", Kind::kDuration, "1d", N, kOwnBlocks},
    {"storage.tsdb.min-block-duration", Kind::kDuration, "2h", N, kOwnBlocks},
    {"storage.tsdb.no-lockfile", Kind::kBool, "false", N,
     "two processes on a directory would destroy it"},
    {"storage.tsdb.path", Kind::kText, "data/", W, "Where the data are."},
    {"storage.tsdb.retention.size", Kind::kBytes, "0B", W,
     "Not supported yet: anything but 0B is refused."},
    {"storage.tsdb.retention.time", Kind::kDuration, "45d", W,
     "Days that lie wholly before this are dropped."},
    {"storage.tsdb.samples-per-chunk", Kind::kNumber, "120", N, kOwnBlocks},
    {"storage.tsdb.wal-compression", Kind::kBool, "true", N, kOwnBlocks},
    {"storage.tsdb.wal-compression-type", Kind::kText, "snappy", N, kOwnBlocks},
    {"storage.tsdb.wal-fsync", Kind::kText, "interval", W,
     "When the log is synced to disk: always (before every acknowledgement), "
     "interval (at most a second later), never."},
    {"storage.tsdb.wal-segment-size", Kind::kBytes, "0B", N, kOwnBlocks},
    {"web.config.file", Kind::kText, "", R,
     "TLS and authentication are not there yet, and without them the data "
     "would be open to everybody"},
    {"web.console.libraries", Kind::kText, "console_libraries", N, kNoConsoles},
    {"web.console.templates", Kind::kText, "consoles", N, kNoConsoles},
    {"web.cors.origin", Kind::kText, ".*", W,
     "Anchored regex of origins that may read answers in a browser."},
    {"web.enable-admin-api", Kind::kBool, "false", W, "Enable /api/v1/admin/."},
    {"web.enable-lifecycle", Kind::kBool, "false", W,
     "Enable /-/reload and /-/quit."},
    {"web.enable-otlp-receiver", Kind::kBool, "false", N,
     "the OTLP receiver is not there yet; its path answers 404"},
    {"web.enable-remote-write-receiver", Kind::kBool, "true", N,
     "the remote-write receiver is always on"},
    {"web.external-url", Kind::kText, "", W,
     "The URL by which others reach varve; its path prefixes all routes."},
    {"web.listen-address", Kind::kTexts, "", W,
     "Address to listen on; can be repeated. 0.0.0.0:9090 with --config.file, "
     "else 127.0.0.1:9090."},
    {"web.local-assets", Kind::kText, "", N, "there is no web page to replace"},
    {"web.max-connections", Kind::kNumber, "512", W,
     "Connections at once; idle ones make room for new ones."},
    {"web.max-notifications-subscribers", Kind::kNumber, "16", N,
     "there are no live notifications"},
    {"web.otlp.convert-histograms-to-nhcb", Kind::kBool, "false", N,
     "the OTLP receiver is not there yet"},
    {"web.page-title", Kind::kText, "varve", W, "Title of the page at /."},
    {"web.read-timeout", Kind::kDuration, "5m", W,
     "How long a request may take to arrive, and a connection be idle."},
    {"web.remote-write-receiver.accepted-protobuf-messages", Kind::kTexts,
     "prometheus.WriteRequest", N,
     "remote write 1.0 (prometheus.WriteRequest) is accepted, 2.0 not yet"},
    {"web.route-prefix", Kind::kText, "", W,
     "Prefix of all routes; the path of --web.external-url by default."},
    {"web.user-assets", Kind::kText, "", N, "there is no web page to extend"},
};

// Features of Prometheus 3.x, and whether naming one changes anything here.
struct Feature {
  std::string_view name;
  std::string_view note;  // "" when it works, or is simply always on
};
constexpr Feature kFeatures[] = {
    {"agent", "there is no agent mode"},
    {"auto-gomaxprocs", ""},
    {"auto-gomemlimit", ""},
    {"auto-reload-config", ""},
    {"concurrent-rule-eval", "there are no rules yet"},
    {"created-timestamp-zero-ingestion", "it has no effect here yet"},
    {"delayed-compaction", ""},
    {"exemplar-storage", ""},
    {"expand-external-labels", ""},
    {"extra-scrape-metrics", ""},
    {"fast-startup", ""},
    {"memory-snapshot-on-shutdown", ""},
    {"metadata-wal-records", ""},
    {"native-histograms", ""},
    {"new-service-discovery-manager", ""},
    {"no-default-scrape-port", ""},
    {"old-ui", "there is no web page yet"},
    {"otlp-deltatocumulative", "the OTLP receiver is not there yet"},
    {"otlp-native-delta-ingestion", "the OTLP receiver is not there yet"},
    {"otlp-write-receiver", "the OTLP receiver is not there yet"},
    {"promql-at-modifier", ""},
    {"promql-binop-fill-modifiers", ""},
    {"promql-delayed-name-removal", ""},
    {"promql-duration-expr", ""},
    {"promql-experimental-functions", ""},
    {"promql-extended-range-selectors", ""},
    {"promql-negative-offset", ""},
    {"promql-per-step-stats", "it has no effect here"},
    {"remote-write-receiver", ""},
    {"search-api", "it has no effect here"},
    {"st-storage", ""},
    {"type-and-unit-labels", "it has no effect here"},
    {"use-start-timestamps", "it has no effect here yet"},
    {"use-uncached-io", "it has no effect here"},
    {"utf8-names", ""},
    {"xor2-encoding", ""},
};

const FlagSpec& SpecOf(std::string_view name) {
  const auto it =
      std::find_if(std::begin(kFlags), std::end(kFlags),
                   [&](const FlagSpec& f) { return f.name == name; });
  VARVE_CHECK(it != std::end(kFlags));
  return *it;
}

std::string EnvironmentName(std::string_view flag) {
  std::string out = "VARVE_";
  for (const char c : flag) {
    if (c == '.' || c == '-') {
      out.push_back('_');
    } else {
      out.push_back(c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c);
    }
  }
  return out;
}

std::optional<int64_t> ParseNumber(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) {
    return std::nullopt;
  }
  return value;
}

std::vector<std::string_view> SplitNames(std::string_view text) {
  std::vector<std::string_view> out;
  while (!text.empty()) {
    const size_t comma = text.find(',');
    if (const auto name = text.substr(0, comma); !name.empty()) {
      out.push_back(name);
    }
    text.remove_prefix(comma == std::string_view::npos ? text.size()
                                                       : comma + 1);
  }
  return out;
}

}  // namespace

ServeFlags::ServeFlags() {
  for (const FlagSpec& spec : kFlags) {
    Value& value = values_[std::string(spec.name)];
    if (spec.kind == Kind::kBool) {
      value.on = spec.value == "true";
    } else if (!spec.value.empty()) {
      value.texts = {std::string(spec.value)};
    }
  }
}

void ServeFlags::AddTo(CLI::App* app) {
  for (const FlagSpec& spec : kFlags) {
    Value& value = At(spec.name);
    const std::string name(spec.name);
    std::string help(spec.help);
    if (spec.effect == Effect::kNone) help = "Has no effect: " + help + ".";
    if (spec.effect == Effect::kRefused) help = "Refused: " + help + ".";
    if (spec.effect == Effect::kWorks && !spec.value.empty() &&
        spec.kind != Kind::kBool) {
      help += fmt::format(" Default {}.", spec.value);
    }
    CLI::Option* option = nullptr;
    if (spec.kind == Kind::kBool) {
      option = app->add_flag_function(
          "--" + name + ",!--no-" + name,
          [&value](std::int64_t count) {
            value.on = count > 0;
            value.is_given = true;
          },
          help);
    } else {
      option = app->add_option_function<std::vector<std::string>>(
          "--" + name,
          [&value](const std::vector<std::string>& texts) {
            value.texts = texts;
            value.is_given = true;
          },
          help);
      option->allow_extra_args(false)->type_name("");
      option->expected(1, spec.kind == Kind::kTexts ? 1000 : 1);
    }
    option->envname(EnvironmentName(name));
    option->group(spec.effect == Effect::kWorks
                      ? "Options"
                      : "Of Prometheus, not of varve");
  }
}

ServeFlags::Value& ServeFlags::At(std::string_view name) {
  const auto it = values_.find(name);
  VARVE_CHECK(it != values_.end());
  return it->second;
}

const ServeFlags::Value& ServeFlags::At(std::string_view name) const {
  const auto it = values_.find(name);
  VARVE_CHECK(it != values_.end());
  return it->second;
}

absl::Status ServeFlags::CheckValue(std::string_view name) const {
  const std::string& text = Text(name);
  bool ok = true;
  std::string_view what;
  switch (SpecOf(name).kind) {
    case Kind::kDuration:
      ok = text.empty() || ParseDurationMs(text).has_value();
      what = "a duration such as 15s or 30d";
      break;
    case Kind::kNumber:
      ok = ParseNumber(text).has_value();
      what = "a number that is not negative";
      break;
    case Kind::kBytes:
      ok = ParseByteSize(text).has_value();
      what = "a size such as 512MB";
      break;
    default:
      break;
  }
  if (ok) return absl::OkStatus();
  return InvalidArgument("--{}: {} is not {}", name, Quote(text), what);
}

namespace {

absl::Status OneOf(std::string_view flag, std::string_view text,
                   std::span<const std::string_view> allowed) {
  if (std::find(allowed.begin(), allowed.end(), text) != allowed.end()) {
    return absl::OkStatus();
  }
  return InvalidArgument("--{}: {} is none of {}", flag, Quote(text),
                         fmt::join(allowed, ", "));
}

}  // namespace

absl::Status ServeFlags::Check() {
  for (const FlagSpec& spec : kFlags) {
    const Value& value = At(spec.name);
    if (spec.effect == Effect::kRefused && value.is_given &&
        (value.on || (!value.texts.empty() && !value.texts[0].empty()))) {
      return InvalidArgument("--{} is refused: {}", spec.name, spec.help);
    }
    VARVE_RETURN_IF_ERROR(CheckValue(spec.name));
  }
  constexpr std::string_view kLevels[] = {"debug", "info", "warn", "error"};
  VARVE_RETURN_IF_ERROR(OneOf("log.level", Text("log.level"), kLevels));
  constexpr std::string_view kFormats[] = {"logfmt", "json"};
  VARVE_RETURN_IF_ERROR(OneOf("log.format", Text("log.format"), kFormats));
  constexpr std::string_view kModes[] = {"always", "interval", "never"};
  VARVE_RETURN_IF_ERROR(
      OneOf("storage.tsdb.wal-fsync", Text("storage.tsdb.wal-fsync"), kModes));
  if (*ParseByteSize(Text("storage.tsdb.retention.size")) != 0) {
    return InvalidArgument(
        "--storage.tsdb.retention.size is not supported yet, and ignoring it "
        "could fill the disk; use --storage.tsdb.retention.time");
  }
  if (DurationMs("storage.tsdb.retention.time") <= 0) {
    return InvalidArgument("--storage.tsdb.retention.time must be above 0");
  }
  for (const std::string_view name :
       {"query.max-concurrency", "web.max-connections"}) {
    if (Number(name) == 0) return InvalidArgument("--{} must be above 0", name);
  }
  if (Feature("agent")) return InvalidArgument("{}", kNoAgent);
  return absl::OkStatus();
}

bool ServeFlags::given(std::string_view name) const {
  return At(name).is_given;
}

const std::string& ServeFlags::Text(std::string_view name) const {
  static const std::string kEmpty;
  const Value& value = At(name);
  return value.texts.empty() ? kEmpty : value.texts.front();
}

const std::vector<std::string>& ServeFlags::Texts(std::string_view name) const {
  return At(name).texts;
}

bool ServeFlags::On(std::string_view name) const { return At(name).on; }

int64_t ServeFlags::DurationMs(std::string_view name) const {
  return ParseDurationMs(Text(name)).value_or(0);
}

int64_t ServeFlags::Number(std::string_view name) const {
  const std::string& text = Text(name);
  if (SpecOf(name).kind == Kind::kBytes) {
    return static_cast<int64_t>(
        std::min<uint64_t>(ParseByteSize(text).value_or(0), INT64_MAX));
  }
  return ParseNumber(text).value_or(0);
}

bool ServeFlags::Feature(std::string_view name) const {
  for (const std::string& text : Texts("enable-feature")) {
    for (const std::string_view feature : SplitNames(text)) {
      if (feature == name) return true;
    }
  }
  return false;
}

void ServeFlags::SetDefault(std::string_view name, std::string value) {
  Value& at = At(name);
  if (!at.is_given) at.texts = {std::move(value)};
}

std::vector<std::string> ServeFlags::Notices() const {
  std::vector<std::string> out;
  for (const FlagSpec& spec : kFlags) {
    if (spec.effect == Effect::kNone && given(spec.name)) {
      out.push_back(
          fmt::format("--{} has no effect here: {}", spec.name, spec.help));
    }
  }
  for (const std::string& text : Texts("enable-feature")) {
    for (const std::string_view name : SplitNames(text)) {
      const auto it =
          std::find_if(std::begin(kFeatures), std::end(kFeatures),
                       [&](const auto& f) { return f.name == name; });
      if (it == std::end(kFeatures)) {
        out.push_back(fmt::format("--enable-feature={} is not known", name));
      } else if (!it->note.empty()) {
        out.push_back(fmt::format("--enable-feature={}: {}", name, it->note));
      }
    }
  }
  return out;
}

std::vector<std::pair<std::string, std::string>> ServeFlags::All() const {
  std::vector<std::pair<std::string, std::string>> out;
  for (const auto& [name, value] : values_) {
    if (SpecOf(name).kind == Kind::kBool) {
      out.emplace_back(name, value.on ? "true" : "false");
    } else {
      out.emplace_back(name, fmt::format("{}", fmt::join(value.texts, ",")));
    }
  }
  return out;
}

}  // namespace varve
