#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "storage/block_mask.h"
#include "storage/block_store.h"
#include "storage/deletion.h"

namespace varve {

/// The deletions that are not carried out everywhere, and which blocks each of
/// them is still about: those that know fewer deletions and share a stretch of
/// time with it. Thread-compatible.
class DeletionBook {
 public:
  /// What the manifest holds.
  void Open(std::vector<DeletionPtr> deletions,
            std::span<const BlockInfo> blocks);

  /// ResourceExhausted when there is no room for one more.
  absl::Status CheckRoom(const Deletion& deletion) const;
  /// A number that no deletion has had.
  uint64_t TakeNumber() { return ++last_; }
  /// The highest number given out.
  uint64_t last() const { return last_; }

  /// It applies to all blocks that there are.
  void Add(const DeletionPtr& deletion);
  void AddBlock(const BlockInfo& block);
  void RemoveBlock(const BlockInfo& block);
  /// The deletions are about none of the block's samples.
  void Settle(const BlockInfo& block, uint64_t number);

  /// Null when there are none for the block.
  std::shared_ptr<const BlockDeletions> Of(const BlockInfo& block) const;
  std::vector<DeletionPtr> all() const;
  size_t size() const { return all_.size(); }
  size_t bytes() const { return bytes_; }

  /// Deletions that no block needs, and no log that begins at `wal_segment`.
  std::vector<DeletionPtr> Unneeded(uint64_t wal_segment) const;
  void Forget(std::span<const DeletionPtr> deletions);

 private:
  using Key = std::pair<int32_t, uint16_t>;
  struct Block {
    BlockInfo info;
    std::shared_ptr<const BlockDeletions> deletions;  // null: none
  };
  static Key KeyOf(const BlockInfo& info) { return {info.day, info.part}; }

  uint64_t last_ = 0;
  size_t bytes_ = 0;
  std::map<uint64_t, DeletionPtr> all_;
  std::map<Key, Block> blocks_;
};

}  // namespace varve
