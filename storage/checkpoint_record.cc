#include "storage/checkpoint_record.h"

#include <absl/container/flat_hash_map.h>

#include <algorithm>
#include <cstring>

#include "storage/coding.h"
#include "storage/status_macros.h"
#include "storage/string_hash.h"

namespace varve {
namespace {

// The flags of a series.
constexpr uint8_t kHasLast = 1;  // the newest sample of a chunk that is gone
constexpr uint8_t kHasOpen = 2;
constexpr uint8_t kHasClosed = 4;

/// Full words that an open chunk can have and still be finished.
constexpr unsigned kTailWordsMax = kGorillaWordsMax - 2;

/// What PutText makes of it; a longer varint would make another hash.
size_t TextBytes(std::string_view text) {
  size_t bytes = 1 + text.size();
  for (size_t n = text.size(); n >= 0x80; n >>= 7) ++bytes;
  return bytes;
}

void PutWords(std::string* out, std::span<const uint64_t> words) {
  out->append(reinterpret_cast<const char*>(words.data()),
              words.size() * sizeof(uint64_t));
}

void PutTail(std::string* out, const GorillaTail& tail) {
  PutFixed64(out, static_cast<uint64_t>(tail.first_t));
  PutFixed64(out, static_cast<uint64_t>(tail.last_t));
  PutFixed64(out, tail.last_v);
  PutFixed64(out, tail.acc);
  PutFixed32(out, static_cast<uint32_t>(tail.delta));
  for (const uint8_t byte : {tail.count, tail.words, tail.run, tail.acc_bits,
                             tail.lead, tail.width}) {
    PutU8(out, byte);
  }
}

void GetTail(Decoder* in, GorillaTail* tail) {
  tail->first_t = static_cast<int64_t>(in->Fixed64());
  tail->last_t = static_cast<int64_t>(in->Fixed64());
  tail->last_v = in->Fixed64();
  tail->acc = in->Fixed64();
  tail->delta = static_cast<int32_t>(in->Fixed32());
  for (uint8_t* byte : {&tail->count, &tail->words, &tail->run, &tail->acc_bits,
                        &tail->lead, &tail->width}) {
    *byte = in->U8();
  }
}

bool IsPossible(const GorillaTail& tail) {
  return tail.count >= 1 && tail.count <= kGorillaSamplesMax &&
         tail.words <= kTailWordsMax && tail.run < tail.count &&
         tail.acc_bits < 64 && tail.lead < 32 && tail.lead + tail.width <= 64 &&
         tail.first_t <= tail.last_t;
}

}  // namespace

void CheckpointEncoder::Add(const CheckpointSeries& series) {
  ++count_;
  PutZigZag(&series_, int64_t{series.ref} - last_ref_ - 1);
  last_ref_ = series.ref;
  PutVarint(&series_, series.labels.size());
  for (const uint32_t pair : series.labels) {
    const auto [it, fresh] =
        numbers_.try_emplace(pair, static_cast<uint32_t>(numbers_.size()));
    if (fresh) {
      const LabelView label = pair_of_(pair);
      PutText(&pairs_, label.name);
      PutText(&pairs_, label.value);
    }
    PutVarint(&series_, it->second);
  }
  const bool open = series.tail.count > 0;
  PutU8(&series_,
        static_cast<uint8_t>((open              ? kHasOpen
                              : series.has_last ? kHasLast
                                                : 0) |
                             (series.closed.empty() ? 0 : kHasClosed)));
  if (open) {
    PutTail(&series_, series.tail);
    PutWords(&series_, series.tail_words);
  } else if (series.has_last) {
    PutFixed64(&series_, static_cast<uint64_t>(series.tail.last_t));
    PutFixed64(&series_, series.tail.last_v);
  }
  if (series.closed.empty()) return;
  PutVarint(&series_, series.closed.size());
  for (const CheckpointChunk& chunk : series.closed) {
    PutFixed64(&series_, static_cast<uint64_t>(chunk.first_t));
    PutFixed64(&series_, static_cast<uint64_t>(chunk.last_t));
    PutU8(&series_, chunk.count);
    PutU8(&series_, static_cast<uint8_t>(chunk.words.size()));
    PutWords(&series_, chunk.words);
  }
}

void CheckpointEncoder::Finish(std::string* out) {
  out->clear();
  PutVarint(out, numbers_.size());
  out->append(pairs_);
  PutVarint(out, count_);
  out->append(series_);
  numbers_.clear();
  pairs_.clear();
  series_.clear();
  count_ = 0;
  last_ref_ = -1;
}

/// The vectors grow while they are read, so positions are turned into spans at
/// the end.
class CheckpointDecoder::Reader {
 public:
  Reader(std::string_view payload, CheckpointDecoder* out)
      : in_(payload), payload_(payload), out_(out) {}

  absl::Status Read() {
    ReadPairs();
    const uint64_t count = in_.VarintAtMost(in_.remaining());
    int64_t ref = -1;
    for (uint64_t i = 0; i < count && in_.ok(); ++i) {
      ref += in_.ZigZagVarint() % (int64_t{1} << 33) + 1;
      if (ref < 0 || ref >= kNoSeries) in_.Fail();
      ReadSeries(static_cast<SeriesRef>(ref));
    }
    if (!in_.done()) {
      return DataLoss("malformed checkpoint record of {} bytes",
                      payload_.size());
    }
    SetSpans();
    return absl::OkStatus();
  }

 private:
  struct Place {
    size_t label, labels;
    size_t tail_word;
    size_t chunk, chunks;
  };

  void ReadPairs() {
    const uint64_t count = in_.VarintAtMost(in_.remaining());
    std::vector<std::string_view> names;
    for (uint64_t i = 0; i < count && in_.ok(); ++i) {
      const size_t begin = in_.offset();
      LabelView label;
      label.name = in_.Text();
      label.value = in_.Text();
      const size_t end = in_.offset();
      if (!in_.ok() || label.value.empty() ||
          end - begin != TextBytes(label.name) + TextBytes(label.value)) {
        return in_.Fail();
      }
      out_->pairs_.push_back({label, payload_.substr(begin, end - begin)});
      names.push_back(label.name);
    }
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
    absl::flat_hash_map<std::string_view, uint32_t, StringHash, StringEqual>
        ranks;
    for (size_t i = 0; i < names.size(); ++i) {
      ranks.emplace(names[i], static_cast<uint32_t>(i));
    }
    for (const Pair& pair : out_->pairs_) {
      ranks_.push_back(ranks.at(pair.label.name));
    }
  }

  void ReadSeries(SeriesRef ref) {
    Place place{};
    CheckpointSeries series;
    series.ref = ref;
    place.label = out_->labels_.size();
    place.labels = in_.VarintAtMost(in_.remaining());
    int64_t last_rank = -1;
    for (size_t i = 0; i < place.labels && in_.ok(); ++i) {
      const uint64_t pair = in_.Varint();
      if (pair >= ranks_.size() || int64_t{ranks_[pair]} <= last_rank) {
        return in_.Fail();
      }
      last_rank = ranks_[pair];
      out_->labels_.push_back(static_cast<uint32_t>(pair));
    }
    const uint8_t flags = in_.U8();
    const bool open = (flags & kHasOpen) != 0;
    series.has_last = open || (flags & kHasLast) != 0;
    if (place.labels == 0 || flags > 7 || (flags & 3) == 3) return in_.Fail();
    place.tail_word = out_->words_.size();
    if (open) {
      GetTail(&in_, &series.tail);
      if (!IsPossible(series.tail)) return in_.Fail();
      ReadWords(series.tail.words);
    } else if (series.has_last) {
      series.tail.last_t = static_cast<int64_t>(in_.Fixed64());
      series.tail.last_v = in_.Fixed64();
    }
    place.chunk = out_->chunks_.size();
    if ((flags & kHasClosed) != 0) {
      place.chunks = in_.VarintAtMost(in_.remaining());
      ReadChunks(place.chunks, series);
    }
    if (!in_.ok()) return;
    places_.push_back(place);
    out_->series_.push_back(series);
  }

  void ReadChunks(size_t count, const CheckpointSeries& series) {
    int64_t previous = 0;
    for (size_t i = 0; i < count && in_.ok(); ++i) {
      CheckpointChunk chunk;
      chunk.first_t = static_cast<int64_t>(in_.Fixed64());
      chunk.last_t = static_cast<int64_t>(in_.Fixed64());
      chunk.count = in_.U8();
      const uint8_t words = in_.U8();
      if (chunk.count < 1 || chunk.count > kGorillaSamplesMax || words < 1 ||
          words > kGorillaWordsMax || chunk.first_t > chunk.last_t ||
          (i > 0 && chunk.first_t <= previous)) {
        return in_.Fail();
      }
      previous = chunk.last_t;
      chunk_words_.push_back(out_->words_.size());
      ReadWords(words);
      chunk_sizes_.push_back(words);
      out_->chunks_.push_back(chunk);
    }
    if (!series.has_last) return in_.Fail();
    if (series.tail.count > 0 ? series.tail.first_t <= previous
                              : series.tail.last_t < previous) {
      in_.Fail();
    }
  }

  void ReadWords(size_t count) {
    const std::string_view bytes = in_.Bytes(count * sizeof(uint64_t));
    if (!in_.ok()) return;
    const size_t at = out_->words_.size();
    out_->words_.resize(at + count);
    if (count > 0) std::memcpy(&out_->words_[at], bytes.data(), bytes.size());
  }

  void SetSpans() {
    for (size_t i = 0; i < out_->chunks_.size(); ++i) {
      out_->chunks_[i].words =
          std::span(out_->words_).subspan(chunk_words_[i], chunk_sizes_[i]);
    }
    for (size_t i = 0; i < places_.size(); ++i) {
      CheckpointSeries& series = out_->series_[i];
      const Place& place = places_[i];
      series.labels =
          std::span(out_->labels_).subspan(place.label, place.labels);
      series.tail_words =
          std::span(out_->words_).subspan(place.tail_word, series.tail.words);
      series.closed =
          std::span(out_->chunks_).subspan(place.chunk, place.chunks);
    }
  }

  Decoder in_;
  const std::string_view payload_;
  CheckpointDecoder* const out_;
  std::vector<uint32_t> ranks_;  // of the pairs' names
  std::vector<Place> places_;
  std::vector<size_t> chunk_words_;
  std::vector<uint8_t> chunk_sizes_;
};

absl::Status CheckpointDecoder::Decode(std::string_view payload) {
  pairs_.clear();
  series_.clear();
  labels_.clear();
  words_.clear();
  chunks_.clear();
  return Reader(payload, this).Read();
}

}  // namespace varve
