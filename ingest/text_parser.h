#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "storage/labels.h"
#include "storage/sample.h"

namespace varve {

/// The grammar of a scraped body.
enum class TextFormat : uint8_t {
  kPrometheus,   ///< text exposition 0.0.4 and 1.0.0
  kOpenMetrics,  ///< OpenMetrics 0.0.1 and 1.0.0
};

/// What a `# TYPE` line says.
enum class FamilyType : uint8_t {
  kUnknown,
  kCounter,
  kGauge,
  kHistogram,
  kGaugeHistogram,
  kSummary,
  kInfo,
  kStateset,
};
/// As the metadata API names it: "unknown", "counter", ...
std::string_view FamilyTypeText(FamilyType type);

/// One line of a body. The views point into the body or into the parser and
/// stay valid until the next call of TextParser::Next.
struct TextEntry {
  enum class Kind : uint8_t {
    kSeries,   ///< series, type, value, timestamp_ms, exemplar
    kHelp,     ///< family, text
    kType,     ///< family, type
    kUnit,     ///< family, text (OpenMetrics only)
    kComment,  ///< text, with its '#'
    kEnd,      ///< nothing follows
  };
  struct RawExemplar {
    std::string_view labels;  ///< `{trace_id="x"}`; see ParseExemplarLabels
    double value = 0;
    std::optional<int64_t> timestamp_ms;
  };

  Kind kind = Kind::kEnd;
  /// Of a metadata line: the metric family, unescaped and without quotes.
  std::string_view family;
  /// Unescaped.
  std::string_view text;
  /// The series as it stands in the body, e.g. `m{a="b"}`: the key of a cache,
  /// since equal bytes (and equal `type`) mean equal labels.
  std::string_view series;
  /// Of the last TYPE line, whatever family that named; "le" and "quantile"
  /// are normalised by it, as Prometheus does.
  FamilyType type = FamilyType::kUnknown;
  /// Any NaN in the text is the ordinary NaN: a target cannot send staleness.
  double value = 0;
  std::optional<int64_t> timestamp_ms;
  std::optional<RawExemplar> exemplar;
};

/// Reads one exposition body entry by entry, accepting and rejecting what
/// Prometheus's parsers accept and reject. `_created` lines are ordinary
/// series. Nothing is allocated per sample. Single-thread; the body must
/// outlive the parser.
///
///     TextParser parser(body, TextFormat::kPrometheus);
///     for (TextEntry entry;;) {
///       VARVE_RETURN_IF_ERROR(parser.Next(&entry));
///       if (entry.kind == TextEntry::Kind::kEnd) break;
///       ...
///     }
class TextParser {
 public:
  TextParser(std::string_view body, TextFormat format)
      : body_(body), at_(body.data()), format_(format) {}
  TextParser(const TextParser&) = delete;
  TextParser& operator=(const TextParser&) = delete;

  /// InvalidArgument: `line 3, column 5: expected a label name, found "="`.
  /// After an error or kEnd the parser must not be used any more. Label names
  /// and the UTF-8 of values are checked by ParseSeriesText, not here.
  absl::Status Next(TextEntry* entry);

 private:
  const char* end() const { return body_.data() + body_.size(); }
  absl::Status Fail(const char* at, std::string_view expected) const;
  absl::Status NextPrometheus(TextEntry* entry);
  absl::Status NextOpenMetrics(TextEntry* entry);
  absl::Status PrometheusComment(TextEntry* entry);
  absl::Status PrometheusMetadata(TextEntry::Kind kind, TextEntry* entry);
  absl::Status PrometheusSample(TextEntry* entry);
  absl::Status OpenMetricsComment(TextEntry* entry);
  absl::Status OpenMetricsMetadata(TextEntry::Kind kind, TextEntry* entry);
  absl::Status OpenMetricsSample(TextEntry* entry);
  absl::Status OpenMetricsSuffix(TextEntry* entry);
  absl::Status OpenMetricsExemplar(TextEntry* entry);
  absl::Status OpenMetricsTime(std::string_view what,
                               std::optional<int64_t>* out);
  absl::Status Series(TextEntry* entry);
  absl::Status Value(std::string_view text, double* value) const;
  absl::Status FamilyName(std::string_view keyword, TextEntry* entry);
  absl::Status Metadata(TextEntry::Kind kind, std::string_view raw,
                        TextEntry* entry);

  std::string_view body_;
  const char* at_;
  TextFormat format_;
  FamilyType type_ = FamilyType::kUnknown;
  std::string family_;
  std::string text_;
};

/// Which label and metric names are valid.
enum class NameScheme : uint8_t {
  kUtf8,    ///< any non-empty valid UTF-8; Prometheus 3's default
  kLegacy,  ///< only identifiers
};

/// The labels that a raw series text (TextEntry::series) means: unescaped,
/// sorted, without empty values, with "le" of histograms and "quantile" of
/// summaries written as OpenMetrics writes floats. InvalidArgument names the
/// column and what was expected, or the label that is invalid or stands twice,
/// or says that the labels are longer than kLabelSetBytesMax.
absl::StatusOr<Labels> ParseSeriesText(std::string_view series, FamilyType type,
                                       NameScheme scheme = NameScheme::kUtf8);

/// The labels of TextEntry::RawExemplar::labels; may be empty.
absl::StatusOr<Labels> ParseExemplarLabels(std::string_view labels);

}  // namespace varve
