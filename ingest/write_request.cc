#include "ingest/write_request.h"

#include <utility>

#include "ingest/protobuf_wire.h"
#include "ingest/text_parser.h"
#include "ingest/write_walk.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

// Field numbers of prometheus/prompb; every label field begins with the same
// byte, which the walk looks for.
constexpr uint32_t kTimeSeries = 1, kMetadata = 3;
constexpr uint32_t kLabels = 1, kSamples = 2, kExemplars = 3, kHistograms = 4;
constexpr char kLabelTag = (kLabels << 3) | 2;
constexpr char kSampleTag = (kSamples << 3) | 2;

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
  return CheckWriteItems(*out_, items_);
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

inline bool Walker::Sample(std::string_view bytes) {
  WireSample sample;
  if (!ReadSample(bytes, &sample)) return false;
  out_->timestamps.push_back(sample.timestamp_ms);
  out_->values.push_back(sample.value);
  return true;
}

absl::Status Walker::Histogram(std::string_view bytes) {
  if (!AppendHistogram(bytes, out_).ok()) {
    return Malformed(bytes.data(), "a histogram");
  }
  out_->histograms.back().start_timestamp_ms = kNoStartTimestamp;
  return Charge(kHistogramItems + static_cast<int64_t>(bytes.size() / 4));
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
  return AppendMetadata(family, metric_type, unit, help, out_)
             ? Charge(kMetadataItems)
             : absl::OkStatus();
}

}  // namespace

void WriteRequest::Clear() {
  series.clear();
  timestamps.clear();
  values.clear();
  start_timestamps.clear();
  histograms.clear();
  exemplars.clear();
  metadata.clear();
  joined.clear();
  by_symbols = false;
  symbols.clear();
}

absl::Status CheckWriteItems(const WriteRequest& request, int64_t items) {
  const auto samples = static_cast<int64_t>(request.timestamps.size());
  if (items + samples <= kWriteRequestItemsMax) return absl::OkStatus();
  return ResourceExhausted(
      "the request holds too much: {} series, {} samples, {} histograms, {} "
      "exemplars, {} symbols, {} metadata; send it in parts",
      request.series.size(), samples, request.histograms.size(),
      request.exemplars.size(), request.symbols.size(),
      request.metadata.size());
}

bool ReadAnySample(std::string_view bytes, WireSample* out) {
  WireReader reader(bytes);
  *out = {};
  while (!reader.done()) {
    uint32_t field;
    WireType type;
    if (!reader.Tag(&field, &type)) return false;
    bool ok;
    uint64_t time = 0;
    if (field == 1 && type == WireType::kFixed64) {
      ok = reader.Double(&out->value);
    } else if ((field == 2 || field == 3) && type == WireType::kVarint) {
      ok = reader.Varint(&time);
      (field == 2 ? out->timestamp_ms : out->start_timestamp_ms) =
          static_cast<int64_t>(time);
    } else {
      ok = reader.Skip(type);
    }
    if (!ok) return false;
  }
  return true;
}

absl::Status AppendHistogram(std::string_view bytes, WriteRequest* out) {
  WriteRequest::HistogramSample sample;
  sample.series = static_cast<uint32_t>(out->series.size());
  auto histogram =
      DecodeHistogram(bytes, &sample.timestamp_ms, &sample.start_timestamp_ms);
  if (absl::IsDataLoss(histogram.status())) return histogram.status();
  if (histogram.ok()) {
    sample.histogram = *std::move(histogram);
  } else {
    sample.error = Message(histogram.status());
  }
  out->histograms.push_back(std::move(sample));
  return absl::OkStatus();
}

bool AppendMetadata(std::string_view family, uint64_t type,
                    std::string_view unit, std::string_view help,
                    WriteRequest* out) {
  if (family.empty() || !IsValidUtf8(family) || !IsValidUtf8(help) ||
      !IsValidUtf8(unit)) {
    return false;
  }
  // The numbers of the protobuf enum are those of FamilyType.
  const auto family_type = static_cast<FamilyType>(type < 8 ? type : 0);
  out->metadata.push_back({std::string(family),
                           {std::string(FamilyTypeText(family_type)),
                            std::string(unit), std::string(help)}});
  return true;
}

absl::Status WalkWriteRequest(std::string_view message, WriteRequest* out) {
  out->Clear();
  return Walker(message, out).Run();
}

}  // namespace varve
