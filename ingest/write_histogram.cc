// prometheus.Histogram of the remote-write message to our histograms.

#include <cstdint>
#include <utility>

#include "ingest/protobuf_wire.h"
#include "ingest/write_request.h"
#include "storage/histogram_check.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

/// The message as it stands, before it is known whether it holds integers or
/// floats.
struct RawHistogram {
  bool is_float = false;
  uint64_t count_int = 0, zero_count_int = 0;
  double count_float = 0, zero_count_float = 0;
  double sum = 0, zero_threshold = 0;
  int32_t schema = 0;
  std::vector<HistogramSpan> positive_spans, negative_spans;
  std::vector<int64_t> positive_deltas, negative_deltas;
  std::vector<double> positive_counts, negative_counts;
  std::vector<double> custom_values;
  ResetHint hint = ResetHint::kUnknown;
  int64_t timestamp_ms = 0;
  int64_t start_timestamp_ms = kNoStartTimestamp;
};

/// One more than there may be: then the histogram is refused, and reading on
/// would only take memory.
template <typename T>
bool Full(const std::vector<T>& list) {
  return list.size() > kHistogramBucketsMax;
}

bool ReadSpan(std::string_view bytes, std::vector<HistogramSpan>* out) {
  HistogramSpan span;
  WireReader reader(bytes);
  while (!reader.done()) {
    uint32_t field;
    WireType type;
    if (!reader.Tag(&field, &type)) return false;
    uint64_t v = 0;
    if (type != WireType::kVarint) {
      if (!reader.Skip(type)) return false;
      continue;
    }
    if (!reader.Varint(&v)) return false;
    if (field == 1) {
      span.offset =
          static_cast<int32_t>(WireReader::ZigZag(static_cast<uint32_t>(v)));
    } else if (field == 2) {
      span.length = static_cast<uint32_t>(v);
    }
  }
  if (!Full(*out)) out->push_back(span);
  return true;
}

/// A repeated sint64, packed or not.
bool ReadDeltas(WireReader* reader, WireType type, std::vector<int64_t>* out) {
  uint64_t v;
  if (type == WireType::kVarint) {
    if (!reader->Varint(&v)) return false;
    if (!Full(*out)) out->push_back(WireReader::ZigZag(v));
    return true;
  }
  std::string_view bytes;
  if (type != WireType::kBytes || !reader->Bytes(&bytes)) return false;
  for (WireReader packed(bytes); !packed.done() && !Full(*out);) {
    if (!packed.Varint(&v)) return false;
    out->push_back(WireReader::ZigZag(v));
  }
  return true;
}

/// A repeated double, packed or not.
bool ReadDoubles(WireReader* reader, WireType type, std::vector<double>* out) {
  double v;
  if (type == WireType::kFixed64) {
    if (!reader->Double(&v)) return false;
    if (!Full(*out)) out->push_back(v);
    return true;
  }
  std::string_view bytes;
  if (type != WireType::kBytes || !reader->Bytes(&bytes)) return false;
  for (WireReader packed(bytes); !packed.done() && !Full(*out);) {
    if (!packed.Double(&v)) return false;
    out->push_back(v);
  }
  return true;
}

bool ReadVarintField(uint32_t field, uint64_t v, RawHistogram* out) {
  switch (field) {
    case 1:
      out->is_float = false;
      out->count_int = v;
      return true;
    case 4:
      out->schema =
          static_cast<int32_t>(WireReader::ZigZag(static_cast<uint32_t>(v)));
      return true;
    case 6:
      out->zero_count_int = v;
      return true;
    case 14:
      out->hint = v <= 3 ? static_cast<ResetHint>(v) : ResetHint::kUnknown;
      return true;
    case 15:
      out->timestamp_ms = static_cast<int64_t>(v);
      return true;
    case 17:
      out->start_timestamp_ms = static_cast<int64_t>(v);
      return true;
    default:
      return true;
  }
}

bool ReadDoubleField(uint32_t field, double v, RawHistogram* out) {
  switch (field) {
    case 2:
      // Its presence, even as 0, makes it a float histogram.
      out->is_float = true;
      out->count_float = v;
      return true;
    case 3:
      out->sum = v;
      return true;
    case 5:
      out->zero_threshold = v;
      return true;
    case 7:
      out->zero_count_float = v;
      return true;
    default:
      return true;
  }
}

bool ReadField(WireReader* reader, RawHistogram* out) {
  uint32_t field;
  WireType type;
  if (!reader->Tag(&field, &type)) return false;
  std::string_view bytes;
  switch (field) {
    case 8:
    case 11:
      return type == WireType::kBytes && reader->Bytes(&bytes) &&
             ReadSpan(bytes,
                      field == 8 ? &out->negative_spans : &out->positive_spans);
    case 9:
      return ReadDeltas(reader, type, &out->negative_deltas);
    case 10:
      return ReadDoubles(reader, type, &out->negative_counts);
    case 12:
      return ReadDeltas(reader, type, &out->positive_deltas);
    case 13:
      return ReadDoubles(reader, type, &out->positive_counts);
    case 16:
      return ReadDoubles(reader, type, &out->custom_values);
    default:
      break;
  }
  if (type == WireType::kVarint) {
    uint64_t v;
    return reader->Varint(&v) && ReadVarintField(field, v, out);
  }
  if (type == WireType::kFixed64) {
    double v;
    return reader->Double(&v) && ReadDoubleField(field, v, out);
  }
  return reader->Skip(type);
}

/// Bounds the memory and time that a histogram takes from here on.
absl::Status CheckSize(const RawHistogram& raw, size_t positive,
                       size_t negative) {
  if (positive > kHistogramBucketsMax || Full(raw.positive_spans)) {
    return InvalidArgument("the histogram has more than {} positive buckets",
                           kHistogramBucketsMax);
  }
  if (negative > kHistogramBucketsMax || Full(raw.negative_spans)) {
    return InvalidArgument("the histogram has more than {} negative buckets",
                           kHistogramBucketsMax);
  }
  if (Full(raw.custom_values)) {
    return InvalidArgument("the histogram has more than {} custom bounds",
                           kHistogramBucketsMax);
  }
  return absl::OkStatus();
}

/// Deltas to absolute counts.
absl::Status FillBuckets(const std::vector<int64_t>& deltas,
                         std::string_view side, std::vector<uint64_t>* out) {
  int64_t count = 0;
  out->reserve(deltas.size());
  for (int64_t delta : deltas) {
    if (__builtin_add_overflow(count, delta, &count) || count < 0) {
      return InvalidArgument("{} bucket {} of the histogram is negative", side,
                             out->size() + 1);
    }
    out->push_back(static_cast<uint64_t>(count));
  }
  return absl::OkStatus();
}

absl::Status FillBuckets(const std::vector<double>& counts, std::string_view,
                         std::vector<double>* out) {
  *out = counts;
  return absl::OkStatus();
}

/// Everything but the counts, which have different fields.
template <typename H, typename Buckets>
absl::StatusOr<std::shared_ptr<const Histogram>> Finish(
    RawHistogram* raw, H h, const Buckets& positive, const Buckets& negative) {
  VARVE_RETURN_IF_ERROR(CheckSize(*raw, positive.size(), negative.size()));
  VARVE_RETURN_IF_ERROR(FillBuckets(positive, "positive", &h.positive_buckets));
  VARVE_RETURN_IF_ERROR(FillBuckets(negative, "negative", &h.negative_buckets));
  h.reset_hint = raw->hint;
  h.schema = raw->schema;
  h.zero_threshold = raw->zero_threshold;
  h.sum = raw->sum;
  h.positive_spans = std::move(raw->positive_spans);
  h.negative_spans = std::move(raw->negative_spans);
  h.custom_values = std::move(raw->custom_values);
  VARVE_RETURN_IF_ERROR(CheckHistogram(h));
  return std::make_shared<const Histogram>(std::move(h));
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Histogram>> DecodeHistogram(
    std::string_view message, int64_t* timestamp_ms,
    int64_t* start_timestamp_ms) {
  RawHistogram raw;
  for (WireReader reader(message); !reader.done();) {
    if (!ReadField(&reader, &raw)) return DataLoss("malformed histogram");
  }
  *timestamp_ms = raw.timestamp_ms;
  if (start_timestamp_ms != nullptr) {
    *start_timestamp_ms = raw.start_timestamp_ms;
  }
  if (raw.is_float) {
    FloatHistogram h;
    h.count = raw.count_float;
    h.zero_count = raw.zero_count_float;
    return Finish(&raw, std::move(h), raw.positive_counts, raw.negative_counts);
  }
  IntHistogram h;
  h.count = raw.count_int;
  h.zero_count = raw.zero_count_int;
  return Finish(&raw, std::move(h), raw.positive_deltas, raw.negative_deltas);
}

}  // namespace varve
