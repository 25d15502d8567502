#include "storage/chunk_codec.h"

#include <bit>
#include <cmath>
#include <type_traits>
#include <utility>

#include "storage/block_store.h"
#include "storage/float_column.h"
#include "storage/int_column.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

// The first byte of a chunk.
enum Kind : uint8_t {
  kFloats = 0,
  kIntHistograms = 1,
  kFloatHistograms = 2,
  kReference = 3,
};
constexpr uint8_t kKindMask = 0x03;
constexpr uint8_t kHasStartTimestamps = 0x04;
/// The count of an integer histogram is stored less what is in its buckets.
/// Nearly always nothing is left: only NaN is counted and not in a bucket.
constexpr uint8_t kCountIsRest = 0x08;
/// Of a reference.
constexpr uint8_t kDiffers = 0x08;

absl::Status UnknownKind(uint8_t head) {
  return Unimplemented("chunk of kind {}, which this version does not know",
                       head);
}

uint64_t Bits(double v) { return std::bit_cast<uint64_t>(v); }

template <typename C>
bool SameLayout(const BasicHistogram<C>& a, const BasicHistogram<C>& b) {
  if (a.schema != b.schema ||
      Bits(a.zero_threshold) != Bits(b.zero_threshold) ||
      a.positive_spans != b.positive_spans ||
      a.negative_spans != b.negative_spans ||
      a.positive_buckets.size() != b.positive_buckets.size() ||
      a.negative_buckets.size() != b.negative_buckets.size() ||
      a.custom_values.size() != b.custom_values.size()) {
    return false;
  }
  for (size_t i = 0; i < a.custom_values.size(); ++i) {
    if (Bits(a.custom_values[i]) != Bits(b.custom_values[i])) return false;
  }
  return true;
}

void PutSpans(std::string* out, const std::vector<HistogramSpan>& spans) {
  PutVarint(out, spans.size());
  for (const HistogramSpan& span : spans) {
    PutZigZag(out, span.offset);
    PutVarint(out, span.length);
  }
}

std::vector<HistogramSpan> GetSpans(Decoder* in) {
  std::vector<HistogramSpan> spans(in->VarintAtMost(in->remaining() / 2));
  for (HistogramSpan& span : spans) {
    const int64_t offset = in->ZigZagVarint();
    span.offset = static_cast<int32_t>(offset);
    if (span.offset != offset) in->Fail();
    span.length = static_cast<uint32_t>(in->VarintAtMost(UINT32_MAX));
  }
  return spans;
}

/// Columns of numbers of either kind, in the order written.
class ColumnWriter {
 public:
  ColumnWriter(std::string* out, size_t count) : out_(out), count_(count) {}

  /// `number(i)` is the i-th sample's number.
  template <typename F>
  void Put(const F& number) {
    if constexpr (std::is_same_v<decltype(number(0)), double>) {
      floats_.resize(count_);
      for (size_t i = 0; i < count_; ++i) floats_[i] = number(i);
      scratch_.clear();
      PutFloatColumn(&scratch_, floats_);
      PutText(out_, scratch_);
    } else {
      ints_.resize(count_);
      for (size_t i = 0; i < count_; ++i) {
        ints_[i] = static_cast<int64_t>(number(i));
      }
      PutIntColumn(out_, ints_);
    }
  }

 private:
  std::string* const out_;
  const size_t count_;
  std::vector<int64_t> ints_;
  std::vector<double> floats_;
  std::string scratch_;
};

class ColumnReader {
 public:
  ColumnReader(Decoder* in, size_t count) : in_(in), count_(count) {}

  /// `set(i, number)` takes the i-th sample's number.
  template <typename Number, typename F>
  absl::Status Get(const F& set) {
    if constexpr (std::is_same_v<Number, double>) {
      floats_.resize(count_);
      const std::string_view bytes = in_->Text();
      if (!in_->ok()) return DataLoss("histogram chunk ends in a column");
      VARVE_RETURN_IF_ERROR(GetFloatColumn(bytes, floats_));
      for (size_t i = 0; i < count_; ++i) set(i, floats_[i]);
    } else {
      ints_.resize(count_);
      VARVE_RETURN_IF_ERROR(GetIntColumn(in_, ints_));
      for (size_t i = 0; i < count_; ++i) {
        set(i, static_cast<Number>(ints_[i]));
      }
    }
    return absl::OkStatus();
  }

 private:
  Decoder* const in_;
  const size_t count_;
  std::vector<int64_t> ints_;
  std::vector<double> floats_;
};

/// What the buckets hold; wraps.
uint64_t InBuckets(const IntHistogram& h) {
  uint64_t sum = h.zero_count;
  for (const uint64_t bucket : h.positive_buckets) sum += bucket;
  for (const uint64_t bucket : h.negative_buckets) sum += bucket;
  return sum;
}

template <typename C>
void PutHistograms(std::string* out, const SampleColumns& columns, size_t begin,
                   size_t count) {
  using H = BasicHistogram<C>;
  const auto at = [&](size_t i) -> const H& {
    return std::get<H>(*columns.histograms[begin + i]);
  };
  const H& first = at(0);
  PutZigZag(out, first.schema);
  PutFixed64(out, Bits(first.zero_threshold));
  PutSpans(out, first.positive_spans);
  PutSpans(out, first.negative_spans);
  PutVarint(out, first.custom_values.size());
  for (const double v : first.custom_values) PutFixed64(out, Bits(v));
  PutVarint(out, first.positive_buckets.size());
  PutVarint(out, first.negative_buckets.size());

  ColumnWriter writer(out, count);
  writer.Put([&](size_t i) { return static_cast<int64_t>(at(i).reset_hint); });
  writer.Put([&](size_t i) {
    if constexpr (std::is_same_v<C, uint64_t>) {
      return at(i).count - InBuckets(at(i));
    } else {
      return at(i).count;
    }
  });
  writer.Put([&](size_t i) { return at(i).zero_count; });
  writer.Put([&](size_t i) { return at(i).sum; });
  for (size_t b = 0; b < first.positive_buckets.size(); ++b) {
    writer.Put([&](size_t i) { return at(i).positive_buckets[b]; });
  }
  for (size_t b = 0; b < first.negative_buckets.size(); ++b) {
    writer.Put([&](size_t i) { return at(i).negative_buckets[b]; });
  }
}

/// The layout, in a histogram whose counts are all 0.
template <typename C>
absl::StatusOr<BasicHistogram<C>> GetLayout(Decoder* in) {
  BasicHistogram<C> h;
  h.schema = static_cast<int32_t>(in->ZigZagVarint());
  h.zero_threshold = std::bit_cast<double>(in->Fixed64());
  h.positive_spans = GetSpans(in);
  h.negative_spans = GetSpans(in);
  h.custom_values.resize(in->VarintAtMost(in->remaining() / 8));
  for (double& v : h.custom_values) v = std::bit_cast<double>(in->Fixed64());
  // A column takes two bytes at least.
  h.positive_buckets.resize(in->VarintAtMost(in->remaining() / 2));
  h.negative_buckets.resize(in->VarintAtMost(in->remaining() / 2));
  if (!in->ok()) return DataLoss("histogram chunk ends in its layout");
  return h;
}

template <typename C>
absl::Status GetHistograms(Decoder* in, size_t count, bool count_is_rest,
                           SampleColumns* out) {
  VARVE_ASSIGN_OR_RETURN(const BasicHistogram<C> layout, GetLayout<C>(in));
  // The pointers to const are handed out once all columns are in.
  std::vector<std::shared_ptr<Histogram>> owned(count);
  std::vector<BasicHistogram<C>*> all(count);
  for (size_t i = 0; i < count; ++i) {
    owned[i] = std::make_shared<Histogram>(layout);
    all[i] = &std::get<BasicHistogram<C>>(*owned[i]);
  }
  ColumnReader reader(in, count);
  uint8_t hints = 0;
  VARVE_RETURN_IF_ERROR(reader.Get<uint8_t>([&](size_t i, uint8_t v) {
    hints |= v;
    all[i]->reset_hint = static_cast<ResetHint>(v);
  }));
  if (hints > static_cast<uint8_t>(ResetHint::kGauge)) {
    return DataLoss("histogram chunk with a reset hint above 3");
  }
  VARVE_RETURN_IF_ERROR(
      reader.Get<C>([&](size_t i, C v) { all[i]->count = v; }));
  VARVE_RETURN_IF_ERROR(
      reader.Get<C>([&](size_t i, C v) { all[i]->zero_count = v; }));
  VARVE_RETURN_IF_ERROR(
      reader.Get<double>([&](size_t i, double v) { all[i]->sum = v; }));
  for (size_t b = 0; b < layout.positive_buckets.size(); ++b) {
    VARVE_RETURN_IF_ERROR(
        reader.Get<C>([&](size_t i, C v) { all[i]->positive_buckets[b] = v; }));
  }
  for (size_t b = 0; b < layout.negative_buckets.size(); ++b) {
    VARVE_RETURN_IF_ERROR(
        reader.Get<C>([&](size_t i, C v) { all[i]->negative_buckets[b] = v; }));
  }
  if (!in->done()) return DataLoss("histogram chunk has bytes left over");
  if constexpr (std::is_same_v<C, uint64_t>) {
    for (size_t i = 0; i < count && count_is_rest; ++i) {
      all[i]->count += InBuckets(*all[i]);
    }
  }
  out->histograms.assign(std::make_move_iterator(owned.begin()),
                         std::make_move_iterator(owned.end()));
  return absl::OkStatus();
}

}  // namespace

void PutTimestamps(std::string* out, std::span<const int64_t> timestamps) {
  PutVarint(out, timestamps.size());
  PutIntColumn(out, timestamps);
}

absl::Status GetTimestamps(Decoder* in, std::vector<int64_t>* out) {
  const uint64_t count = in->VarintAtMost(kBlockChunkSamplesMax);
  if (!in->ok() || count == 0) {
    return DataLoss("timestamp column with a bad length");
  }
  out->resize(count);
  VARVE_RETURN_IF_ERROR(GetIntColumn(in, *out));
  for (size_t i = 1; i < out->size(); ++i) {
    if ((*out)[i] <= (*out)[i - 1]) {
      return DataLoss("timestamp column that does not ascend");
    }
  }
  return absl::OkStatus();
}

size_t SameLayoutLength(const SampleColumns& columns, size_t begin) {
  if (columns.kind == SampleColumns::Kind::kFloat) {
    return columns.size() - begin;
  }
  const Histogram& first = *columns.histograms[begin];
  size_t end = begin + 1;
  for (; end < columns.size(); ++end) {
    const Histogram& h = *columns.histograms[end];
    if (h.index() != first.index()) break;
    const bool same = std::visit(
        [&](const auto& x) {
          return SameLayout(x, std::get<std::decay_t<decltype(x)>>(h));
        },
        first);
    if (!same) break;
  }
  return end - begin;
}

void PutChunk(std::string* out, const SampleColumns& columns, size_t begin,
              size_t count) {
  const auto starts = std::span(columns.start_timestamps)
                          .subspan(columns.start_timestamps.empty() ? 0 : begin)
                          .first(columns.start_timestamps.empty() ? 0 : count);
  bool has_starts = false;
  for (const int64_t s : starts) has_starts |= s != kNoStartTimestamp;
  const bool floats = columns.kind == SampleColumns::Kind::kFloat;
  const bool ints = !floats && std::holds_alternative<IntHistogram>(
                                   *columns.histograms[begin]);
  const Kind kind =
      floats ? kFloats : (ints ? kIntHistograms : kFloatHistograms);
  PutU8(out,
        static_cast<uint8_t>(kind | (has_starts ? kHasStartTimestamps : 0) |
                             (ints ? kCountIsRest : 0)));
  if (has_starts) PutIntColumn(out, starts);
  if (floats) {
    PutFloatColumn(out, std::span(columns.values).subspan(begin, count));
  } else if (ints) {
    PutHistograms<uint64_t>(out, columns, begin, count);
  } else {
    PutHistograms<double>(out, columns, begin, count);
  }
}

absl::Status GetChunk(std::string_view bytes, size_t count, SampleColumns* out,
                      bool presence_only) {
  Decoder in(bytes);
  const uint8_t head = in.U8();
  const uint8_t kind = head & kKindMask;
  if (!in.ok()) return DataLoss("chunk without bytes");
  const bool count_is_rest = (head & kCountIsRest) != 0;
  if ((head & ~(kKindMask | kHasStartTimestamps | kCountIsRest)) != 0 ||
      kind > kFloatHistograms || (count_is_rest && kind != kIntHistograms)) {
    return UnknownKind(head);
  }
  out->start_timestamps.clear();
  if ((head & kHasStartTimestamps) != 0) {
    out->start_timestamps.resize(count);
    VARVE_RETURN_IF_ERROR(GetIntColumn(&in, out->start_timestamps));
  }
  out->histograms.clear();
  if (kind == kFloats) {
    out->kind = SampleColumns::Kind::kFloat;
    out->values.resize(count);  // what is there is overwritten, not cleared
    return presence_only ? GetFloatPresence(in.rest(), out->values)
                         : GetFloatColumn(in.rest(), out->values);
  }
  out->values.clear();
  out->kind = SampleColumns::Kind::kHistogram;
  return kind == kIntHistograms
             ? GetHistograms<uint64_t>(&in, count, count_is_rest, out)
             : GetHistograms<double>(&in, count, false, out);
}

ChunkForm ChunkFormOf(std::string_view bytes) {
  if (bytes.empty() || (bytes[0] & kKindMask) != kReference) {
    return ChunkForm::kItself;
  }
  return (bytes[0] & kDiffers) != 0 ? ChunkForm::kDifference : ChunkForm::kSame;
}

void PutChunkReference(std::string* out, ChunkPlace place) {
  PutU8(out, kReference);
  PutVarint(out, place.offset);
  PutVarint(out, place.length);
}

void PutChunkDifference(std::string* out, ChunkPlace place,
                        std::span<const int64_t> differences) {
  PutU8(out, kReference | kDiffers);
  PutVarint(out, place.offset);
  PutVarint(out, place.length);
  PutIntColumn(out, differences);
}

absl::StatusOr<ChunkReference> GetChunkReference(std::string_view bytes) {
  Decoder in(bytes);
  const uint8_t head = in.U8();
  const bool differs = head == (kReference | kDiffers);
  if (head != kReference && !differs) return UnknownKind(head);
  ChunkReference reference;
  reference.place.offset = in.Varint();
  reference.place.length = in.Varint();
  reference.differences = in.rest();
  if (!in.ok() || differs == reference.differences.empty()) {
    return DataLoss("malformed reference to another chunk");
  }
  return reference;
}

absl::Status AddDifferences(std::string_view differences,
                            SampleColumns* columns) {
  if (columns->kind != SampleColumns::Kind::kFloat ||
      !columns->start_timestamps.empty()) {
    return DataLoss("differences from a chunk that is not only floats");
  }
  std::vector<int64_t> steps(columns->values.size());
  Decoder in(differences);
  VARVE_RETURN_IF_ERROR(GetIntColumn(&in, steps));
  bool good = in.done();
  for (size_t i = 0; i < steps.size(); ++i) {
    double& value = columns->values[i];
    const bool fits = std::fabs(value) <= 0x1p62;
    good &= fits;
    const auto integer =
        static_cast<uint64_t>(static_cast<int64_t>(fits ? value : 0));
    value = static_cast<double>(
        static_cast<int64_t>(integer + static_cast<uint64_t>(steps[i])));
  }
  return good ? absl::OkStatus()
              : DataLoss("differences from values that are not integers");
}

}  // namespace varve
