#include "storage/wal_record.h"

#include <bit>
#include <cstring>

#include "storage/coding.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

/// Sections of a commit: tag, varint length, bytes.
enum Section : uint8_t {
  kFloats = 1,
  kFloatsWithStart = 2,
  kHistograms = 3,
  kExemplars = 4,
  kMetadata = 5,
};

// The control byte of a float sample.
constexpr uint8_t kValueBytesMask = 0x0f;  // high bytes of the value that stand
constexpr uint8_t kRefFollows = 0x10;      // else: the previous ref + 1
constexpr uint8_t kTimeFollows = 0x20;     // else: the previous time
constexpr uint8_t kStartFollows = 0x40;    // else: none; only in its section

constexpr int64_t kBucketsMax = 1 << 20;

int64_t WrappingSub(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) -
                              static_cast<uint64_t>(b));
}
int64_t WrappingAdd(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) +
                              static_cast<uint64_t>(b));
}

char* StoreVarint(char* at, uint64_t v) {
  while (v >= 0x80) {
    *at++ = static_cast<char>(v | 0x80);
    v >>= 7;
  }
  *at++ = static_cast<char>(v);
  return at;
}

/// Bytes of one float sample at most: control, ref, time, start, value.
constexpr size_t kFloatBytesMax = 1 + 10 + 10 + 10 + 8;

/// The hot loop of ingestion: some 5 bytes and 4 ns per sample.
void EncodeFloats(const WriteBatch& batch, bool with_start,
                  std::string* payload) {
  const size_t begin = payload->size();
  const size_t n = batch.refs.size();
  payload->resize(begin + kVarintBytesMax + n * kFloatBytesMax);
  char* at = StoreVarint(payload->data() + begin, n);
  int64_t ref = -1;
  int64_t time = 0;
  for (size_t i = 0; i < n; ++i) {
    const auto bits = std::bit_cast<uint64_t>(batch.values[i]);
    const unsigned size =
        bits == 0 ? 0 : 8U - static_cast<unsigned>(std::countr_zero(bits)) / 8U;
    char* control = at++;
    auto flags = static_cast<uint8_t>(size);
    if (batch.refs[i] != ref + 1) {
      flags |= kRefFollows;
      at = StoreVarint(at, ZigZag(int64_t{batch.refs[i]} - ref));
    }
    ref = batch.refs[i];
    if (batch.timestamps[i] != time) {
      flags |= kTimeFollows;
      at = StoreVarint(at, ZigZag(WrappingSub(batch.timestamps[i], time)));
      time = batch.timestamps[i];
    }
    if (with_start && batch.start_timestamps[i] != kNoStartTimestamp) {
      flags |= kStartFollows;
      at =
          StoreVarint(at, ZigZag(WrappingSub(time, batch.start_timestamps[i])));
    }
    *control = static_cast<char>(flags);
    // The high bytes, in memory order; the low ones are zero.
    const uint64_t high = size == 0 ? 0 : bits >> (64 - 8 * size);
    std::memcpy(at, &high, sizeof(high));
    at += size;
  }
  payload->resize(static_cast<size_t>(at - payload->data()));
}

void DecodeFloats(Decoder* in, bool with_start, WriteBatch* batch) {
  const uint64_t n = in->VarintAtMost(in->remaining());
  batch->refs.reserve(n);
  batch->timestamps.reserve(n);
  batch->values.reserve(n);
  int64_t ref = -1;
  int64_t time = 0;
  for (uint64_t i = 0; i < n && in->ok(); ++i) {
    const uint8_t flags = in->U8();
    const unsigned size = flags & kValueBytesMask;
    const uint8_t allowed = with_start ? 0x7f : 0x3f;
    if (size > 8 || (flags & ~allowed) != 0) return in->Fail();
    ref += (flags & kRefFollows) != 0 ? in->ZigZagVarint() : 1;
    if (ref < 0 || ref >= kNoSeries) return in->Fail();
    if ((flags & kTimeFollows) != 0) {
      time = WrappingAdd(time, in->ZigZagVarint());
    }
    if (with_start) {
      batch->start_timestamps.push_back(
          (flags & kStartFollows) != 0 ? WrappingSub(time, in->ZigZagVarint())
                                       : kNoStartTimestamp);
    }
    const std::string_view bytes = in->Bytes(size);
    if (!in->ok()) return;
    uint64_t high = 0;
    if (size > 0) std::memcpy(&high, bytes.data(), size);
    const uint64_t bits = size == 0 ? 0 : high << (64 - 8 * size);
    batch->refs.push_back(static_cast<SeriesRef>(ref));
    batch->timestamps.push_back(time);
    batch->values.push_back(std::bit_cast<double>(bits));
  }
}

void PutCount(std::string* out, uint64_t v) { PutVarint(out, v); }
void PutCount(std::string* out, double v) {
  PutFixed64(out, std::bit_cast<uint64_t>(v));
}
void GetCount(Decoder* in, uint64_t* v) { *v = in->Varint(); }
void GetCount(Decoder* in, double* v) {
  *v = std::bit_cast<double>(in->Fixed64());
}

void PutSpans(std::string* out, const std::vector<HistogramSpan>& spans) {
  PutVarint(out, spans.size());
  for (const HistogramSpan& span : spans) {
    PutZigZag(out, span.offset);
    PutVarint(out, span.length);
  }
}

void GetSpans(Decoder* in, std::vector<HistogramSpan>* spans) {
  const uint64_t n = in->VarintAtMost(in->remaining());
  for (uint64_t i = 0; i < n && in->ok(); ++i) {
    const int64_t offset = in->ZigZagVarint();
    const uint64_t length = in->VarintAtMost(kBucketsMax);
    if (offset != static_cast<int32_t>(offset)) return in->Fail();
    spans->push_back(
        {static_cast<int32_t>(offset), static_cast<uint32_t>(length)});
  }
}

template <typename T>
void PutCounts(std::string* out, const std::vector<T>& counts) {
  PutVarint(out, counts.size());
  for (const T& count : counts) PutCount(out, count);
}

template <typename T>
void GetCounts(Decoder* in, std::vector<T>* counts) {
  const uint64_t n = in->VarintAtMost(in->remaining());
  for (uint64_t i = 0; i < n && in->ok(); ++i) {
    GetCount(in, &counts->emplace_back());
  }
}

template <typename Count>
void PutHistogram(std::string* out, const BasicHistogram<Count>& h) {
  PutU8(out, static_cast<uint8_t>(h.reset_hint));
  PutZigZag(out, h.schema);
  PutCount(out, h.zero_threshold);
  PutCount(out, h.zero_count);
  PutCount(out, h.count);
  PutCount(out, h.sum);
  PutSpans(out, h.positive_spans);
  PutSpans(out, h.negative_spans);
  PutCounts(out, h.positive_buckets);
  PutCounts(out, h.negative_buckets);
  PutCounts(out, h.custom_values);
}

template <typename Count>
std::shared_ptr<const Histogram> GetHistogram(Decoder* in) {
  BasicHistogram<Count> h;
  const uint8_t hint = in->U8();
  const int64_t schema = in->ZigZagVarint();
  if (hint > static_cast<uint8_t>(ResetHint::kGauge) ||
      schema != static_cast<int32_t>(schema)) {
    in->Fail();
  }
  h.reset_hint = static_cast<ResetHint>(hint);
  h.schema = static_cast<int32_t>(schema);
  GetCount(in, &h.zero_threshold);
  GetCount(in, &h.zero_count);
  GetCount(in, &h.count);
  GetCount(in, &h.sum);
  GetSpans(in, &h.positive_spans);
  GetSpans(in, &h.negative_spans);
  GetCounts(in, &h.positive_buckets);
  GetCounts(in, &h.negative_buckets);
  GetCounts(in, &h.custom_values);
  return std::make_shared<const Histogram>(std::move(h));
}

void EncodeHistograms(const WriteBatch& batch, std::string* out) {
  PutVarint(out, batch.histograms.size());
  for (const WriteBatch::HistogramSample& s : batch.histograms) {
    PutVarint(out, s.ref);
    PutFixed64(out, static_cast<uint64_t>(s.timestamp_ms));
    PutFixed64(out, static_cast<uint64_t>(s.start_timestamp_ms));
    PutU8(out, static_cast<uint8_t>(s.histogram->index()));
    std::visit([&](const auto& h) { PutHistogram(out, h); }, *s.histogram);
  }
}

void DecodeHistograms(Decoder* in, WriteBatch* batch) {
  const uint64_t n = in->VarintAtMost(in->remaining());
  for (uint64_t i = 0; i < n && in->ok(); ++i) {
    WriteBatch::HistogramSample s;
    s.ref = static_cast<SeriesRef>(in->VarintAtMost(kNoSeries - 1));
    s.timestamp_ms = static_cast<int64_t>(in->Fixed64());
    s.start_timestamp_ms = static_cast<int64_t>(in->Fixed64());
    const uint8_t kind = in->U8();
    if (kind > 1) return in->Fail();
    s.histogram =
        kind == 0 ? GetHistogram<uint64_t>(in) : GetHistogram<double>(in);
    batch->histograms.push_back(std::move(s));
  }
}

/// Labels from their packed form, when that is what Labels would hold.
bool ParsePacked(std::string_view packed, Labels* labels) {
  Decoder in(packed);
  std::vector<LabelView> views;
  while (in.remaining() > 0 && in.ok()) {
    LabelView view;
    view.name = in.Text();
    view.value = in.Text();
    if (!in.ok() || view.value.empty()) return false;
    if (!views.empty() && view.name <= views.back().name) return false;
    views.push_back(view);
  }
  *labels = Labels::FromSorted(views);
  return in.done();
}

void EncodeExemplars(const WriteBatch& batch, std::string* out) {
  PutVarint(out, batch.exemplars.size());
  for (const WriteBatch::ExemplarSample& e : batch.exemplars) {
    PutVarint(out, e.ref);
    PutFixed64(out, static_cast<uint64_t>(e.exemplar.timestamp_ms));
    PutCount(out, e.exemplar.value);
    PutText(out, e.exemplar.labels.packed());
  }
}

void DecodeExemplars(Decoder* in, WriteBatch* batch) {
  const uint64_t n = in->VarintAtMost(in->remaining());
  for (uint64_t i = 0; i < n && in->ok(); ++i) {
    WriteBatch::ExemplarSample e;
    e.ref = static_cast<SeriesRef>(in->VarintAtMost(kNoSeries - 1));
    e.exemplar.timestamp_ms = static_cast<int64_t>(in->Fixed64());
    GetCount(in, &e.exemplar.value);
    if (!ParsePacked(in->Text(), &e.exemplar.labels)) return in->Fail();
    batch->exemplars.push_back(std::move(e));
  }
}

void EncodeMetadata(const WriteBatch& batch, std::string* out) {
  PutVarint(out, batch.metadata.size());
  for (const WriteBatch::FamilyMetadata& m : batch.metadata) {
    PutText(out, m.family);
    PutText(out, m.metadata.type);
    PutText(out, m.metadata.unit);
    PutText(out, m.metadata.help);
  }
}

void DecodeMetadata(Decoder* in, WriteBatch* batch) {
  const uint64_t n = in->VarintAtMost(in->remaining());
  for (uint64_t i = 0; i < n && in->ok(); ++i) {
    WriteBatch::FamilyMetadata m;
    m.family = in->Text();
    m.metadata.type = in->Text();
    m.metadata.unit = in->Text();
    m.metadata.help = in->Text();
    batch->metadata.push_back(std::move(m));
  }
}

/// Writes a section whose length is known only afterwards, as five bytes.
template <typename Encode>
void PutSection(Section tag, std::string* payload, const Encode& encode) {
  PutU8(payload, tag);
  const size_t length_at = payload->size();
  PutFixed32(payload, 0);
  encode();
  StoreFixed(payload->data() + length_at,
             static_cast<uint32_t>(payload->size() - length_at - 4));
}

bool HasStart(const WriteBatch& batch) {
  for (size_t i = 0; i < batch.start_timestamps.size(); ++i) {
    if (batch.start_timestamps[i] != kNoStartTimestamp) return true;
  }
  return false;
}

}  // namespace

void EncodeSeries(SeriesRef ref, const Labels& labels, std::string* payload) {
  PutVarint(payload, ref);
  PutText(payload, labels.packed());
}

absl::Status DecodeSeries(
    std::string_view payload,
    const std::function<void(SeriesRef ref, Labels labels)>& f) {
  Decoder in(payload);
  while (in.remaining() > 0) {
    const uint64_t ref = in.VarintAtMost(kNoSeries - 1);
    Labels labels;
    if (!ParsePacked(in.Text(), &labels) || !in.ok()) {
      return DataLoss("malformed series record at byte {}", in.offset());
    }
    f(static_cast<SeriesRef>(ref), std::move(labels));
  }
  return in.done() ? absl::OkStatus() : DataLoss("malformed series record");
}

void EncodeCommit(const WriteBatch& batch, std::string* payload) {
  payload->clear();
  if (!batch.refs.empty()) {
    const bool with_start = HasStart(batch);
    PutSection(with_start ? kFloatsWithStart : kFloats, payload,
               [&] { EncodeFloats(batch, with_start, payload); });
  }
  if (!batch.histograms.empty()) {
    PutSection(kHistograms, payload, [&] { EncodeHistograms(batch, payload); });
  }
  if (!batch.exemplars.empty()) {
    PutSection(kExemplars, payload, [&] { EncodeExemplars(batch, payload); });
  }
  if (!batch.metadata.empty()) {
    PutSection(kMetadata, payload, [&] { EncodeMetadata(batch, payload); });
  }
}

absl::Status DecodeCommit(std::string_view payload, WriteBatch* batch) {
  batch->Clear();
  Decoder in(payload);
  while (in.remaining() > 0 && in.ok()) {
    const uint8_t tag = in.U8();
    Decoder section(in.Bytes(in.Fixed32()));
    switch (tag) {
      case kFloats:
      case kFloatsWithStart:
        if (!batch->refs.empty()) section.Fail();
        DecodeFloats(&section, tag == kFloatsWithStart, batch);
        break;
      case kHistograms:
        DecodeHistograms(&section, batch);
        break;
      case kExemplars:
        DecodeExemplars(&section, batch);
        break;
      case kMetadata:
        DecodeMetadata(&section, batch);
        break;
      default:
        section.Fail();
    }
    if (!section.done()) in.Fail();
  }
  if (in.done()) return absl::OkStatus();
  batch->Clear();
  return DataLoss("malformed commit record at byte {}", in.offset());
}

}  // namespace varve
