#include <utility>

#include "storage/block_store_impl.h"
#include "storage/status_macros.h"

namespace varve {

absl::StatusOr<bool> BlockStoreImpl::MayHold(const Selectors& selectors,
                                             TimeRange range) const {
  const QueryContext context;
  for (const auto& [block, deletions] : Parts()) {
    if (!range.Meets({block->info.min_ms, block->info.max_ms})) continue;
    if (block->index == nullptr) return true;  // it may be readable one day
    VARVE_ASSIGN_OR_RETURN(const Ids ids,
                           SelectAny(context, *block->index, selectors));
    if (ids.empty()) continue;
    if (deletions == nullptr) return true;
    VARVE_ASSIGN_OR_RETURN(const auto mask,
                           deletions->Mask(context, *block->index));
    if (mask->HasMore(ids, range)) return true;
  }
  return false;
}

absl::Status BlockStoreImpl::Delete(Deletion deletion) {
  MutexLock lock(&write_mutex_);
  VARVE_RETURN_IF_ERROR(CheckOpen());
  {
    MutexLock deletions_lock(&mutex_);
    VARVE_RETURN_IF_ERROR(deletions_.CheckRoom(deletion));
    deletion.number = deletions_.TakeNumber();
  }
  RowStore::Batch batch;
  RowStore::Batch inverse;
  PutDeletionRow(deletion, &batch);
  DeleteDeletionRow(deletion.number, &inverse);
  VARVE_RETURN_IF_ERROR(WriteManifest(std::move(batch), std::move(inverse)));
  Guard();
  MutexLock deletions_lock(&mutex_);
  deletions_.Add(std::make_shared<const Deletion>(std::move(deletion)));
  return absl::OkStatus();
}

std::vector<DeletionPtr> BlockStoreImpl::deletions() const {
  MutexLock lock(&mutex_);
  return deletions_.all();
}

std::vector<DeletionPtr> BlockStoreImpl::DeletionsOf(
    const BlockInfo& block) const {
  MutexLock lock(&mutex_);
  const auto deletions = deletions_.Of(block);
  return deletions == nullptr ? std::vector<DeletionPtr>()
                              : deletions->deletions();
}

absl::StatusOr<std::vector<BlockInfo>> BlockStoreImpl::BlocksToClean() {
  const QueryContext context;
  std::vector<BlockInfo> dirty;
  std::vector<std::pair<BlockInfo, uint64_t>> clean;
  for (const auto& [block, deletions] : Parts()) {
    if (deletions == nullptr) continue;
    const auto mask =
        block->index == nullptr
            ? absl::StatusOr<std::shared_ptr<const BlockMask>>(block->damage)
            : deletions->Mask(context, *block->index);
    if (mask.ok() && (*mask)->empty()) {
      clean.emplace_back(block->info, deletions->deletions().back()->number);
    } else {
      dirty.push_back(block->info);
    }
  }
  if (!clean.empty()) VARVE_RETURN_IF_ERROR(Settle(clean));
  return dirty;
}

absl::Status BlockStoreImpl::Settle(
    std::span<const std::pair<BlockInfo, uint64_t>> blocks) {
  MutexLock lock(&write_mutex_);
  VARVE_RETURN_IF_ERROR(CheckOpen());
  RowStore::Batch batch;
  RowStore::Batch inverse;
  std::vector<std::pair<BlockInfo, uint64_t>> settled;
  for (const auto& [info, number] : blocks) {
    if (!Find({&info, 1}).ok()) continue;  // replaced or dropped meanwhile
    BlockInfo done = info;
    done.deletions_done = number;
    PutBlockRow(done, &batch);
    PutBlockRow(info, &inverse);
    settled.emplace_back(info, number);
  }
  if (batch.empty()) return absl::OkStatus();
  VARVE_RETURN_IF_ERROR(WriteManifest(std::move(batch), std::move(inverse)));
  MutexLock settled_lock(&mutex_);
  for (const auto& [info, number] : settled) deletions_.Settle(info, number);
  return absl::OkStatus();
}

}  // namespace varve
