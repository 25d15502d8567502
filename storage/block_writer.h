#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "storage/block_file.h"
#include "storage/block_store.h"
#include "storage/chunk_neighbours.h"
#include "storage/shared_bodies.h"

namespace varve {

/// How many series share one entry of a block's directory.
inline constexpr uint32_t kBlockGroupSeries = 256;

/// A chunk in its encoded form, to be copied from another block.
struct EncodedChunk {
  std::span<const int64_t> timestamps;
  std::string_view column;  ///< the encoded timestamps; may be empty
  std::string_view body;    ///< what follows them
};

/// Writes the samples of a block (storage/block.md). It knows nothing of
/// labels: the n-th series that is added is series n. Single-thread.
class BlockWriter {
 public:
  /// Of `names` day, part, order, window and deletions_done are used.
  static absl::StatusOr<std::unique_ptr<BlockWriter>> Create(
      FileSystem* fs, const std::string& path, const BlockInfo& names);

  /// From here on chunks are also stored as differences from others: slower to
  /// write, and it takes two to read one. For blocks that are not written again
  /// soon.
  void WriteDifferences() { differences_ = true; }

  /// REQUIRES: as BlockBuilder::AddSeries. Violations are Internal errors.
  absl::Status AddSeries(std::span<const SampleColumns> chunks);
  /// The same in steps: chunks, then the end of their series.
  absl::Status AddChunk(const SampleColumns& columns);
  absl::Status AddChunk(const EncodedChunk& chunk);
  absl::Status EndSeries();
  /// Completes and syncs the file. REQUIRES: at least one series.
  absl::StatusOr<BlockInfo> Finish();

  uint32_t series() const { return info_.series; }
  const BlockInfo& info() const { return info_; }

 private:
  /// The directory's entry for a group of series, in columns.
  struct Group {
    uint64_t data_offset = 0;
    std::vector<int64_t> chunk_counts;     // per series
    std::vector<int64_t> lengths;          // per chunk
    std::vector<uint64_t> timestamp_refs;  // per chunk; UINT64_MAX: inside it
  };
  /// A 128-bit hash of a timestamp column.
  using Hash = std::pair<uint64_t, uint64_t>;

  BlockWriter(std::unique_ptr<BlockFileWriter> file, BlockInfo info,
              uint64_t seed)
      : file_(std::move(file)), info_(info), hash_seed_(seed) {}
  absl::Status CheckTimes(std::span<const int64_t> timestamps);
  void AddTimes(std::span<const int64_t> timestamps);
  /// Appends timestamps, unless there are equal ones already, and the body
  /// that `put_body` adds.
  template <typename PutBody>
  absl::Status Append(std::span<const int64_t> timestamps,
                      std::string_view column, std::span<const double> floats,
                      const PutBody& put_body);
  /// Puts a reference in the place of the body at the end of scratch_, from
  /// `begin` on, if the block has such a one already, or else a difference if
  /// it has one that is near. `floats`: the values, if they are all there is.
  void ShareBody(size_t begin, uint64_t times, size_t samples,
                 std::span<const double> floats);
  void PutDifference(size_t begin, uint64_t times,
                     std::span<const double> floats);
  void EndGroup();

  const std::unique_ptr<BlockFileWriter> file_;
  BlockInfo info_;
  const uint64_t hash_seed_;
  uint64_t data_offset_ = 0;
  Group group_;
  // Of the series that is being added.
  std::optional<int64_t> last_ms_;
  int64_t series_chunks_ = 0;
  std::string directory_;
  std::string group_offsets_;
  std::string scratch_;
  absl::flat_hash_map<Hash, uint64_t> timestamp_columns_;
  SharedBodies bodies_;
  bool differences_ = false;
  ChunkNeighbours neighbours_;
};

}  // namespace varve
