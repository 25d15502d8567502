#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "storage/block_store.h"
#include "storage/block_writer.h"
#include "storage/index_writer.h"
#include "storage/row_store.h"

namespace varve {

/// Names of a block's files inside the blocks directory.
std::string BlockPath(const std::string& directory, int32_t day, uint16_t part);
std::string IndexFilePath(const std::string& directory, int32_t day,
                          uint16_t part);
bool ParseBlockFileName(std::string_view name, int32_t* day, uint16_t* part);
/// Files that only exist while a block is made.
bool IsTemporaryFileName(std::string_view name);
/// The whole day.
TimeWindow WindowOfDay(int32_t day);

/// Writes a block file and the file of its index rows. Both are removed by the
/// destructor unless Finish() gave OK. Single-thread.
class BlockFileBuilder final : public BlockBuilder {
 public:
  /// Of `names` day, part, order, window and deletions_done are used.
  static absl::StatusOr<std::unique_ptr<BlockBuilder>> Create(
      FileSystem* fs, const std::string& directory, const BlockInfo& names);
  ~BlockFileBuilder() override;

  absl::Status AddSeries(const Labels& labels,
                         std::span<const SampleColumns> chunks) override;
  BlockInfo info() const override { return writer_->info(); }
  /// As BlockWriter::WriteDifferences().
  void WriteDifferences() { writer_->WriteDifferences(); }
  /// The same in steps: chunks, decoded or not, then the end of their series.
  absl::Status AddChunk(const SampleColumns& columns);
  absl::Status AddChunk(const EncodedChunk& chunk);
  absl::Status EndSeries(const Labels& labels);
  uint32_t series() const { return index_.series(); }
  /// Completes and syncs both files. REQUIRES: at least one series.
  absl::StatusOr<BlockInfo> Finish(RowStore* rows);

 private:
  BlockFileBuilder(FileSystem* fs, std::string block_path,
                   std::string index_path, std::unique_ptr<BlockWriter> writer)
      : fs_(fs),
        block_path_(std::move(block_path)),
        index_path_(std::move(index_path)),
        writer_(std::move(writer)) {}

  FileSystem* const fs_;
  const std::string block_path_;
  const std::string index_path_;
  std::unique_ptr<BlockWriter> writer_;
  IndexWriter index_;
  Labels last_labels_;
  absl::Status failed_;
  bool has_index_file_ = false;
  bool finished_ = false;
};

}  // namespace varve
