#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "storage/check.h"

namespace varve {

/// An array that grows without moving: elements stand in pages of 2^kPageBits
/// that are made when first wanted and stay until the end. at() takes no lock;
/// Ensure() may be called by many threads at once. Elements start as T().
template <typename T, unsigned kPageBits, size_t kPagesMax>
class PagedArray {
 public:
  static constexpr size_t kPageSize = size_t{1} << kPageBits;
  static constexpr size_t kSizeMax = kPageSize * kPagesMax;

  PagedArray()
      // calloc leaves untouched parts of the table unbacked, and zero bytes
      // are null pointers.
      : pages_(static_cast<std::atomic<T*>*>(
            std::calloc(kPagesMax, sizeof(std::atomic<T*>)))) {
    VARVE_CHECK(pages_ != nullptr);
  }
  ~PagedArray() {
    for (size_t i = 0; i < page_count_.load(); ++i) {
      delete[] pages_[i].load(std::memory_order_relaxed);
    }
    std::free(pages_);
  }
  PagedArray(const PagedArray&) = delete;
  PagedArray& operator=(const PagedArray&) = delete;

  /// REQUIRES: Ensure(index) was called by someone before.
  T& at(size_t index) const {
    return pages_[index >> kPageBits].load(
        std::memory_order_acquire)[index & (kPageSize - 1)];
  }
  /// nullptr when the element's page does not exist.
  T* find(size_t index) const {
    if (index >= kSizeMax) return nullptr;
    T* page = pages_[index >> kPageBits].load(std::memory_order_acquire);
    return page == nullptr ? nullptr : page + (index & (kPageSize - 1));
  }
  /// The first index from `index` on whose page exists, at most `end`.
  size_t SkipMissing(size_t index, size_t end) const {
    while (index < end && find(index) == nullptr) {
      index = (index & ~(kPageSize - 1)) + kPageSize;
    }
    return index < end ? index : end;
  }
  T& Ensure(size_t index) {
    VARVE_CHECK(index < kSizeMax);
    std::atomic<T*>& slot = pages_[index >> kPageBits];
    T* page = slot.load(std::memory_order_acquire);
    if (page == nullptr) {
      T* fresh = new T[kPageSize]();
      if (slot.compare_exchange_strong(page, fresh,
                                       std::memory_order_acq_rel)) {
        page = fresh;
        CountPage((index >> kPageBits) + 1);
      } else {
        delete[] fresh;
      }
    }
    return page[index & (kPageSize - 1)];
  }
  /// Of the pages, at most.
  int64_t bytes() const {
    return static_cast<int64_t>(made_.load(std::memory_order_relaxed) *
                                kPageSize * sizeof(T));
  }

 private:
  void CountPage(size_t count) {
    made_.fetch_add(1, std::memory_order_relaxed);
    size_t old = page_count_.load();
    while (old < count && !page_count_.compare_exchange_weak(old, count)) {
    }
  }

  std::atomic<T*>* pages_;
  std::atomic<size_t> page_count_{0};  ///< one past the last page made
  std::atomic<size_t> made_{0};
};

}  // namespace varve
