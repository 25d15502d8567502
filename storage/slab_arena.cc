#include "storage/slab_arena.h"

#include <bit>
#include <cstdlib>

#include "storage/check.h"

namespace varve {

// Sizes: 1..8 words one by one, 10..16 by two, 20..32 by four, then powers of
// two up to kWordsMax; so at most a quarter of a small piece is wasted.
size_t SlabArena::ClassOf(size_t words) {
  if (words <= 8) return words - 1;
  if (words <= 16) return 8 + (words - 9) / 2;
  if (words <= 32) return 12 + (words - 17) / 4;
  return 16 + static_cast<size_t>(std::bit_width(words - 1)) - 6;
}

size_t SlabArena::ClassWords(size_t size_class) {
  if (size_class < 8) return size_class + 1;
  if (size_class < 12) return 10 + (size_class - 8) * 2;
  if (size_class < 16) return 20 + (size_class - 12) * 4;
  return size_t{64} << (size_class - 16);
}

void SlabArena::FreeDeleter::operator()(void* p) const { std::free(p); }

SlabArena::SlabArena() {
  static_assert(sizeof(std::atomic<uint64_t*>) == sizeof(uint64_t*));
  // calloc leaves untouched pages of the table unbacked; zero bytes are null
  // pointers.
  pages_.reset(static_cast<std::atomic<uint64_t*>*>(
      std::calloc(kPagesMax, sizeof(std::atomic<uint64_t*>))));
  VARVE_CHECK(pages_ != nullptr);
  MutexLock lock(&mutex_);
  for (uint32_t& page : roomy_) page = kNoPage;
}

SlabArena::~SlabArena() {
  MutexLock lock(&mutex_);
  for (size_t i = 0; i < infos_.size(); ++i) {
    delete[] pages_[i].load(std::memory_order_relaxed);
  }
}

uint32_t SlabArena::NewPage(size_t size_class) {
  uint32_t page;
  if (!free_pages_.empty()) {
    page = free_pages_.back();
    free_pages_.pop_back();
  } else {
    page = static_cast<uint32_t>(infos_.size());
    VARVE_CHECK(page < kPagesMax);
    infos_.emplace_back();
  }
  infos_[page] = PageInfo();
  infos_[page].size_class = static_cast<uint16_t>(size_class);
  pages_[page].store(new uint64_t[kPageWords], std::memory_order_release);
  bytes_.fetch_add(kPageWords * 8, std::memory_order_relaxed);
  Link(page);
  return page;
}

void SlabArena::Link(uint32_t page) {
  PageInfo& info = infos_[page];
  uint32_t& head = roomy_[info.size_class];
  info.previous = kNoPage;
  info.next = head;
  if (head != kNoPage) infos_[head].previous = page;
  head = page;
  info.listed = true;
}

void SlabArena::Unlink(uint32_t page) {
  PageInfo& info = infos_[page];
  if (info.previous != kNoPage) {
    infos_[info.previous].next = info.next;
  } else {
    roomy_[info.size_class] = info.next;
  }
  if (info.next != kNoPage) infos_[info.next].previous = info.previous;
  info.listed = false;
}

void SlabArena::ReleasePage(uint32_t page) {
  Unlink(page);
  delete[] pages_[page].exchange(nullptr, std::memory_order_relaxed);
  bytes_.fetch_sub(kPageWords * 8, std::memory_order_relaxed);
  free_pages_.push_back(page);
}

SlabArena::Handle SlabArena::Allocate(size_t words) {
  VARVE_CHECK(words >= 1 && words <= kWordsMax);
  const size_t size_class = ClassOf(words);
  const size_t size = ClassWords(size_class);
  MutexLock lock(&mutex_);
  uint32_t page = roomy_[size_class];
  if (page == kNoPage) page = NewPage(size_class);
  PageInfo& info = infos_[page];
  uint16_t cell = info.free_cell;
  if (cell != kNoCell) {
    const uint64_t* base = pages_[page].load(std::memory_order_relaxed);
    info.free_cell = static_cast<uint16_t>(base[cell]);
  } else {
    cell = info.fresh;
    info.fresh = static_cast<uint16_t>(info.fresh + size);
  }
  ++info.live;
  if (info.free_cell == kNoCell && info.fresh + size > kPageWords) {
    Unlink(page);
  }
  return (page << kPageBits) | cell;
}

void SlabArena::Free(Handle handle, size_t words) {
  const uint32_t page = handle >> kPageBits;
  const auto cell = static_cast<uint16_t>(handle & (kPageWords - 1));
  MutexLock lock(&mutex_);
  PageInfo& info = infos_[page];
  VARVE_CHECK(info.live > 0 && ClassOf(words) == info.size_class);
  pages_[page].load(std::memory_order_relaxed)[cell] = info.free_cell;
  info.free_cell = cell;
  --info.live;
  if (!info.listed) Link(page);
  // One page per class is kept, or a piece that comes and goes would cost a
  // page each time.
  const bool only = info.next == kNoPage && info.previous == kNoPage;
  if (info.live == 0 && !only) ReleasePage(page);
}

}  // namespace varve
