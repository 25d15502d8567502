#include <cstdint>
#include <string>
#include <string_view>

#include "ingest/text_parser.h"
#include "storage/check.h"
#include "storage/status_macros.h"

// Both grammars over any body: every entry lies inside the body, every error
// names a place, and labels that are written as exposition text read the same.

namespace {

using varve::Labels;
using varve::TextEntry;

std::string Escaped(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '\n') {
      out += "\\n";
      continue;
    }
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

std::string AsText(const Labels& labels) {
  std::string out = "{" + Escaped(labels.metric_name());
  for (const varve::LabelView& label : labels) {
    if (label.name == varve::kMetricName) continue;
    out += "," + Escaped(label.name) + "=" + Escaped(label.value);
  }
  return out + "}";
}

void CheckSeries(std::string_view series, varve::FamilyType type) {
  const auto labels = varve::ParseSeriesText(series, type);
  if (!labels.ok()) {
    VARVE_CHECK(!varve::Message(labels.status()).empty());
    return;
  }
  const auto again = varve::ParseSeriesText(AsText(*labels), type);
  VARVE_CHECK(again.ok() && *again == *labels);
}

void CheckBody(std::string_view body, varve::TextFormat format) {
  varve::TextParser parser(body, format);
  for (TextEntry entry;;) {
    const absl::Status status = parser.Next(&entry);
    if (!status.ok()) {
      VARVE_CHECK(varve::Message(status).starts_with("line "));
      return;
    }
    if (entry.kind == TextEntry::Kind::kEnd) return;
    if (entry.kind != TextEntry::Kind::kSeries) continue;
    VARVE_CHECK(entry.series.data() >= body.data() &&
                entry.series.data() + entry.series.size() <=
                    body.data() + body.size());
    CheckSeries(entry.series, entry.type);
    if (entry.exemplar.has_value()) {
      (void)varve::ParseExemplarLabels(entry.exemplar->labels);
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  CheckBody(body, varve::TextFormat::kPrometheus);
  CheckBody(body, varve::TextFormat::kOpenMetrics);
  return 0;
}
