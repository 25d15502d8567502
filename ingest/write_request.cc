#include "ingest/write_request.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "ingest/protobuf_wire.h"
#include "ingest/text_parser.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

// Field numbers of prometheus/prompb; every label field begins with the same
// byte, which the walk looks for.
constexpr uint32_t kTimeSeries = 1, kMetadata = 3;
constexpr uint32_t kLabels = 1, kSamples = 2, kExemplars = 3, kHistograms = 4;
// What things weigh in samples, see kWriteRequestItemsMax.
constexpr int64_t kSeriesItems = 4, kExemplarItems = 6, kHistogramItems = 16,
                  kMetadataItems = 8;
constexpr char kLabelTag = (kLabels << 3) | 2;
constexpr char kSampleTag = (kSamples << 3) | 2;
constexpr char kValueTag = (1 << 3) | 1, kTimestampTag = (2 << 3) | 0;

class Walker {
 public:
  Walker(std::string_view message, WriteRequest* out)
      : message_(message), out_(out) {}

  absl::Status Run();

 private:
  absl::Status Malformed(const char* at, std::string_view what) const {
    return InvalidArgument("malformed protobuf at byte {}: expected {}",
                           at - message_.data(), what);
  }
  absl::Status Charge(int64_t items);
  absl::Status Series(std::string_view bytes);
  absl::Status OtherField(WireReader* reader, std::string* joined);
  bool UsualSample(std::string_view bytes);
  bool Sample(std::string_view bytes);
  absl::Status Histogram(std::string_view bytes);
  absl::Status Exemplar(std::string_view bytes);
  absl::Status Metadata(std::string_view bytes);

  std::string_view message_;
  WriteRequest* out_;
  int64_t items_ = 0;  ///< without samples, which are counted per series
};

absl::Status Walker::Charge(int64_t items) {
  items_ += items;
  const auto samples = static_cast<int64_t>(out_->timestamps.size());
  if (items_ + samples <= kWriteRequestItemsMax) return absl::OkStatus();
  return ResourceExhausted(
      "the request holds too much: {} series, {} samples, {} histograms, {} "
      "exemplars, {} metadata; send it in parts",
      out_->series.size(), samples, out_->histograms.size(),
      out_->exemplars.size(), out_->metadata.size());
}

absl::Status Walker::Run() {
  WireReader reader(message_);
  while (!reader.done()) {
    const char* at = reader.at();
    uint32_t field;
    WireType type;
    if (!reader.Tag(&field, &type)) return Malformed(at, "a field");
    if (type == WireType::kBytes &&
        (field == kTimeSeries || field == kMetadata)) {
      std::string_view bytes;
      if (!reader.Bytes(&bytes)) return Malformed(at, "a whole message");
      VARVE_RETURN_IF_ERROR(field == kTimeSeries ? Series(bytes)
                                                 : Metadata(bytes));
    } else if (!reader.Skip(type)) {
      return Malformed(at, "a whole field");
    }
  }
  return absl::OkStatus();
}

absl::Status Walker::Series(std::string_view bytes) {
  WireReader reader(bytes);
  // Labels come first and in one piece from every sender we know, so that
  // they can be hashed where they stand.
  while (!reader.done() && *reader.at() == kLabelTag) {
    const char* at = reader.at();
    uint64_t tag;
    std::string_view ignored;
    if (!reader.Varint(&tag) || !reader.Bytes(&ignored)) {
      return Malformed(at, "a whole label");
    }
  }
  std::string_view labels = {bytes.data(),
                             static_cast<size_t>(reader.at() - bytes.data())};
  std::string joined;
  while (!reader.done()) {
    if (*reader.at() == kSampleTag) {
      const char* at = reader.at();
      uint64_t tag;
      std::string_view sample;
      if (!reader.Varint(&tag) || !reader.Bytes(&sample) || !Sample(sample)) {
        return Malformed(at, "a whole sample");
      }
      if (out_->timestamps.size() > kWriteRequestItemsMax) return Charge(0);
    } else {
      VARVE_RETURN_IF_ERROR(OtherField(&reader, &joined));
    }
  }
  if (!joined.empty()) {
    out_->joined.push_back(std::string(labels) + joined);
    labels = out_->joined.back();
  }
  out_->series.push_back({MakeSeriesKey(labels), labels,
                          static_cast<uint32_t>(out_->timestamps.size())});
  return Charge(kSeriesItems);
}

/// `joined` gathers labels that stand behind other fields.
absl::Status Walker::OtherField(WireReader* reader, std::string* joined) {
  const char* at = reader->at();
  uint32_t field;
  WireType type;
  if (!reader->Tag(&field, &type)) return Malformed(at, "a field");
  if (type != WireType::kBytes || field > kHistograms) {
    return reader->Skip(type) ? absl::OkStatus()
                              : Malformed(at, "a whole field");
  }
  std::string_view bytes;
  if (!reader->Bytes(&bytes)) return Malformed(at, "a whole message");
  switch (field) {
    case kLabels:
      joined->append(at, reader->at());
      return absl::OkStatus();
    case kSamples:
      return Sample(bytes) ? absl::OkStatus() : Malformed(at, "a sample");
    case kExemplars:
      return Exemplar(bytes);
    default:
      return Histogram(bytes);
  }
}

/// The layout that every sender produces: value, then time. False: read it the
/// slow way.
inline bool Walker::UsualSample(std::string_view bytes) {
  constexpr size_t kValueBytes = 9;
  if (bytes.size() < kValueBytes + 2 || bytes[0] != kValueTag ||
      bytes[kValueBytes] != kTimestampTag) {
    return false;
  }
  uint64_t bits;
  std::memcpy(&bits, bytes.data() + 1, sizeof(bits));
  WireReader reader(bytes.substr(kValueBytes + 1));
  uint64_t timestamp;
  if (!reader.Varint(&timestamp) || !reader.done()) return false;
  out_->timestamps.push_back(static_cast<int64_t>(timestamp));
  out_->values.push_back(std::bit_cast<double>(bits));
  return true;
}

bool Walker::Sample(std::string_view bytes) {
  if (UsualSample(bytes)) return true;
  WireReader reader(bytes);
  double value = 0;
  uint64_t timestamp = 0;
  while (!reader.done()) {
    uint32_t field;
    WireType type;
    if (!reader.Tag(&field, &type)) return false;
    bool ok;
    if (field == 1 && type == WireType::kFixed64) {
      ok = reader.Double(&value);
    } else if (field == 2 && type == WireType::kVarint) {
      ok = reader.Varint(&timestamp);
    } else {
      ok = reader.Skip(type);
    }
    if (!ok) return false;
  }
  out_->timestamps.push_back(static_cast<int64_t>(timestamp));
  out_->values.push_back(value);
  return true;
}

absl::Status Walker::Histogram(std::string_view bytes) {
  WriteRequest::HistogramSample sample{
      static_cast<uint32_t>(out_->series.size()), 0, nullptr, ""};
  auto histogram = DecodeHistogram(bytes, &sample.timestamp_ms);
  if (histogram.ok()) {
    sample.histogram = *std::move(histogram);
  } else if (absl::IsDataLoss(histogram.status())) {
    return Malformed(bytes.data(), "a histogram");
  } else {
    sample.error = Message(histogram.status());
  }
  const auto message_items = static_cast<int64_t>(bytes.size() / 4);
  out_->histograms.push_back(std::move(sample));
  return Charge(kHistogramItems + message_items);
}

absl::Status Walker::Exemplar(std::string_view bytes) {
  WriteRequest::ExemplarSample exemplar{
      static_cast<uint32_t>(out_->series.size()), 0, 0, {}};
  WireReader reader(bytes);
  std::string joined;
  while (!reader.done()) {
    const char* at = reader.at();
    uint32_t field;
    WireType type;
    uint64_t timestamp;
    std::string_view ignored;
    bool ok = reader.Tag(&field, &type);
    if (!ok) return Malformed(at, "an exemplar");
    if (field == 1 && type == WireType::kBytes) {
      ok = reader.Bytes(&ignored);
      if (ok) joined.append(at, reader.at());
    } else if (field == 2 && type == WireType::kFixed64) {
      ok = reader.Double(&exemplar.value);
    } else if (field == 3 && type == WireType::kVarint) {
      ok = reader.Varint(&timestamp);
      if (ok) exemplar.timestamp_ms = static_cast<int64_t>(timestamp);
    } else {
      ok = reader.Skip(type);
    }
    if (!ok) return Malformed(at, "an exemplar");
  }
  out_->joined.push_back(std::move(joined));
  exemplar.labels = out_->joined.back();
  out_->exemplars.push_back(exemplar);
  return Charge(kExemplarItems);
}

absl::Status Walker::Metadata(std::string_view bytes) {
  WriteRequest::FamilyMetadata item;
  uint64_t metric_type = 0;
  std::string_view family, help, unit;
  WireReader reader(bytes);
  while (!reader.done()) {
    const char* at = reader.at();
    uint32_t field;
    WireType type;
    bool ok = reader.Tag(&field, &type);
    if (ok && field == 1 && type == WireType::kVarint) {
      ok = reader.Varint(&metric_type);
    } else if (ok && type == WireType::kBytes && field == 2) {
      ok = reader.Bytes(&family);
    } else if (ok && type == WireType::kBytes && field == 4) {
      ok = reader.Bytes(&help);
    } else if (ok && type == WireType::kBytes && field == 5) {
      ok = reader.Bytes(&unit);
    } else if (ok) {
      ok = reader.Skip(type);
    }
    if (!ok) return Malformed(at, "metric metadata");
  }
  // Metadata is advice: what cannot be shown is left out, not refused.
  if (family.empty() || !IsValidUtf8(family) || !IsValidUtf8(help) ||
      !IsValidUtf8(unit)) {
    return absl::OkStatus();
  }
  // The numbers of the protobuf enum are those of FamilyType.
  const auto family_type =
      static_cast<FamilyType>(metric_type < 8 ? metric_type : 0);
  out_->metadata.push_back({std::string(family),
                            {std::string(FamilyTypeText(family_type)),
                             std::string(unit), std::string(help)}});
  return Charge(kMetadataItems);
}

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

absl::StatusOr<Labels> DecodeLabels(std::string_view raw) {
  // A label of one byte and one byte takes eight on the wire.
  if (raw.size() > 2 * kLabelSetBytesMax) {
    return InvalidArgument("the labels are too long: {} bytes, at most {}",
                           raw.size(), kLabelSetBytesMax);
  }
  std::vector<LabelView> labels;
  if (!ReadRawLabels(raw, SIZE_MAX, &labels)) {
    return InvalidArgument("a label is malformed protobuf");
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

void WriteRequest::Clear() {
  series.clear();
  timestamps.clear();
  values.clear();
  histograms.clear();
  exemplars.clear();
  metadata.clear();
  joined.clear();
}

absl::Status WalkWriteRequest(std::string_view message, WriteRequest* out) {
  out->Clear();
  return Walker(message, out).Run();
}

absl::StatusOr<Labels> DecodeSeriesLabels(std::string_view raw) {
  VARVE_ASSIGN_OR_RETURN(Labels labels, DecodeLabels(raw));
  if (!labels.Has(kMetricName)) {
    return InvalidArgument("the metric name is missing or empty");
  }
  return labels;
}

absl::StatusOr<Labels> DecodeExemplarLabels(std::string_view raw) {
  return DecodeLabels(raw);
}

std::string RawLabelsText(std::string_view raw) {
  constexpr size_t kBytes = 200;
  std::vector<LabelView> labels;
  ReadRawLabels(raw, /*labels_max=*/20, &labels);
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
