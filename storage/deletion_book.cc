#include "storage/deletion_book.h"

#include <algorithm>
#include <set>

#include "storage/status_macros.h"

namespace varve {
namespace {

TimeRange RangeOf(const BlockInfo& info) { return {info.min_ms, info.max_ms}; }

}  // namespace

void DeletionBook::Open(std::vector<DeletionPtr> deletions,
                        std::span<const BlockInfo> blocks) {
  for (DeletionPtr& deletion : deletions) {
    last_ = std::max(last_, deletion->number);
    bytes_ += EncodeDeletion(*deletion).size();
    const uint64_t number = deletion->number;
    all_.emplace(number, std::move(deletion));
  }
  for (const BlockInfo& info : blocks) {
    last_ = std::max(last_, info.deletions_done);
    AddBlock(info);
  }
}

absl::Status DeletionBook::CheckRoom(const Deletion& deletion) const {
  const size_t bytes = EncodeDeletion(deletion).size();
  if (bytes > kDeletionBytesMax) {
    return InvalidArgument(
        "the selectors of a deletion take {} bytes, at most "
        "{} are possible",
        bytes, kDeletionBytesMax);
  }
  if (all_.size() < kDeletionsMax && bytes_ + bytes <= kDeletionsBytesMax) {
    return absl::OkStatus();
  }
  return ResourceExhausted(
      "{} deletions of {} bytes wait to be carried out, no more fit; clean the "
      "tombstones, and let the newest samples be sealed",
      all_.size(), bytes_);
}

void DeletionBook::Add(const DeletionPtr& deletion) {
  all_.emplace(deletion->number, deletion);
  bytes_ += EncodeDeletion(*deletion).size();
  for (auto& [key, block] : blocks_) {
    if (!deletion->range.Meets(RangeOf(block.info))) continue;
    block.deletions = block.deletions == nullptr
                          ? std::make_shared<BlockDeletions>(
                                RangeOf(block.info), std::vector{deletion})
                          : block.deletions->With(deletion);
  }
}

void DeletionBook::AddBlock(const BlockInfo& info) {
  std::vector<DeletionPtr> deletions;
  for (auto it = all_.upper_bound(info.deletions_done); it != all_.end();
       ++it) {
    if (it->second->range.Meets(RangeOf(info))) deletions.push_back(it->second);
  }
  Block block{info, nullptr};
  if (!deletions.empty()) {
    block.deletions =
        std::make_shared<BlockDeletions>(RangeOf(info), std::move(deletions));
  }
  blocks_.insert_or_assign(KeyOf(info), std::move(block));
}

void DeletionBook::RemoveBlock(const BlockInfo& info) {
  blocks_.erase(KeyOf(info));
}

void DeletionBook::Settle(const BlockInfo& info, uint64_t number) {
  const auto it = blocks_.find(KeyOf(info));
  if (it == blocks_.end()) return;
  BlockInfo settled = it->second.info;
  settled.deletions_done = std::max(settled.deletions_done, number);
  AddBlock(settled);
}

std::shared_ptr<const BlockDeletions> DeletionBook::Of(
    const BlockInfo& info) const {
  const auto it = blocks_.find(KeyOf(info));
  return it == blocks_.end() ? nullptr : it->second.deletions;
}

std::vector<DeletionPtr> DeletionBook::all() const {
  std::vector<DeletionPtr> out;
  for (const auto& [number, deletion] : all_) out.push_back(deletion);
  return out;
}

std::vector<DeletionPtr> DeletionBook::Unneeded(uint64_t wal_segment) const {
  std::set<uint64_t> needed;
  for (const auto& [key, block] : blocks_) {
    if (block.deletions == nullptr) continue;
    for (const DeletionPtr& deletion : block.deletions->deletions()) {
      needed.insert(deletion->number);
    }
  }
  std::vector<DeletionPtr> out;
  for (const auto& [number, deletion] : all_) {
    if (deletion->wal_segment <= wal_segment && !needed.contains(number)) {
      out.push_back(deletion);
    }
  }
  return out;
}

void DeletionBook::Forget(std::span<const DeletionPtr> deletions) {
  for (const DeletionPtr& deletion : deletions) {
    if (all_.erase(deletion->number) == 0) continue;
    bytes_ -= EncodeDeletion(*deletion).size();
  }
}

}  // namespace varve
