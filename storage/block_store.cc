#include "storage/block_store.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "storage/block.h"
#include "storage/block_builder.h"
#include "storage/block_rows.h"
#include "storage/block_snapshot.h"
#include "storage/block_source.h"
#include "storage/manifest.h"
#include "storage/mutex.h"
#include "storage/row_store.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

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
  absl::StatusOr<int> DropDaysBefore(int64_t time_ms) override;
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
  absl::Status CheckOpen() const;

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
};

void BlockStoreImpl::SortBlocks() {
  std::sort(blocks_.begin(), blocks_.end(),
            [](const BlockPtr& a, const BlockPtr& b) {
              return std::tuple(a->info.day, a->info.order, a->info.part) <
                     std::tuple(b->info.day, b->info.order, b->info.part);
            });
}

// ------------------------------------------------------------------- opening

absl::Status BlockStoreImpl::Open() {
  VARVE_RETURN_IF_ERROR(options_.fs->CreateDir(directory_));
  RowStoreOptions row_options;
  row_options.directory = options_.directory + "/index";
  row_options.fs = options_.fs;
  row_options.logger = options_.logger;
  auto rows = RowStore::Open(row_options);
  if (absl::IsDataLoss(rows.status())) {
    return DataLoss("{}; run `varve repair {}`", Message(rows.status()),
                    options_.directory);
  }
  VARVE_ASSIGN_OR_RETURN(rows_, std::move(rows));
  VARVE_RETURN_IF_ERROR(NoteLostManifest());
  VARVE_ASSIGN_OR_RETURN(Manifest manifest, ReadManifest(rows_.get()));
  {
    MutexLock lock(&mutex_);
    marks_ = std::move(manifest.marks);
    next_parts_ = std::move(manifest.next_parts);
    for (const BlockInfo& info : manifest.blocks) {
      blocks_.push_back(OpenBlock(info));
    }
    SortBlocks();
  }
  if (rows_->damage().ok()) return RemoveUnnamed();
  // Rows may be missing: what they named is all that is left of the data.
  options_.logger.Error("blocks",
                        "the index is damaged and nothing is removed until it "
                        "is mended: stop varve and run `varve repair {}`: {}",
                        options_.directory, Message(rows_->damage()));
  return SetAsideUnnamed();
}

absl::Status BlockStoreImpl::NoteLostManifest() {
  VARVE_ASSIGN_OR_RETURN(const bool is_new, ManifestIsNew(*rows_));
  if (!is_new || !rows_->damage().ok()) return absl::OkStatus();
  VARVE_ASSIGN_OR_RETURN(const auto files, options_.fs->List(directory_));
  for (const FileInfo& file : files) {
    int32_t day;
    uint16_t part;
    if (!ParseBlockFileName(file.name, &day, &part)) continue;
    // The version is written before the first block can be.
    return rows_->NoteDamage(
        DataLoss("{}/index: the manifest is lost: it is empty, and there are "
                 "block files",
                 options_.directory));
  }
  return absl::OkStatus();
}

BlockStoreImpl::BlockPtr BlockStoreImpl::OpenBlock(
    const BlockInfo& info) const {
  auto out = std::make_shared<SnapshotBlock>();
  out->info = info;
  out->path = PathOf(info);
  out->fs = options_.fs;
  const auto open = [&]() -> absl::Status {
    VARVE_ASSIGN_OR_RETURN(auto block, Block::Open(options_.fs, out->path));
    const BlockInfo& found = block->info();
    if (found.day != info.day || found.part != info.part ||
        found.order != info.order || found.series != info.series ||
        found.samples != info.samples) {
      return DataLoss("{}: is another block than the manifest says", out->path);
    }
    VARVE_ASSIGN_OR_RETURN(
        out->index,
        IndexReader::Open(MakeStoredIndexRows(rows_, info.day, info.part),
                          info.series));
    out->source = MakeBlockSource(std::move(block), out->index);
    return absl::OkStatus();
  };
  out->damage = open();
  if (!out->damage.ok()) {
    out->info.damaged = true;
    options_.logger.Error("blocks", "set aside block {}: {}", out->path,
                          Message(out->damage));
  }
  return out;
}

absl::StatusOr<std::vector<BlockInfo>> BlockStoreImpl::UnnamedBlocks(
    std::vector<std::string>* other_files) {
  std::set<std::pair<int32_t, uint16_t>> named;
  {
    MutexLock lock(&mutex_);
    for (const BlockPtr& block : blocks_) {
      named.emplace(block->info.day, block->info.part);
    }
  }
  std::set<std::pair<int32_t, uint16_t>> unnamed;
  VARVE_ASSIGN_OR_RETURN(const auto files, options_.fs->List(directory_));
  for (const FileInfo& file : files) {
    int32_t day;
    uint16_t part;
    if (!ParseBlockFileName(file.name, &day, &part)) {
      if (IsTemporaryFileName(file.name)) other_files->push_back(file.name);
    } else if (!named.contains({day, part})) {
      unnamed.emplace(day, part);
    }
  }
  for (const std::string& key : rows_->IndexFileKeys()) {
    int32_t day;
    uint16_t part;
    if (ParseBlockKey(key, &day, &part) && !named.contains({day, part})) {
      unnamed.emplace(day, part);
    }
  }
  std::vector<BlockInfo> blocks;
  for (const auto& [day, part] : unnamed) {
    BlockInfo info;
    info.day = day;
    info.part = part;
    info.order = part;
    blocks.push_back(info);
    // Its number is free only if everything of it goes.
    MutexLock lock(&mutex_);
    uint32_t& next = next_parts_[day];
    next = std::max(next, uint32_t{part} + 1);
  }
  return blocks;
}

absl::Status BlockStoreImpl::RemoveUnnamed() {
  std::vector<std::string> files;
  VARVE_ASSIGN_OR_RETURN(const auto blocks, UnnamedBlocks(&files));
  for (const BlockInfo& info : blocks) {
    options_.logger.Info("blocks", "remove {}: the manifest does not name it",
                         PathOf(info));
    RemoveBlock(info);
  }
  for (const std::string& name : files) {
    options_.fs->Remove(directory_ + "/" + name).IgnoreError();
  }
  return absl::OkStatus();
}

absl::Status BlockStoreImpl::SetAsideUnnamed() {
  std::vector<std::string> files;
  VARVE_ASSIGN_OR_RETURN(const auto blocks, UnnamedBlocks(&files));
  MutexLock lock(&mutex_);
  for (BlockInfo info : blocks) {
    auto block = std::make_shared<SnapshotBlock>();
    block->path = PathOf(info);
    auto opened = Block::Open(options_.fs, block->path);
    if (opened.ok()) {
      info = (*opened)->info();
    } else {
      info.window = {WindowOfDay(info.day)};
      info.min_ms = info.window.start_ms;
      info.max_ms = info.window.end_ms - 1;
    }
    info.damaged = true;
    block->info = info;
    block->damage =
        DataLoss("{}: the index that should name it is damaged", block->path);
    blocks_.push_back(std::move(block));
  }
  SortBlocks();
  return absl::OkStatus();
}

// ------------------------------------------------------------------- removal

void BlockStoreImpl::RemoveBlock(const BlockInfo& info) {
  const std::string path = PathOf(info);
  absl::Status s = options_.fs->Remove(path);
  if (absl::IsNotFound(s)) s = absl::OkStatus();
  const std::string key = BlockKey(info.day, info.part);
  if (s.ok()) s = rows_->DropIndexFiles(key, KeyAfter(key));
  if (!s.ok()) {
    options_.logger.Warn("blocks", "cannot remove {} yet: {}", path,
                         Message(s));
  }
}

void BlockStoreImpl::RemoveRetired() {
  std::erase_if(retired_, [&](const BlockPtr& block) {
    // Snapshots are the only others that hold it, and no new one gets it.
    if (block.use_count() > 1) return false;
    RemoveBlock(block->info);
    return true;
  });
}

// ---------------------------------------------------------------- publishing

absl::Status BlockStoreImpl::CheckOpen() const {
  MutexLock lock(&mutex_);
  if (!closed_) return absl::OkStatus();
  return FailedPrecondition("{}: the block store is closed",
                            options_.directory);
}

absl::StatusOr<std::unique_ptr<BlockBuilder>> BlockStoreImpl::NewBlock(
    TimeWindow window) {
  VARVE_RETURN_IF_ERROR(CheckOpen());
  const int64_t day = DayOf(window.start_ms);
  if (window.start_ms >= window.end_ms || DayOf(window.end_ms - 1) != day ||
      day != static_cast<int32_t>(day)) {
    return InvalidArgument("a block of [{}, {}) ms does not lie inside one day",
                           window.start_ms, window.end_ms);
  }
  VARVE_ASSIGN_OR_RETURN(const uint16_t part,
                         TakePart(static_cast<int32_t>(day)));
  return BlockFileBuilder::Create(options_.fs, directory_,
                                  {.day = static_cast<int32_t>(day),
                                   .part = part,
                                   .order = part,
                                   .window = window});
}

absl::StatusOr<std::unique_ptr<BlockBuilder>> BlockStoreImpl::NewBlockInsteadOf(
    std::span<const BlockInfo> replaced) {
  VARVE_RETURN_IF_ERROR(CheckOpen());
  if (replaced.empty()) return Internal("a block instead of none");
  BlockInfo info;
  info.day = replaced[0].day;
  info.order = replaced[0].order;
  info.window = replaced[0].window;
  for (const BlockInfo& old : replaced) {
    if (old.day != info.day) return Internal("a block instead of two days'");
    info.order = std::min(info.order, old.order);
    info.window.start_ms = std::min(info.window.start_ms, old.window.start_ms);
    info.window.end_ms = std::max(info.window.end_ms, old.window.end_ms);
  }
  VARVE_ASSIGN_OR_RETURN(info.part, TakePart(info.day));
  return BlockFileBuilder::Create(options_.fs, directory_, info);
}

absl::StatusOr<uint16_t> BlockStoreImpl::TakePart(int32_t day) {
  MutexLock lock(&mutex_);
  uint32_t& next = next_parts_[day];
  if (next > UINT16_MAX) {
    return ResourceExhausted("day {} has had {} blocks, no more fit", day,
                             next);
  }
  return static_cast<uint16_t>(next++);
}

absl::StatusOr<std::vector<BlockStoreImpl::BlockPtr>>
BlockStoreImpl::FinishBuilders(
    std::vector<std::unique_ptr<BlockBuilder>> builders,
    std::vector<BlockInfo>* made) {
  std::vector<BlockPtr> added;
  for (auto& base : builders) {
    auto* builder = static_cast<BlockFileBuilder*>(base.get());
    if (builder->series() == 0) continue;
    VARVE_ASSIGN_OR_RETURN(const BlockInfo info, builder->Finish(rows_.get()));
    made->push_back(info);
  }
  if (!made->empty()) VARVE_RETURN_IF_ERROR(options_.fs->SyncDir(directory_));
  for (const BlockInfo& info : *made) {
    VARVE_RETURN_IF_ERROR(
        rows_->Ingest(IndexFilePath(directory_, info.day, info.part)));
    added.push_back(OpenBlock(info));
    VARVE_RETURN_IF_ERROR(added.back()->damage);
  }
  return added;
}

absl::StatusOr<std::vector<BlockStoreImpl::BlockPtr>> BlockStoreImpl::Find(
    std::span<const BlockInfo> infos) const {
  MutexLock lock(&mutex_);
  std::vector<BlockPtr> found;
  for (const BlockInfo& info : infos) {
    const auto it = std::find_if(
        blocks_.begin(), blocks_.end(), [&](const BlockPtr& block) {
          return block->info.day == info.day && block->info.part == info.part;
        });
    if (it == blocks_.end()) {
      return absl::AbortedError(
          fmt::format("block {} is not there any more", PathOf(info)));
    }
    found.push_back(*it);
  }
  return found;
}

absl::Status BlockStoreImpl::WriteManifest(RowStore::Batch batch,
                                           RowStore::Batch inverse) {
  // Puts and deletes of the undo come first, so that the batch wins.
  RowStore::Batch all = undo_;
  std::erase_if(all.puts, [&](const auto& put) {
    return std::count(batch.deletes.begin(), batch.deletes.end(), put.first) >
           0;
  });
  std::erase_if(all.deletes, [&](const std::string& key) {
    return std::any_of(batch.puts.begin(), batch.puts.end(),
                       [&](const auto& put) { return put.first == key; });
  });
  all.puts.insert(all.puts.end(), batch.puts.begin(), batch.puts.end());
  all.deletes.insert(all.deletes.end(), batch.deletes.begin(),
                     batch.deletes.end());
  const absl::Status s = rows_->WriteManifest(all);
  if (s.ok()) {
    undo_ = RowStore::Batch();
    for (const BlockInfo& info : doubtful_) RemoveBlock(info);
    doubtful_.clear();
  } else {
    undo_.puts.insert(undo_.puts.end(), inverse.puts.begin(),
                      inverse.puts.end());
    undo_.deletes.insert(undo_.deletes.end(), inverse.deletes.begin(),
                         inverse.deletes.end());
  }
  return s;
}

absl::Status BlockStoreImpl::Commit(const std::vector<BlockPtr>& added,
                                    const std::vector<BlockPtr>& removed,
                                    std::span<const SealMark> marks) {
  RowStore::Batch batch;
  RowStore::Batch inverse;
  for (const BlockPtr& block : added) {
    PutBlockRow(block->info, &batch);
    PutNextPartRow(block->info.day, uint32_t{block->info.part} + 1, &batch);
    DeleteBlockRow(block->info, &inverse);
  }
  for (const BlockPtr& block : removed) {
    DeleteBlockRow(block->info, &batch);
    PutBlockRow(block->info, &inverse);
  }
  std::map<int64_t, uint64_t> new_marks;
  {
    MutexLock lock(&mutex_);
    for (const SealMark& mark : marks) {
      const auto old = marks_.find(mark.window_start_ms);
      uint64_t& segment = new_marks[mark.window_start_ms];
      segment = std::max(segment, mark.wal_segment);
      if (old == marks_.end()) {
        DeleteMarkRow(mark, &inverse);
      } else {
        segment = std::max(segment, old->second);
        PutMarkRow({old->first, old->second}, &inverse);
      }
    }
  }
  for (const auto& [start, segment] : new_marks) {
    PutMarkRow({start, segment}, &batch);
  }
  if (batch.empty()) return absl::OkStatus();
  VARVE_RETURN_IF_ERROR(WriteManifest(std::move(batch), std::move(inverse)));
  if (const absl::Status s = rows_->Guard(); !s.ok()) {
    options_.logger.Warn("blocks", "the manifest is not guarded: {}",
                         Message(s));
  }

  MutexLock lock(&mutex_);
  for (const auto& [start, segment] : new_marks) marks_[start] = segment;
  std::erase_if(blocks_, [&](const BlockPtr& block) {
    return std::find(removed.begin(), removed.end(), block) != removed.end();
  });
  blocks_.insert(blocks_.end(), added.begin(), added.end());
  SortBlocks();
  return absl::OkStatus();
}

absl::Status BlockStoreImpl::Publish(
    std::vector<std::unique_ptr<BlockBuilder>> builders,
    std::span<const BlockInfo> replaced, std::span<const SealMark> marks) {
  MutexLock lock(&write_mutex_);
  VARVE_RETURN_IF_ERROR(CheckOpen());
  VARVE_ASSIGN_OR_RETURN(std::vector<BlockPtr> removed, Find(replaced));
  std::vector<BlockInfo> made;
  auto added = FinishBuilders(std::move(builders), &made);
  if (!added.ok()) {
    // Nothing names them yet.
    for (const BlockInfo& info : made) {
      options_.fs->Remove(IndexFilePath(directory_, info.day, info.part))
          .IgnoreError();
      RemoveBlock(info);
    }
    return added.status();
  }
  if (const absl::Status s = Commit(*added, removed, marks); !s.ok()) {
    // The batch may be on the disk all the same, so the files stay until it is
    // undone, or until the next start.
    doubtful_.insert(doubtful_.end(), made.begin(), made.end());
    return s;
  }
  retired_.insert(retired_.end(), std::make_move_iterator(removed.begin()),
                  std::make_move_iterator(removed.end()));
  removed.clear();
  RemoveRetired();
  return absl::OkStatus();
}

absl::StatusOr<int> BlockStoreImpl::DropDaysBefore(int64_t time_ms) {
  MutexLock lock(&write_mutex_);
  VARVE_RETURN_IF_ERROR(CheckOpen());
  std::vector<BlockPtr> dropped;
  {
    MutexLock blocks_lock(&mutex_);
    for (const BlockPtr& block : blocks_) {
      if (block->info.day < DayOf(time_ms)) dropped.push_back(block);
    }
  }
  const auto count = static_cast<int>(dropped.size());
  VARVE_RETURN_IF_ERROR(Commit({}, dropped, {}));
  retired_.insert(retired_.end(), std::make_move_iterator(dropped.begin()),
                  std::make_move_iterator(dropped.end()));
  dropped.clear();
  RemoveRetired();
  return count;
}

// --------------------------------------------------------------- marks, facts

absl::Status BlockStoreImpl::ForgetMarks(uint64_t before_wal_segment) {
  MutexLock lock(&write_mutex_);
  VARVE_RETURN_IF_ERROR(CheckOpen());
  RowStore::Batch batch;
  RowStore::Batch inverse;
  std::vector<int64_t> forgotten;
  {
    MutexLock marks_lock(&mutex_);
    for (const auto& [start, segment] : marks_) {
      if (segment > before_wal_segment) continue;
      forgotten.push_back(start);
      DeleteMarkRow({start, segment}, &batch);
      PutMarkRow({start, segment}, &inverse);
    }
  }
  if (batch.empty()) return absl::OkStatus();
  VARVE_RETURN_IF_ERROR(WriteManifest(std::move(batch), std::move(inverse)));
  MutexLock marks_lock(&mutex_);
  for (const int64_t start : forgotten) marks_.erase(start);
  return absl::OkStatus();
}

std::vector<SealMark> BlockStoreImpl::seal_marks() const {
  MutexLock lock(&mutex_);
  std::vector<SealMark> marks;
  for (const auto& [start, segment] : marks_) marks.push_back({start, segment});
  return marks;
}

absl::Status BlockStoreImpl::PutFact(std::string_view key,
                                     std::string_view value) {
  MutexLock lock(&write_mutex_);
  VARVE_RETURN_IF_ERROR(CheckOpen());
  RowStore::Batch batch;
  batch.puts.emplace_back(fmt::format("{}{}", kFactPrefix, key), value);
  // A fact that may or may not be there after an error does no harm.
  return WriteManifest(std::move(batch), {});
}

absl::StatusOr<std::vector<std::pair<std::string, std::string>>>
BlockStoreImpl::Facts(std::string_view key_prefix) const {
  VARVE_RETURN_IF_ERROR(CheckOpen());
  VARVE_ASSIGN_OR_RETURN(auto rows, rows_->ManifestRows(fmt::format(
                                        "{}{}", kFactPrefix, key_prefix)));
  for (auto& [key, value] : rows) key.erase(0, kFactPrefix.size());
  return rows;
}

// ------------------------------------------------------------------- reading

std::vector<BlockInfo> BlockStoreImpl::Blocks() const {
  MutexLock lock(&mutex_);
  std::vector<BlockInfo> infos;
  for (const BlockPtr& block : blocks_) infos.push_back(block->info);
  return infos;
}

std::shared_ptr<const SeriesSource> BlockStoreImpl::Snapshot() const {
  MutexLock lock(&mutex_);
  return MakeSnapshotSource(blocks_);
}

absl::Status BlockStoreImpl::CopyTo(const std::string& directory) {
  MutexLock lock(&write_mutex_);
  VARVE_RETURN_IF_ERROR(CheckOpen());
  // A write that may or may not have happened is undone first.
  if (!undo_.empty()) VARVE_RETURN_IF_ERROR(WriteManifest({}, {}));
  VARVE_RETURN_IF_ERROR(options_.fs->CreateDir(directory + "/blocks"));
  for (const BlockInfo& info : Blocks()) {
    const absl::Status s =
        LinkOrCopy(options_.fs, PathOf(info),
                   BlockPath(directory + "/blocks", info.day, info.part));
    // One that was set aside may be gone; the copy will say so too.
    if (!s.ok() && !(info.damaged && absl::IsNotFound(s))) return s;
  }
  VARVE_RETURN_IF_ERROR(options_.fs->SyncDir(directory + "/blocks"));
  return rows_->Checkpoint(directory + "/index");
}

absl::Status BlockStoreImpl::Close() {
  MutexLock lock(&write_mutex_);
  RemoveRetired();
  MutexLock blocks_lock(&mutex_);
  closed_ = true;
  blocks_.clear();
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<BlockStore>> BlockStore::Open(
    const BlockStoreOptions& options) {
  auto store = std::make_unique<BlockStoreImpl>(options);
  VARVE_RETURN_IF_ERROR(store->Open());
  return store;
}

}  // namespace varve
