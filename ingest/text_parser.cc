#include "ingest/text_parser.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <utility>

#include "ingest/go_float.h"
#include "ingest/text_scanner.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

using Kind = TextEntry::Kind;

constexpr std::array<std::string_view, 8> kTypeNames = {
    "unknown",        "counter", "gauge", "histogram",
    "gaugehistogram", "summary", "info",  "stateset"};

std::optional<FamilyType> TypeFromText(std::string_view text,
                                       TextFormat format) {
  if (format == TextFormat::kPrometheus) {
    if (text == "untyped") return FamilyType::kUnknown;
    for (FamilyType type : {FamilyType::kCounter, FamilyType::kGauge,
                            FamilyType::kHistogram, FamilyType::kSummary}) {
      if (text == FamilyTypeText(type)) return type;
    }
    return std::nullopt;
  }
  const auto* it = std::find(kTypeNames.begin(), kTypeNames.end(), text);
  if (it == kTypeNames.end()) return std::nullopt;
  return static_cast<FamilyType>(it - kTypeNames.begin());
}

/// The rest of the line; `at` then stands on the newline or the end.
std::string_view RestOfLine(const char** at, const char* end) {
  const char* start = *at;
  *at = std::find(start, end, '\n');
  return {start, static_cast<size_t>(*at - start)};
}

/// A run of bytes up to the next of `stops`.
std::string_view Word(const char** at, const char* end,
                      std::string_view stops) {
  const char* start = *at;
  const char* p = start;
  while (p != end && stops.find(*p) == std::string_view::npos) ++p;
  *at = p;
  return {start, static_cast<size_t>(p - start)};
}

bool SkipWord(const char** at, const char* end, std::string_view word) {
  const std::string_view rest(*at, static_cast<size_t>(end - *at));
  if (!rest.starts_with(word)) return false;
  *at += word.size();
  return true;
}

std::string_view Keyword(Kind kind) {
  switch (kind) {
    case Kind::kHelp:
      return "HELP";
    case Kind::kType:
      return "TYPE";
    default:
      return "UNIT";
  }
}

}  // namespace

std::string_view FamilyTypeText(FamilyType type) {
  return kTypeNames[static_cast<size_t>(type)];
}

absl::Status TextParser::Next(TextEntry* entry) {
  entry->kind = Kind::kEnd;
  entry->timestamp_ms.reset();
  entry->exemplar.reset();
  if (body_.empty()) return absl::OkStatus();
  return format_ == TextFormat::kPrometheus ? NextPrometheus(entry)
                                            : NextOpenMetrics(entry);
}

absl::Status TextParser::Fail(const char* at, std::string_view expected) const {
  // Counted only now, so that good bodies pay nothing for positions.
  const char* begin = body_.data();
  const auto line = std::count(begin, at, '\n') + 1;
  const char* line_start = at;
  while (line_start != begin && line_start[-1] != '\n') --line_start;
  return InvalidArgument("line {}, column {}: expected {}, found {}", line,
                         at - line_start + 1, expected, Found(at, end()));
}

absl::Status TextParser::Series(TextEntry* entry) {
  TextCursor cursor{at_, end()};
  const auto grammar = format_ == TextFormat::kPrometheus
                           ? LabelGrammar::kPrometheus
                           : LabelGrammar::kOpenMetrics;
  if (!ScanSeries(&cursor, grammar, nullptr)) {
    return Fail(cursor.error_at, cursor.expected);
  }
  entry->kind = Kind::kSeries;
  entry->series = {at_, static_cast<size_t>(cursor.at - at_)};
  entry->type = type_;
  at_ = cursor.at;
  return absl::OkStatus();
}

absl::Status TextParser::Value(std::string_view text, double* value) const {
  if (ParseExpositionFloat(text, value)) return absl::OkStatus();
  return Fail(text.data(), "a number");
}

absl::Status TextParser::FamilyName(std::string_view keyword,
                                    TextEntry* entry) {
  TextCursor cursor{at_, end()};
  std::string_view name;
  if (cursor.Is('"')) {
    if (!ScanQuoted(&cursor, /*newline=*/true, /*nul=*/false, &name)) {
      return Fail(cursor.error_at, cursor.expected);
    }
  } else {
    name = ScanMetricName(&cursor);
    if (name.empty()) {
      return Fail(at_, fmt::format("a metric name after {}", keyword));
    }
  }
  family_ = Unescape(name);
  entry->family = family_;
  at_ = cursor.at;
  return absl::OkStatus();
}

/// `raw` is the text after the family name.
absl::Status TextParser::Metadata(Kind kind, std::string_view raw,
                                  TextEntry* entry) {
  entry->kind = kind;
  entry->text = raw;
  if (kind == Kind::kType) {
    const auto type = TypeFromText(raw, format_);
    if (!type.has_value()) return Fail(raw.data(), "a metric type");
    type_ = entry->type = *type;
  } else if (kind == Kind::kHelp) {
    if (!IsValidUtf8(raw)) return Fail(raw.data(), "a help text in UTF-8");
    if (raw.find('\\') != std::string_view::npos) {
      text_ = Unescape(raw, format_ == TextFormat::kOpenMetrics);
      entry->text = text_;
    }
  } else if (!raw.empty()) {
    const std::string_view family = entry->family;
    if (!family.ends_with(raw) || family.size() == raw.size() ||
        family[family.size() - raw.size() - 1] != '_') {
      return Fail(raw.data(), "a unit that is the end of the metric's name");
    }
  }
  return absl::OkStatus();
}

// ------------------------------------------------------------ 0.0.4 and 1.0.0

absl::Status TextParser::NextPrometheus(TextEntry* entry) {
  // Blank lines and blanks before a series mean nothing.
  while (at_ != end() && (*at_ == ' ' || *at_ == '\t' || *at_ == '\n')) ++at_;
  if (at_ == end()) return absl::OkStatus();
  if (*at_ == '#') return PrometheusComment(entry);
  VARVE_RETURN_IF_ERROR(Series(entry));
  return PrometheusSample(entry);
}

absl::Status TextParser::PrometheusComment(TextEntry* entry) {
  const char* start = at_++;
  const auto is_blank = [this] {
    return at_ != end() && (*at_ == ' ' || *at_ == '\t');
  };
  if (is_blank()) {
    while (is_blank()) ++at_;
    for (Kind kind : {Kind::kHelp, Kind::kType}) {
      const char* keyword = at_;
      if (SkipWord(&at_, end(), Keyword(kind)) && is_blank()) {
        while (is_blank()) ++at_;
        return PrometheusMetadata(kind, entry);
      }
      at_ = keyword;
    }
  }
  at_ = start;
  entry->kind = Kind::kComment;
  entry->text = RestOfLine(&at_, end());
  return absl::OkStatus();
}

absl::Status TextParser::PrometheusMetadata(Kind kind, TextEntry* entry) {
  VARVE_RETURN_IF_ERROR(FamilyName(Keyword(kind), entry));
  std::string_view text = RestOfLine(&at_, end());
  // Whatever byte follows the name separates it from the text.
  if (!text.empty()) text.remove_prefix(1);
  return Metadata(kind, text, entry);
}

absl::Status TextParser::PrometheusSample(TextEntry* entry) {
  TextCursor cursor{at_, end()};
  cursor.SkipBlanks();
  const std::string_view value = Word(&cursor.at, end(), "{ \t\n");
  if (value.empty()) return Fail(cursor.at, "a value after the series");
  VARVE_RETURN_IF_ERROR(Value(value, &entry->value));
  cursor.SkipBlanks();
  if (!cursor.done() && *cursor.at != '\n') {
    const char* start = cursor.at;
    while (!cursor.done() && *cursor.at >= '0' && *cursor.at <= '9') {
      ++cursor.at;
    }
    if (cursor.at == start) return Fail(start, "a timestamp or a new line");
    int64_t timestamp_ms = 0;
    if (std::from_chars(start, cursor.at, timestamp_ms).ec != std::errc()) {
      return Fail(start, "a timestamp that fits into 64 bits");
    }
    entry->timestamp_ms = timestamp_ms;
    cursor.SkipBlanks();
    if (!cursor.done() && *cursor.at != '\n') {
      return Fail(cursor.at, "a new line after the timestamp");
    }
  }
  at_ = cursor.done() ? cursor.at : cursor.at + 1;
  return absl::OkStatus();
}

// ---------------------------------------------------------------- OpenMetrics

absl::Status TextParser::NextOpenMetrics(TextEntry* entry) {
  if (at_ == end()) return Fail(at_, "\"# EOF\" as the last line");
  if (*at_ == '#') return OpenMetricsComment(entry);
  VARVE_RETURN_IF_ERROR(Series(entry));
  return OpenMetricsSample(entry);
}

absl::Status TextParser::OpenMetricsComment(TextEntry* entry) {
  const char* start = at_;
  if (SkipWord(&at_, end(), "# EOF")) {
    if (at_ != end() && *at_ == '\n') ++at_;
    if (at_ != end()) return Fail(at_, "nothing after \"# EOF\"");
    return absl::OkStatus();
  }
  if (SkipWord(&at_, end(), "# ")) {
    for (Kind kind : {Kind::kHelp, Kind::kType, Kind::kUnit}) {
      const char* keyword = at_;
      if (SkipWord(&at_, end(), Keyword(kind)) && SkipWord(&at_, end(), " ")) {
        return OpenMetricsMetadata(kind, entry);
      }
      at_ = keyword;
    }
  }
  return Fail(start, "\"# HELP \", \"# TYPE \", \"# UNIT \" or \"# EOF\"");
}

absl::Status TextParser::OpenMetricsMetadata(Kind kind, TextEntry* entry) {
  VARVE_RETURN_IF_ERROR(FamilyName(Keyword(kind), entry));
  const char* after_name = at_;
  if (!SkipWord(&at_, end(), " ")) {
    return Fail(after_name, "a space and a text after the name");
  }
  const std::string_view text = RestOfLine(&at_, end());
  if (at_ == end()) return Fail(at_, "a new line after the text");
  ++at_;
  return Metadata(kind, text, entry);
}

absl::Status TextParser::OpenMetricsSample(TextEntry* entry) {
  const char* space = at_;
  if (!SkipWord(&at_, end(), " ")) {
    return Fail(space, "a space and a value after the series");
  }
  const std::string_view value = Word(&at_, end(), " \n");
  if (value.empty()) return Fail(at_, "a value after the series");
  VARVE_RETURN_IF_ERROR(Value(value, &entry->value));
  const std::string_view rest(at_, static_cast<size_t>(end() - at_));
  if (rest.starts_with(' ') && !rest.starts_with(" # {")) {
    VARVE_RETURN_IF_ERROR(OpenMetricsTime("a timestamp", &entry->timestamp_ms));
  }
  return OpenMetricsSuffix(entry);
}

/// What may follow the value and the timestamp: an exemplar, the new line.
absl::Status TextParser::OpenMetricsSuffix(TextEntry* entry) {
  if (SkipWord(&at_, end(), " # {")) {
    --at_;
    VARVE_RETURN_IF_ERROR(OpenMetricsExemplar(entry));
  }
  if (at_ == end() || *at_ != '\n') return Fail(at_, "a new line");
  ++at_;
  return absl::OkStatus();
}

absl::Status TextParser::OpenMetricsExemplar(TextEntry* entry) {
  TextEntry::RawExemplar exemplar;
  TextCursor cursor{at_, end()};
  bool named = false;
  if (!ScanLabels(&cursor, LabelGrammar::kExemplar, &named, nullptr)) {
    return Fail(cursor.error_at, cursor.expected);
  }
  exemplar.labels = {at_, static_cast<size_t>(cursor.at - at_)};
  if (!IsValidUtf8(exemplar.labels)) {
    return Fail(at_, "the exemplar's labels in UTF-8");
  }
  at_ = cursor.at;
  if (!SkipWord(&at_, end(), " ")) {
    return Fail(cursor.at, "a space and a value after the exemplar's labels");
  }
  const std::string_view value = Word(&at_, end(), " \n");
  VARVE_RETURN_IF_ERROR(Value(value, &exemplar.value));
  if (at_ != end() && *at_ == ' ') {
    VARVE_RETURN_IF_ERROR(
        OpenMetricsTime("a timestamp of the exemplar", &exemplar.timestamp_ms));
  }
  entry->exemplar = exemplar;
  return absl::OkStatus();
}

/// A space and seconds, possibly with a fraction.
absl::Status TextParser::OpenMetricsTime(std::string_view what,
                                         std::optional<int64_t>* out) {
  ++at_;
  const std::string_view text = Word(&at_, end(), " \n");
  double seconds = 0;
  if (!ParseExpositionFloat(text, &seconds) || !std::isfinite(seconds)) {
    return Fail(text.data(), what);
  }
  // Out of range becomes the oldest time, as in Go on amd64: the sample is
  // then refused for its age, and the scrape goes on.
  const double ms = seconds * 1000;
  const bool fits = ms >= -0x1p63 && ms < 0x1p63;
  *out = fits ? static_cast<int64_t>(ms) : std::numeric_limits<int64_t>::min();
  return absl::OkStatus();
}

}  // namespace varve
