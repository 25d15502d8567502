#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/status/status.h>

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "storage/gorilla.h"
#include "storage/labels.h"
#include "storage/write_batch.h"

namespace varve {

// The payload of a checkpoint's kHeadSeries record, see storage/checkpoint.md:
// some series of the head, with all their chunks, decodable by itself.

/// A chunk that was closed.
struct CheckpointChunk {
  int64_t first_t = 0;
  int64_t last_t = 0;
  uint8_t count = 0;
  std::span<const uint64_t> words;
};

struct CheckpointSeries {
  SeriesRef ref = 0;
  /// Numbers of the label pairs: those of the writer's caller, or positions in
  /// the record's list.
  std::span<const uint32_t> labels;
  bool has_last = false;  ///< tail.last_t and tail.last_v are real
  /// The open chunk when count > 0; `block` means nothing.
  GorillaTail tail;
  /// Its full words.
  std::span<const uint64_t> tail_words;
  std::span<const CheckpointChunk> closed;  ///< oldest first
};

/// Makes payloads. Single-thread.
class CheckpointEncoder {
 public:
  /// `pair_of` gives the text of a label pair.
  explicit CheckpointEncoder(std::function<LabelView(uint32_t)> pair_of)
      : pair_of_(std::move(pair_of)) {}

  void Add(const CheckpointSeries& series);
  bool empty() const { return count_ == 0; }
  size_t bytes() const { return pairs_.size() + series_.size(); }
  /// Puts the payload of all that was added into `out` and starts over.
  void Finish(std::string* out);

 private:
  const std::function<LabelView(uint32_t)> pair_of_;
  absl::flat_hash_map<uint32_t, uint32_t> numbers_;
  std::string pairs_;
  std::string series_;
  uint64_t count_ = 0;
  int64_t last_ref_ = -1;
};

/// What a payload holds; views into it and into this.
class CheckpointDecoder {
 public:
  /// DataLoss when the payload is malformed: nothing of it can be used. What
  /// is accepted has ascending label names, chunks in ascending order of time
  /// and counts that are possible; the bits of the chunks are not looked at.
  absl::Status Decode(std::string_view payload);

  /// The label pairs, each with its packed form (see Labels::packed).
  struct Pair {
    LabelView label;
    std::string_view packed;
  };
  std::span<const Pair> pairs() const { return pairs_; }
  std::span<const CheckpointSeries> series() const { return series_; }

 private:
  class Reader;

  std::vector<Pair> pairs_;
  std::vector<CheckpointSeries> series_;
  // What the views of the series point at.
  std::vector<uint32_t> labels_;
  std::vector<uint64_t> words_;
  std::vector<CheckpointChunk> chunks_;
};

}  // namespace varve
