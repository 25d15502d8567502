// The walk over a remote-write 2.0 message.

#include <cstdint>
#include <cstring>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "ingest/protobuf_wire.h"
#include "ingest/write_request.h"
#include "ingest/write_walk.h"
#include "storage/status_macros.h"
#include "storage/string_hash.h"

namespace varve {
namespace {

// Field numbers of io.prometheus.write.v2.
constexpr uint32_t kSymbols = 4, kTimeSeries = 5;
constexpr uint32_t kLabelRefs = 1, kSamples = 2, kHistograms = 3,
                   kExemplars = 4, kMetadata = 5, kCreatedTimestamp = 6;
/// Keys of symbols and of series made of them, apart from those of bytes.
constexpr uint64_t kSymbolSpace = 2, kSeriesSpace = 3;

/// Appends a field of repeated numbers, packed or not, as packed numbers.
/// `refs` may become a view of the message or of `store`'s new last element.
class PackedRefs {
 public:
  explicit PackedRefs(std::deque<std::string>* store) : store_(store) {}

  bool Add(WireReader* reader, WireType type) {
    if (type == WireType::kVarint) {
      const char* at = reader->at();
      uint64_t ignored;
      if (!reader->Varint(&ignored)) return false;
      Join({at, static_cast<size_t>(reader->at() - at)});
      return true;
    }
    std::string_view bytes;
    if (type != WireType::kBytes || !reader->Bytes(&bytes)) return false;
    if (refs_.empty()) {
      refs_ = bytes;
    } else {
      Join(bytes);
    }
    return true;
  }
  std::string_view refs() const { return refs_; }

 private:
  void Join(std::string_view more) {
    if (joined_ == nullptr) {
      joined_ = &store_->emplace_back(refs_);
    }
    joined_->append(more);
    refs_ = *joined_;
  }

  std::deque<std::string>* store_;
  std::string* joined_ = nullptr;
  std::string_view refs_;
};

class Walker {
 public:
  Walker(std::string_view message, WriteRequest* out)
      : message_(message), out_(out) {}

  absl::Status Run() {
    out_->by_symbols = true;
    VARVE_RETURN_IF_ERROR(EachField(kSymbols, &Walker::Symbol));
    return EachField(kTimeSeries, &Walker::Series);
  }

 private:
  /// What a TimeSeries says of its family; references.
  struct FamilyRefs {
    uint64_t type = 0;
    uint64_t help = 0;
    uint64_t unit = 0;
  };

  absl::Status Malformed(const char* at, std::string_view what) const {
    return InvalidArgument("malformed protobuf at byte {}: expected {}",
                           at - message_.data(), what);
  }
  absl::Status Charge(int64_t items) {
    items_ += items;
    return CheckWriteItems(*out_, items_);
  }
  absl::Status EachField(uint32_t wanted,
                         absl::Status (Walker::*take)(std::string_view));
  absl::Status Symbol(std::string_view text);
  absl::Status Series(std::string_view bytes);
  absl::Status SeriesField(WireReader* reader, PackedRefs* labels);
  void Sample(const WireSample& sample);
  absl::Status Histogram(std::string_view bytes);
  absl::Status Exemplar(std::string_view bytes);
  bool ReadFamily(std::string_view bytes);
  absl::Status AddFamily(std::string_view labels);
  void SpreadCreated(size_t first_sample, size_t first_histogram);
  SeriesKey KeyOf(std::string_view refs);
  std::string_view SymbolAt(uint64_t ref) const {
    return ref < out_->symbols.size() ? out_->symbols[ref] : "";
  }

  std::string_view message_;
  WriteRequest* out_;
  int64_t items_ = 0;  ///< without samples
  std::vector<SeriesKey> symbol_keys_;
  std::string key_bytes_;
  /// That have their metadata; views of the message.
  std::unordered_set<std::string_view, StringHash, StringEqual> families_;
  // Of the series that is being read:
  int64_t created_ms_ = kNoStartTimestamp;
  FamilyRefs family_;
};

/// Symbols may stand behind the series that use them, hence a pass for each.
absl::Status Walker::EachField(uint32_t wanted,
                               absl::Status (Walker::*take)(std::string_view)) {
  WireReader reader(message_);
  while (!reader.done()) {
    const char* at = reader.at();
    uint32_t field;
    WireType type;
    if (!reader.Tag(&field, &type)) return Malformed(at, "a field");
    if (field != wanted || type != WireType::kBytes) {
      if (!reader.Skip(type)) return Malformed(at, "a whole field");
      continue;
    }
    std::string_view bytes;
    if (!reader.Bytes(&bytes)) return Malformed(at, "a whole message");
    VARVE_RETURN_IF_ERROR((this->*take)(bytes));
  }
  return absl::OkStatus();
}

absl::Status Walker::Symbol(std::string_view text) {
  out_->symbols.push_back(text);
  symbol_keys_.push_back(MakeSeriesKey(text, kSymbolSpace));
  return Charge(1);
}

/// A key of the keys of all symbols, so that a series costs the same however
/// long its labels are. References that lead nowhere get a key, too: such a
/// series is rejected when its labels are decoded, and never cached.
SeriesKey Walker::KeyOf(std::string_view refs) {
  constexpr size_t kKeyBytes = sizeof(uint64_t) + sizeof(uint32_t);
  key_bytes_.clear();
  for (WireReader reader(refs); !reader.done();) {
    uint64_t ref;
    if (!reader.Varint(&ref)) {
      key_bytes_.push_back('?');
      break;
    }
    const SeriesKey key =
        ref < symbol_keys_.size() ? symbol_keys_[ref] : SeriesKey{};
    char bytes[kKeyBytes];
    std::memcpy(bytes, &key.low, sizeof(key.low));
    std::memcpy(bytes + sizeof(key.low), &key.high, sizeof(key.high));
    key_bytes_.append(bytes, kKeyBytes);
  }
  return MakeSeriesKey(key_bytes_, kSeriesSpace);
}

absl::Status Walker::Series(std::string_view bytes) {
  const size_t first_sample = out_->timestamps.size();
  const size_t first_histogram = out_->histograms.size();
  created_ms_ = kNoStartTimestamp;
  family_ = {};
  PackedRefs labels(&out_->joined);
  WireReader reader(bytes);
  while (!reader.done()) {
    VARVE_RETURN_IF_ERROR(SeriesField(&reader, &labels));
  }
  if (created_ms_ != kNoStartTimestamp) {
    SpreadCreated(first_sample, first_histogram);
  }
  out_->series.push_back({KeyOf(labels.refs()), labels.refs(),
                          static_cast<uint32_t>(out_->timestamps.size())});
  VARVE_RETURN_IF_ERROR(AddFamily(labels.refs()));
  return Charge(kSeriesItems);
}

absl::Status Walker::SeriesField(WireReader* reader, PackedRefs* labels) {
  const char* at = reader->at();
  uint32_t field;
  WireType type;
  if (!reader->Tag(&field, &type)) return Malformed(at, "a field");
  if (field == kLabelRefs) {
    return labels->Add(reader, type) ? absl::OkStatus()
                                     : Malformed(at, "references of labels");
  }
  if (field == kCreatedTimestamp && type == WireType::kVarint) {
    uint64_t created;
    if (!reader->Varint(&created)) return Malformed(at, "a time");
    created_ms_ = static_cast<int64_t>(created);
    return absl::OkStatus();
  }
  if (type != WireType::kBytes || field > kMetadata) {
    return reader->Skip(type) ? absl::OkStatus()
                              : Malformed(at, "a whole field");
  }
  std::string_view bytes;
  if (!reader->Bytes(&bytes)) return Malformed(at, "a whole message");
  switch (field) {
    case kSamples: {
      WireSample sample;
      if (!ReadSample(bytes, &sample)) return Malformed(at, "a sample");
      Sample(sample);
      const bool too_many = out_->timestamps.size() > kWriteRequestItemsMax;
      return too_many ? Charge(0) : absl::OkStatus();
    }
    case kHistograms:
      return Histogram(bytes);
    case kExemplars:
      return Exemplar(bytes);
    default:
      return ReadFamily(bytes) ? absl::OkStatus() : Malformed(at, "metadata");
  }
}

void Walker::Sample(const WireSample& sample) {
  std::vector<int64_t>& starts = out_->start_timestamps;
  if (sample.start_timestamp_ms != kNoStartTimestamp) {
    starts.resize(out_->timestamps.size(), kNoStartTimestamp);
  }
  out_->timestamps.push_back(sample.timestamp_ms);
  out_->values.push_back(sample.value);
  if (!starts.empty() || sample.start_timestamp_ms != kNoStartTimestamp) {
    starts.push_back(sample.start_timestamp_ms);
  }
}

absl::Status Walker::Histogram(std::string_view bytes) {
  if (!AppendHistogram(bytes, out_).ok()) {
    return Malformed(bytes.data(), "a histogram");
  }
  return Charge(kHistogramItems + static_cast<int64_t>(bytes.size() / 4));
}

void Walker::SpreadCreated(size_t first_sample, size_t first_histogram) {
  std::vector<int64_t>& starts = out_->start_timestamps;
  const auto fill = [this](int64_t* start) {
    if (*start == kNoStartTimestamp) *start = created_ms_;
  };
  if (first_sample < out_->timestamps.size()) {
    starts.resize(out_->timestamps.size(), kNoStartTimestamp);
  }
  for (size_t i = first_sample; i < starts.size(); ++i) fill(&starts[i]);
  for (size_t i = first_histogram; i < out_->histograms.size(); ++i) {
    fill(&out_->histograms[i].start_timestamp_ms);
  }
}

absl::Status Walker::Exemplar(std::string_view bytes) {
  WriteRequest::ExemplarSample exemplar{
      static_cast<uint32_t>(out_->series.size()), 0, 0, {}};
  PackedRefs labels(&out_->joined);
  WireReader reader(bytes);
  while (!reader.done()) {
    const char* at = reader.at();
    uint32_t field;
    WireType type;
    uint64_t timestamp;
    if (!reader.Tag(&field, &type)) return Malformed(at, "an exemplar");
    bool ok;
    if (field == 1) {
      ok = labels.Add(&reader, type);
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
  exemplar.labels = labels.refs();
  out_->exemplars.push_back(exemplar);
  return Charge(kExemplarItems);
}

bool Walker::ReadFamily(std::string_view bytes) {
  WireReader reader(bytes);
  while (!reader.done()) {
    uint32_t field;
    WireType type;
    if (!reader.Tag(&field, &type)) return false;
    uint64_t* number = field == 1   ? &family_.type
                       : field == 3 ? &family_.help
                       : field == 4 ? &family_.unit
                                    : nullptr;
    const bool ok = number != nullptr && type == WireType::kVarint
                        ? reader.Varint(number)
                        : reader.Skip(type);
    if (!ok) return false;
  }
  return true;
}

/// The family that a series of this name and type belongs to.
std::string_view FamilyOf(std::string_view name, uint64_t type) {
  constexpr uint64_t kHistogram = 3, kGaugeHistogram = 4, kSummary = 5;
  const bool buckets = type == kHistogram || type == kGaugeHistogram;
  if (!buckets && type != kSummary) return name;
  for (const std::string_view suffix : {"_bucket", "_sum", "_count"}) {
    if (!name.ends_with(suffix) || (suffix == "_bucket" && !buckets)) continue;
    return name.substr(0, name.size() - suffix.size());
  }
  return name;
}

/// 2.0 sends metadata with every series; of a family the first counts.
absl::Status Walker::AddFamily(std::string_view labels) {
  if (family_.type == 0 && family_.help == 0 && family_.unit == 0) {
    return absl::OkStatus();
  }
  std::string_view name;
  for (WireReader reader(labels); !reader.done() && name.empty();) {
    uint64_t label;
    uint64_t value;
    if (!reader.Varint(&label) || !reader.Varint(&value)) break;
    if (SymbolAt(label) == kMetricName) name = SymbolAt(value);
  }
  const std::string_view family = FamilyOf(name, family_.type);
  if (families_.contains(family)) return absl::OkStatus();
  families_.insert(family);
  return AppendMetadata(family, family_.type, SymbolAt(family_.unit),
                        SymbolAt(family_.help), out_)
             ? Charge(kMetadataItems)
             : absl::OkStatus();
}

}  // namespace

absl::Status WalkWriteRequestV2(std::string_view message, WriteRequest* out) {
  out->Clear();
  return Walker(message, out).Run();
}

}  // namespace varve
