#include "storage/block_store.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

#include "storage/block.h"
#include "storage/block_builder.h"
#include "storage/block_store_impl.h"
#include "storage/status_macros.h"

namespace varve {

void BlockStoreImpl::SortBlocks() {
  std::sort(blocks_.begin(), blocks_.end(),
            [](const BlockPtr& a, const BlockPtr& b) {
              return std::tuple(a->info.day, a->info.order, a->info.part) <
                     std::tuple(b->info.day, b->info.order, b->info.part);
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
                                   .window = window,
                                   .deletions_done = LastDeletion()});
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
  // Read before the deletions are: a later one is put to the new block again.
  info.deletions_done = LastDeletion();
  VARVE_ASSIGN_OR_RETURN(info.part, TakePart(info.day));
  return BlockFileBuilder::Create(options_.fs, directory_, info);
}

uint64_t BlockStoreImpl::LastDeletion() const {
  MutexLock lock(&mutex_);
  return deletions_.last();
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

absl::Status BlockStoreImpl::UndoDoubtful() {
  return undo_.empty() ? absl::OkStatus() : WriteManifest({}, {});
}

absl::Status BlockStoreImpl::UndoFailedWrite() {
  MutexLock lock(&write_mutex_);
  VARVE_RETURN_IF_ERROR(CheckOpen());
  return UndoDoubtful();
}

void BlockStoreImpl::Guard() {
  if (const absl::Status s = rows_->Guard(); !s.ok()) {
    options_.logger.Warn("blocks", "the manifest is not guarded: {}",
                         Message(s));
  }
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
  Guard();

  MutexLock lock(&mutex_);
  for (const auto& [start, segment] : new_marks) marks_[start] = segment;
  for (const BlockPtr& block : removed) deletions_.RemoveBlock(block->info);
  for (const BlockPtr& block : added) deletions_.AddBlock(block->info);
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

absl::StatusOr<int> BlockStoreImpl::Drop(std::span<const BlockInfo> blocks) {
  std::set<std::pair<int32_t, uint16_t>> names;
  for (const BlockInfo& info : blocks) names.emplace(info.day, info.part);
  MutexLock lock(&write_mutex_);
  VARVE_RETURN_IF_ERROR(CheckOpen());
  std::vector<BlockPtr> dropped;
  {
    MutexLock blocks_lock(&mutex_);
    for (const BlockPtr& block : blocks_) {
      if (names.contains({block->info.day, block->info.part})) {
        dropped.push_back(block);
      }
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
  std::vector<DeletionPtr> deletions;
  {
    MutexLock marks_lock(&mutex_);
    for (const auto& [start, segment] : marks_) {
      if (segment > before_wal_segment) continue;
      forgotten.push_back(start);
      DeleteMarkRow({start, segment}, &batch);
      PutMarkRow({start, segment}, &inverse);
    }
    deletions = deletions_.Unneeded(before_wal_segment);
    for (const DeletionPtr& deletion : deletions) {
      DeleteDeletionRow(deletion->number, &batch);
      PutDeletionRow(*deletion, &inverse);
    }
  }
  if (batch.empty()) return absl::OkStatus();
  VARVE_RETURN_IF_ERROR(WriteManifest(std::move(batch), std::move(inverse)));
  MutexLock marks_lock(&mutex_);
  for (const int64_t start : forgotten) marks_.erase(start);
  deletions_.Forget(deletions);
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
  return MakeSnapshotSource(Parts());
}

std::vector<SnapshotPart> BlockStoreImpl::Parts() const {
  MutexLock lock(&mutex_);
  std::vector<SnapshotPart> parts;
  for (const BlockPtr& block : blocks_) {
    parts.push_back({block, deletions_.Of(block->info)});
  }
  return parts;
}

absl::Status BlockStoreImpl::CopyTo(const std::string& directory) {
  MutexLock lock(&write_mutex_);
  VARVE_RETURN_IF_ERROR(CheckOpen());
  VARVE_RETURN_IF_ERROR(UndoDoubtful());
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

}  // namespace varve
