// Raw series text to labels: the slow path of a scrape, once per new series.

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "ingest/go_float.h"
#include "ingest/text_parser.h"
#include "ingest/text_scanner.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

struct OwnedLabel {
  std::string name;
  std::string value;
};

absl::Status ColumnError(std::string_view text, const TextCursor& cursor) {
  return InvalidArgument("column {}: expected {}, found {}",
                         cursor.error_at - text.data() + 1, cursor.expected,
                         Found(cursor.error_at, cursor.end));
}

bool IsNormalised(FamilyType type, std::string_view name) {
  return (type == FamilyType::kHistogram && name == "le") ||
         (type == FamilyType::kSummary && name == "quantile");
}

absl::StatusOr<std::vector<OwnedLabel>> Decode(const RawSeries& raw) {
  std::vector<OwnedLabel> labels;
  labels.reserve(raw.labels.size() + 1);
  for (const RawLabel& label : raw.labels) {
    if (!IsValidUtf8(label.value)) {
      return InvalidArgument("the value of label {} is not UTF-8: {}",
                             Quote(Unescape(label.name)), Quote(label.value));
    }
    labels.push_back({Unescape(label.name), Unescape(label.value)});
  }
  return labels;
}

/// Takes out labels with an empty value, and, as Prometheus does, all others of
/// the same name with them.
void DropEmpty(std::vector<OwnedLabel>* labels) {
  std::vector<std::string> absent;
  for (const OwnedLabel& label : *labels) {
    if (label.value.empty()) absent.push_back(label.name);
  }
  if (absent.empty()) return;
  std::erase_if(*labels, [&](const OwnedLabel& label) {
    return std::find(absent.begin(), absent.end(), label.name) != absent.end();
  });
}

bool IsValidName(std::string_view name, NameScheme scheme, bool metric) {
  if (scheme == NameScheme::kLegacy) {
    return metric ? IsLegacyMetricName(name) : IsLegacyLabelName(name);
  }
  return !name.empty() && IsValidUtf8(name);
}

absl::Status CheckNames(const std::vector<OwnedLabel>& sorted,
                        NameScheme scheme) {
  bool has_metric = false;
  for (size_t i = 0; i < sorted.size(); ++i) {
    const OwnedLabel& label = sorted[i];
    if (i > 0 && sorted[i - 1].name == label.name) {
      return InvalidArgument("label {} stands twice", Quote(label.name));
    }
    if (label.name == kMetricName) {
      has_metric = true;
      if (!IsValidName(label.value, scheme, /*metric=*/true)) {
        return InvalidArgument("invalid metric name {}", Quote(label.value));
      }
    } else if (!IsValidName(label.name, scheme, /*metric=*/false)) {
      return InvalidArgument("invalid label name {}", Quote(label.name));
    }
  }
  if (!has_metric) return InvalidArgument("the metric name is missing");
  return absl::OkStatus();
}

Labels Pack(const std::vector<OwnedLabel>& sorted) {
  std::vector<LabelView> views;
  views.reserve(sorted.size());
  for (const OwnedLabel& label : sorted) {
    views.push_back({label.name, label.value});
  }
  return Labels::FromSorted(views);
}

void SortByName(std::vector<OwnedLabel>* labels) {
  std::stable_sort(
      labels->begin(), labels->end(),
      [](const OwnedLabel& a, const OwnedLabel& b) { return a.name < b.name; });
}

}  // namespace

absl::StatusOr<Labels> ParseSeriesText(std::string_view series, FamilyType type,
                                       NameScheme scheme) {
  TextCursor cursor{series.data(), series.data() + series.size()};
  RawSeries raw;
  if (!ScanSeries(&cursor, LabelGrammar::kPrometheus, &raw)) {
    return ColumnError(series, cursor);
  }
  if (!cursor.done()) {
    cursor.Fail(cursor.at, "nothing after the series");
    return ColumnError(series, cursor);
  }
  VARVE_ASSIGN_OR_RETURN(std::vector<OwnedLabel> labels, Decode(raw));
  for (OwnedLabel& label : labels) {
    double value = 0;
    if (IsNormalised(type, label.name) &&
        ParseExpositionFloat(label.value, &value)) {
      label.value = FormatOpenMetricsFloat(value);
    }
  }
  labels.push_back({std::string(kMetricName), Unescape(raw.name)});
  DropEmpty(&labels);
  SortByName(&labels);
  VARVE_RETURN_IF_ERROR(CheckNames(labels, scheme));
  Labels packed = Pack(labels);
  if (packed.packed().size() > kLabelSetBytesMax) {
    return InvalidArgument("the labels are too long: {} bytes, at most {}",
                           packed.packed().size(), kLabelSetBytesMax);
  }
  return packed;
}

absl::StatusOr<Labels> ParseExemplarLabels(std::string_view text) {
  TextCursor cursor{text.data(), text.data() + text.size()};
  RawSeries raw;
  bool named = false;
  if (!cursor.Is('{')) {
    cursor.Fail(cursor.at, "\"{\"");
    return ColumnError(text, cursor);
  }
  if (!ScanLabels(&cursor, LabelGrammar::kExemplar, &named, &raw)) {
    return ColumnError(text, cursor);
  }
  VARVE_ASSIGN_OR_RETURN(std::vector<OwnedLabel> labels, Decode(raw));
  DropEmpty(&labels);
  SortByName(&labels);
  for (size_t i = 0; i < labels.size(); ++i) {
    if (!IsValidName(labels[i].name, NameScheme::kUtf8, /*metric=*/false)) {
      return InvalidArgument("invalid label name {} in an exemplar",
                             Quote(labels[i].name));
    }
    if (i > 0 && labels[i - 1].name == labels[i].name) {
      return InvalidArgument("label {} stands twice in an exemplar",
                             Quote(labels[i].name));
    }
  }
  return Pack(labels);
}

}  // namespace varve
