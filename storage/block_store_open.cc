#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "storage/block.h"
#include "storage/block_builder.h"
#include "storage/block_rows.h"
#include "storage/block_source.h"
#include "storage/block_store_impl.h"
#include "storage/status_macros.h"

namespace varve {
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
  auto read = ReadManifest(rows_.get());
  if (absl::IsDataLoss(read.status())) {
    return DataLoss("{}; run `varve repair {}`", Message(read.status()),
                    options_.directory);
  }
  VARVE_ASSIGN_OR_RETURN(Manifest manifest, std::move(read));
  {
    MutexLock lock(&mutex_);
    marks_ = std::move(manifest.marks);
    next_parts_ = std::move(manifest.next_parts);
    for (const BlockInfo& info : manifest.blocks) {
      blocks_.push_back(OpenBlock(info));
    }
    deletions_.Open(std::move(manifest.deletions), manifest.blocks);
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
        auto index,
        IndexReader::Open(MakeStoredIndexRows(rows_, info.day, info.part),
                          info.series));
    out->source = MakeBlockSource(block, index);
    out->block = std::move(block);
    out->index = std::move(index);
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

absl::StatusOr<std::unique_ptr<BlockStore>> BlockStore::Open(
    const BlockStoreOptions& options) {
  auto store = std::make_unique<BlockStoreImpl>(options);
  VARVE_RETURN_IF_ERROR(store->Open());
  return store;
}

}  // namespace varve
