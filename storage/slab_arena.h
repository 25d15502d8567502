#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "storage/mutex.h"

namespace varve {

/// Small pieces of memory, counted in 8-byte words, under 32-bit handles.
///
/// Pages of 128 KiB hold pieces of one size each; a page whose last piece is
/// freed goes back to the system, so that memory shrinks after an explosion of
/// series. A malloc'd buffer per series would take twice the memory and return
/// almost none of it.
///
/// Allocate and Free are thread-safe. at() takes no lock: a handle may be used
/// by any thread that learned of it from the thread that allocated it.
class SlabArena {
 public:
  using Handle = uint32_t;
  static constexpr Handle kNull = 0xffffffff;
  static constexpr size_t kWordsMax = 4096;

  SlabArena();
  ~SlabArena();
  SlabArena(const SlabArena&) = delete;
  SlabArena& operator=(const SlabArena&) = delete;

  /// 1 <= words <= kWordsMax. The words are not initialized. Aborts when the
  /// handles are used up (16 GiB in one arena).
  Handle Allocate(size_t words);
  /// `words` as it was allocated.
  void Free(Handle handle, size_t words);

  uint64_t* at(Handle handle) {
    return Page(handle) + (handle & (kPageWords - 1));
  }
  const uint64_t* at(Handle handle) const {
    return Page(handle) + (handle & (kPageWords - 1));
  }
  /// Memory in pages, for statistics.
  int64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }

 private:
  static constexpr unsigned kPageBits = 14;
  static constexpr size_t kPageWords = size_t{1} << kPageBits;
  static constexpr size_t kPagesMax = size_t{1} << (31 - kPageBits);
  static constexpr size_t kClasses = 23;
  static constexpr uint16_t kNoCell = 0xffff;
  static constexpr uint32_t kNoPage = 0xffffffff;

  struct PageInfo {
    uint16_t size_class = 0;
    uint16_t live = 0;
    uint16_t fresh = 0;            // first word never given out
    uint16_t free_cell = kNoCell;  // list through the cells' first words
    uint32_t next = kNoPage;       // among the pages of its class with room
    uint32_t previous = kNoPage;
    bool listed = false;
  };

  static size_t ClassOf(size_t words);
  static size_t ClassWords(size_t size_class);

  uint64_t* Page(Handle handle) const {
    return pages_[handle >> kPageBits].load(std::memory_order_acquire);
  }
  uint32_t NewPage(size_t size_class) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Link(uint32_t page) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Unlink(uint32_t page) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ReleasePage(uint32_t page) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  struct FreeDeleter {
    void operator()(void* p) const;
  };
  /// kPagesMax pointers; untouched ones take no memory.
  std::unique_ptr<std::atomic<uint64_t*>[], FreeDeleter> pages_;
  std::atomic<int64_t> bytes_{0};

  Mutex mutex_;
  std::vector<PageInfo> infos_ ABSL_GUARDED_BY(mutex_);
  std::vector<uint32_t> free_pages_ ABSL_GUARDED_BY(mutex_);
  uint32_t roomy_[kClasses] ABSL_GUARDED_BY(mutex_);
};

}  // namespace varve
