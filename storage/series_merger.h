#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <span>
#include <vector>

#include "storage/block.h"
#include "storage/block_builder.h"
#include "storage/block_compactor.h"

namespace varve {

/// Chunks are joined up to so many samples; one that has three quarters of it
/// is good as it is. Longer ones are hardly denser, and a query for a few
/// minutes decodes a whole one.
inline constexpr size_t kJoinedChunkSamples = 960;
inline constexpr size_t kGoodChunkSamples = kJoinedChunkSamples * 3 / 4;

/// Puts the chunks of a series in several blocks into one. What need not be
/// touched is copied byte by byte: chunks that are long enough, overlap no
/// other, lose no sample and are no differences. Single-thread.
class SeriesMerger {
 public:
  /// A series in one input.
  struct Source {
    BlockReader* reader = nullptr;
    uint32_t series = 0;
    std::span<const TimeRange> dropped;  ///< as CompactOptions::dropped
    /// Set when an error came from reading this one.
    bool damaged = false;
  };
  struct Counts {
    uint64_t samples = 0;
    uint64_t samples_dropped = 0;
    uint64_t chunks_copied = 0;
    uint64_t chunks_encoded = 0;
  };

  explicit SeriesMerger(BlockFileBuilder* builder) : builder_(builder) {
    builder->WriteDifferences();
  }

  /// Adds the chunks of the sources to the builder, which is to end the series
  /// if there are any. Where sources hold the same time the first one wins.
  absl::Status Merge(std::span<Source> sources);
  const Counts& counts() const { return counts_; }

 private:
  struct Item {
    size_t source = 0;
    Block::Chunk chunk;
    BlockReader::RawChunk raw;
    bool loses = false;  // samples, to the ranges
    int64_t first_ms() const { return raw.times->timestamps.front(); }
    int64_t last_ms() const { return raw.times->timestamps.back(); }
    size_t size() const { return raw.times->timestamps.size(); }
  };

  absl::Status ReadItems(std::span<Source> sources);
  absl::Status Decode(Source* source, const Item& item, SampleColumns* out);
  absl::Status AddAlone(Source* source, const Item& item);
  absl::Status AddMerged(std::span<Source> sources,
                         std::span<const Item> items);
  absl::Status AddSamples(const SampleColumns& batch);
  /// Writes what is pending, but for what may still grow if `may_grow`.
  absl::Status Flush(bool may_grow);

  BlockFileBuilder* const builder_;
  std::vector<Item> items_;
  SampleColumns pending_;
  SampleColumns batch_;
  Counts counts_;
};

}  // namespace varve
