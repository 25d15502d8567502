#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "storage/block_builder.h"
#include "storage/block_snapshot.h"
#include "storage/block_store.h"
#include "storage/deletion_book.h"
#include "storage/manifest.h"
#include "storage/mutex.h"
#include "storage/row_store.h"

namespace varve {

class BlockStoreImpl final : public BlockStore {
 public:
  explicit BlockStoreImpl(const BlockStoreOptions& options)
      : options_(options), directory_(options.directory + "/blocks") {}

  absl::Status Open();

  absl::StatusOr<std::unique_ptr<BlockBuilder>> NewBlock(
      TimeWindow window) override;
  absl::StatusOr<std::unique_ptr<BlockBuilder>> NewBlockInsteadOf(
      std::span<const BlockInfo> replaced) override;
  absl::Status Publish(std::vector<std::unique_ptr<BlockBuilder>> builders,
                       std::span<const BlockInfo> replaced,
                       std::span<const SealMark> marks) override;
  absl::Status ForgetMarks(uint64_t before_wal_segment) override;
  absl::Status UndoFailedWrite() override;
  std::vector<SealMark> seal_marks() const override;
  std::vector<BlockInfo> Blocks() const override;
  absl::StatusOr<std::vector<std::shared_ptr<const SnapshotBlock>>> Pin(
      std::span<const BlockInfo> infos) const override {
    return Find(infos);
  }
  std::shared_ptr<const SeriesSource> Snapshot() const override;
  void RemoveUnused() override {
    MutexLock lock(&write_mutex_);
    RemoveRetired();
  }
  absl::Status CopyTo(const std::string& directory) override;
  absl::StatusOr<int> Drop(std::span<const BlockInfo> blocks) override;
  absl::StatusOr<bool> MayHold(const Selectors& selectors,
                               TimeRange range) const override;
  absl::Status Delete(Deletion deletion) override;
  std::vector<DeletionPtr> deletions() const override;
  std::vector<DeletionPtr> DeletionsOf(const BlockInfo& block) const override;
  absl::StatusOr<std::vector<BlockInfo>> BlocksToClean() override;
  absl::Status PutFact(std::string_view key, std::string_view value) override;
  absl::StatusOr<std::vector<std::pair<std::string, std::string>>> Facts(
      std::string_view key_prefix) const override;
  absl::Status Close() override;

 private:
  using BlockPtr = std::shared_ptr<const SnapshotBlock>;

  std::string PathOf(const BlockInfo& info) const {
    return BlockPath(directory_, info.day, info.part);
  }
  absl::Status NoteLostManifest();
  BlockPtr OpenBlock(const BlockInfo& info) const;
  void SortBlocks() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status RemoveUnnamed();
  absl::Status SetAsideUnnamed();
  absl::StatusOr<std::vector<BlockInfo>> UnnamedBlocks(
      std::vector<std::string>* other_files);
  void RemoveBlock(const BlockInfo& info);
  void RemoveRetired() ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mutex_);

  absl::StatusOr<uint16_t> TakePart(int32_t day);
  uint64_t LastDeletion() const;
  absl::StatusOr<std::vector<BlockPtr>> FinishBuilders(
      std::vector<std::unique_ptr<BlockBuilder>> builders,
      std::vector<BlockInfo>* made);
  absl::StatusOr<std::vector<BlockPtr>> Find(
      std::span<const BlockInfo> infos) const;
  absl::Status Commit(const std::vector<BlockPtr>& added,
                      const std::vector<BlockPtr>& removed,
                      std::span<const SealMark> marks)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mutex_);
  absl::Status WriteManifest(RowStore::Batch batch, RowStore::Batch inverse)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mutex_);
  absl::Status UndoDoubtful() ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mutex_);
  /// So that the loss of the last batch would be noticed.
  void Guard();
  /// Notes that deletions up to a number are about nothing in a block.
  absl::Status Settle(std::span<const std::pair<BlockInfo, uint64_t>> blocks);
  absl::Status CheckOpen() const;
  std::vector<SnapshotPart> Parts() const;

  const BlockStoreOptions options_;
  const std::string directory_;  // of the block files
  /// Set by Open; RocksDB is closed when the last snapshot is gone.
  std::shared_ptr<RowStore> rows_;

  /// One change of the manifest at a time. Taken before mutex_.
  Mutex write_mutex_;
  /// Undoes a batch whose write failed: whether it is on the disk nobody knows.
  RowStore::Batch undo_ ABSL_GUARDED_BY(write_mutex_);
  /// Blocks that such a batch named; they go once it is undone.
  std::vector<BlockInfo> doubtful_ ABSL_GUARDED_BY(write_mutex_);
  /// No longer in the manifest, but perhaps still read.
  std::vector<BlockPtr> retired_ ABSL_GUARDED_BY(write_mutex_);

  mutable Mutex mutex_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<BlockPtr> blocks_ ABSL_GUARDED_BY(mutex_);  // by day and order
  std::map<int64_t, uint64_t> marks_ ABSL_GUARDED_BY(mutex_);
  std::map<int32_t, uint32_t> next_parts_ ABSL_GUARDED_BY(mutex_);
  DeletionBook deletions_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace varve
