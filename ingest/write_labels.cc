// Labels of remote-write series and exemplars: raw fields (1.0) or references
// to symbols (2.0) to label sets.

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ingest/protobuf_wire.h"
#include "ingest/write_request.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

/// The first `labels_max` labels of raw label fields, in the order of the
/// message.
bool ReadRawLabels(std::string_view raw, size_t labels_max,
                   std::vector<LabelView>* out) {
  WireReader fields(raw);
  while (!fields.done() && out->size() < labels_max) {
    uint32_t field;
    WireType type;
    std::string_view label;
    if (!fields.Tag(&field, &type) || type != WireType::kBytes ||
        !fields.Bytes(&label)) {
      return false;
    }
    LabelView view;
    WireReader reader(label);
    while (!reader.done()) {
      if (!reader.Tag(&field, &type)) return false;
      const bool text = type == WireType::kBytes;
      const bool ok = text && field == 1   ? reader.Bytes(&view.name)
                      : text && field == 2 ? reader.Bytes(&view.value)
                                           : reader.Skip(type);
      if (!ok) return false;
    }
    out->push_back(view);
  }
  return true;
}

/// The first `labels_max` labels of packed references to `symbols`.
absl::Status ReadLabelRefs(std::string_view refs,
                           const WriteRequest::Symbols& symbols,
                           size_t labels_max, std::vector<LabelView>* out) {
  WireReader reader(refs);
  while (!reader.done() && out->size() < labels_max) {
    uint64_t name;
    uint64_t value;
    if (!reader.Varint(&name)) {
      return InvalidArgument("a reference of a label is malformed protobuf");
    }
    if (!reader.Varint(&value)) {
      return InvalidArgument("the number of references of labels is odd");
    }
    if (name >= symbols.size() || value >= symbols.size()) {
      return InvalidArgument("a label refers to symbol {} of {}",
                             std::max(name, value), symbols.size());
    }
    out->push_back({symbols[name], symbols[value]});
  }
  return absl::OkStatus();
}

absl::Status ReadLabels(std::string_view raw,
                        const WriteRequest::Symbols* symbols, size_t labels_max,
                        std::vector<LabelView>* out) {
  if (symbols != nullptr) {
    return ReadLabelRefs(raw, *symbols, labels_max, out);
  }
  if (ReadRawLabels(raw, labels_max, out)) return absl::OkStatus();
  return InvalidArgument("a label is malformed protobuf");
}

absl::StatusOr<Labels> DecodeLabels(std::string_view raw,
                                    const WriteRequest::Symbols* symbols) {
  // A label of one byte and one byte takes eight on the wire.
  if (raw.size() > 2 * kLabelSetBytesMax) {
    return InvalidArgument("the labels are too long: {} bytes, at most {}",
                           raw.size(), kLabelSetBytesMax);
  }
  std::vector<LabelView> labels;
  VARVE_RETURN_IF_ERROR(ReadLabels(raw, symbols, SIZE_MAX, &labels));
  size_t bytes = 0;
  for (const LabelView& label : labels) {
    bytes += label.name.size() + label.value.size();
  }
  // Few references can mean many bytes.
  if (bytes > kLabelSetBytesMax) {
    return InvalidArgument("the labels are too long: {} bytes, at most {}",
                           bytes, kLabelSetBytesMax);
  }
  std::stable_sort(
      labels.begin(), labels.end(),
      [](const LabelView& a, const LabelView& b) { return a.name < b.name; });
  for (size_t i = 0; i < labels.size(); ++i) {
    const LabelView& label = labels[i];
    if (label.name.empty()) return InvalidArgument("a label name is empty");
    if (!IsValidUtf8(label.name)) {
      return InvalidArgument("label name {} is not UTF-8", Quote(label.name));
    }
    if (!IsValidUtf8(label.value)) {
      return InvalidArgument("the value of label {} is not UTF-8",
                             Quote(label.name));
    }
    if (i > 0 && labels[i - 1].name == label.name) {
      return InvalidArgument("label {} stands twice", Quote(label.name));
    }
  }
  std::erase_if(labels, [](const LabelView& l) { return l.value.empty(); });
  return Labels::FromSorted(labels);
}

}  // namespace

absl::StatusOr<Labels> DecodeSeriesLabels(
    std::string_view raw, const WriteRequest::Symbols* symbols) {
  VARVE_ASSIGN_OR_RETURN(Labels labels, DecodeLabels(raw, symbols));
  if (!labels.Has(kMetricName)) {
    return InvalidArgument("the metric name is missing or empty");
  }
  return labels;
}

absl::StatusOr<Labels> DecodeExemplarLabels(
    std::string_view raw, const WriteRequest::Symbols* symbols) {
  return DecodeLabels(raw, symbols);
}

std::string RawLabelsText(std::string_view raw,
                          const WriteRequest::Symbols* symbols) {
  constexpr size_t kBytes = 200;
  std::vector<LabelView> labels;
  // What could be read is shown.
  ReadLabels(raw, symbols, /*labels_max=*/20, &labels).IgnoreError();
  std::string out = "{";
  for (const LabelView& label : labels) {
    if (out.size() > kBytes) {
      out += ", ...";
      break;
    }
    if (out.size() > 1) out += ", ";
    const auto shown = [](std::string_view text) {
      return text.size() <= 64 ? Quote(text)
                               : Quote(text.substr(0, 61)) + "...";
    };
    out += IsLegacyLabelName(label.name) && label.name.size() <= 64
               ? std::string(label.name)
               : shown(label.name);
    out += "=" + shown(label.value);
  }
  return out + "}";
}

}  // namespace varve
