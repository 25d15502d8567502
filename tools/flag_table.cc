#include "tools/flag_table.h"

namespace varve {
namespace {

using Kind = FlagKind;

constexpr std::string_view kNoRules = "there are no rules and alerts yet";
constexpr std::string_view kNoRead = "remote read is not there yet";
constexpr std::string_view kNoConsoles = "there are no consoles";
constexpr std::string_view kOwnBlocks = "varve sizes its own blocks and log";
constexpr std::string_view kNotGo = "this is not a Go program";
constexpr std::string_view kScrapeTimes =
    "scrape times are stored as they were scheduled to the millisecond";

constexpr auto W = FlagEffect::kWorks;
constexpr auto N = FlagEffect::kNone;
constexpr auto R = FlagEffect::kRefused;

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
     "Samples that a single query may hold at once; 0: no limit."},
    {"query.max-total-bytes", Kind::kBytes, "4GB", W,
     "Memory that all running queries may hold together; 0B: no limit."},
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
     "The oldest blocks go when the log, the blocks and their index are larger "
     "together; 0B for no limit."},
    {"storage.tsdb.retention.time", Kind::kDuration, "45d", W,
     "Days that lie wholly before this are dropped. Where only "
     "storage.tsdb.retention.size is given, there is no limit."},
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

constexpr FeatureSpec kFeatures[] = {
    {"agent", kNoAgent},
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
    {"use-start-timestamps", ""},
    {"use-uncached-io", "it has no effect here"},
    {"utf8-names", ""},
    {"xor2-encoding", ""},
};

}  // namespace

std::span<const FlagSpec> FlagTable() { return kFlags; }

std::span<const FeatureSpec> FeatureTable() { return kFeatures; }

}  // namespace varve
