#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "storage/coding.h"
#include "storage/sample.h"

namespace varve {

// A chunk of a block: the samples of one series over some time, without its
// timestamps, which stand in a column of their own that chunks share. The bytes
// are in storage/block.md.

/// Appends a timestamp column: its length and the times.
void PutTimestamps(std::string* out, std::span<const int64_t> timestamps);
/// Reads a column into `out`; `in` is left behind it.
absl::Status GetTimestamps(Decoder* in, std::vector<int64_t>* out);

/// All histograms of a chunk have one layout (schema, thresholds, spans and
/// bounds); how many of `columns` from `begin` on have the same one. All of
/// them when the samples are floats.
size_t SameLayoutLength(const SampleColumns& columns, size_t begin);

/// Appends samples [begin, begin + count) of `columns`, which have one layout.
void PutChunk(std::string* out, const SampleColumns& columns, size_t begin,
              size_t count);

/// Reads the `count` samples of a chunk from exactly `bytes` into all of `out`
/// but the timestamps. With `presence_only`, floats as GetFloatPresence does.
absl::Status GetChunk(std::string_view bytes, size_t count, SampleColumns* out,
                      bool presence_only = false);

/// Bytes in the data section of a block.
struct ChunkPlace {
  uint64_t offset = 0;
  uint64_t length = 0;
};

/// What a chunk's bytes are.
enum class ChunkForm {
  kItself,      ///< for GetChunk
  kSame,        ///< they say where those stand that it shares
  kDifference,  ///< the same, and by what its values differ from those
};
ChunkForm ChunkFormOf(std::string_view bytes);

/// Appends what stands for a chunk whose bytes are those at `place`.
void PutChunkReference(std::string* out, ChunkPlace place);
/// Appends what stands for a chunk of floats that are integers, which are those
/// of the one at `place` plus `differences`; sums wrap.
void PutChunkDifference(std::string* out, ChunkPlace place,
                        std::span<const int64_t> differences);

struct ChunkReference {
  ChunkPlace place;
  std::string_view differences;  ///< of kDifference
};
/// REQUIRES: the form is not kItself.
absl::StatusOr<ChunkReference> GetChunkReference(std::string_view bytes);

/// Adds the differences to what GetChunk read.
absl::Status AddDifferences(std::string_view differences,
                            SampleColumns* columns);

}  // namespace varve
