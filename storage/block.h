#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/status/statusor.h>

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "storage/block_file.h"
#include "storage/block_store.h"
#include "storage/chunk_codec.h"
#include "storage/mutex.h"
#include "storage/time_range.h"

namespace varve {

/// A sealed block file that is open: which chunks a series has. Immutable and
/// thread-safe.
class Block {
 public:
  struct Chunk {
    uint64_t offset = 0;  ///< in the data section
    uint64_t length = 0;
    uint64_t timestamps = 0;  ///< where its timestamp column stands
    /// The column stands at the chunk's beginning.
    bool has_timestamps() const { return timestamps == offset; }
  };
  /// Chunks of up to 256 neighbouring series.
  struct Group {
    std::vector<Chunk> chunks;
    /// Chunks of the group's i-th series: [first[i], first[i + 1]).
    std::vector<uint32_t> first;

    /// REQUIRES: the series belongs to this group.
    std::span<const Chunk> ChunksOf(uint32_t series) const;
  };

  static absl::StatusOr<std::shared_ptr<const Block>> Open(
      FileSystem* fs, const std::string& path);

  const std::string& path() const { return file_->path(); }
  /// Without index_bytes.
  const BlockInfo& info() const { return info_; }
  const PagedSection& data() const { return *data_; }
  const BlockFile& file() const { return *file_; }

  /// REQUIRES: series < info().series. Reads and decodes.
  absl::StatusOr<std::shared_ptr<const Group>> ReadGroup(uint32_t series) const;

 private:
  explicit Block(std::unique_ptr<BlockFile> file) : file_(std::move(file)) {}
  absl::Status ReadMeta();
  absl::Status ParseGroup(std::string_view bytes, size_t series,
                          Group* group) const;

  const std::unique_ptr<BlockFile> file_;
  BlockInfo info_;
  std::unique_ptr<PagedSection> data_;
  std::unique_ptr<PagedSection> directory_;
  std::vector<uint64_t> group_offsets_;
};

/// Timestamps of one or more chunks, cut to the time range of a query.
struct TimestampColumn {
  std::vector<int64_t> timestamps;
  size_t begin = 0;    ///< how many samples of the chunk come before the range
  size_t count = 0;    ///< samples in the whole chunk
  uint64_t id = 0;     ///< unique in this process
  uint64_t bytes = 0;  ///< of its encoded form
};

/// Reads chunks of one block for one query, with what neighbouring chunks share
/// kept: pages, timestamp columns, directory groups. Thread-safe.
class BlockReader {
 public:
  BlockReader(std::shared_ptr<const Block> block, int64_t start_ms,
              int64_t end_ms, bool presence_only = false)
      : block_(std::move(block)),
        start_ms_(start_ms),
        end_ms_(end_ms),
        presence_only_(presence_only) {}

  const Block& block() const { return *block_; }
  TimeRange range() const { return {start_ms_, end_ms_}; }
  absl::StatusOr<std::shared_ptr<const Block::Group>> Group(uint32_t series);
  /// The part of the chunk that lies in the time range, into `out`; false when
  /// there is none. Errors name file and offset. Timestamps that `out` has from
  /// an earlier call, which their id tells, are not copied again.
  absl::StatusOr<bool> Read(const Block::Chunk& chunk, SampleColumns* out);

  using TimestampsPtr = std::shared_ptr<const TimestampColumn>;
  /// A chunk as it stands in the file; its times are decoded.
  struct RawChunk {
    std::string_view column;  ///< encoded times, if they stand in the chunk
    std::string_view body;    ///< for GetChunk
    std::string_view differences;  ///< from what is in the body; may be empty
    TimestampsPtr times;
    /// These keep the bytes: of the chunk, and what it refers to.
    std::array<std::shared_ptr<const std::string>, 3> pins;
  };
  absl::StatusOr<RawChunk> ReadRaw(const Block::Chunk& chunk);
  /// The samples of a raw chunk that lie in the time range.
  absl::StatusOr<bool> Decode(const Block::Chunk& chunk, const RawChunk& raw,
                              SampleColumns* out) const;

 private:
  /// Some pages of the data section.
  struct Window {
    uint64_t offset = 0;
    std::shared_ptr<std::string> bytes;  // stays as it is in windows_
    uint64_t used = 0;                   // when it was last used
  };
  /// Bytes of the data section; `pin` keeps them.
  struct View {
    std::string_view bytes;
    std::shared_ptr<const std::string> pin;
  };

  absl::StatusOr<View> ReadData(uint64_t offset, uint64_t size);
  /// Finds the body of a chunk whose bytes say that it stands elsewhere.
  absl::Status Follow(const Block::Chunk& chunk, RawChunk* raw);
  absl::StatusOr<View> ReadReference(uint64_t offset,
                                     const ChunkReference& reference);
  absl::Status ReadWindow(uint64_t offset, uint64_t size, bool ahead,
                          Window* window) const;
  Window TakeOldest();
  void PutBack(Window window);
  absl::StatusOr<TimestampsPtr> Timestamps(const Block::Chunk& chunk,
                                           std::string_view chunk_bytes);
  absl::StatusOr<TimestampsPtr> DecodeTimestamps(uint64_t offset,
                                                 std::string_view bytes) const;

  const std::shared_ptr<const Block> block_;
  const int64_t start_ms_;
  const int64_t end_ms_;
  const bool presence_only_;

  Mutex mutex_;
  std::array<Window, 4> windows_ ABSL_GUARDED_BY(mutex_);
  uint64_t uses_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::flat_hash_map<uint64_t, TimestampsPtr> timestamps_
      ABSL_GUARDED_BY(mutex_);
  uint32_t group_number_ ABSL_GUARDED_BY(mutex_) = UINT32_MAX;
  std::shared_ptr<const Block::Group> group_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace varve
