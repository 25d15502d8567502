#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "storage/write_batch.h"

namespace varve {

/// A set of series, for the algebra of matchers. A thin face of a roaring
/// bitmap, so that its header stays in one .cc. Thread-compatible.
class RefSet {
 public:
  RefSet();
  RefSet(const RefSet& other);
  RefSet(RefSet&& other) noexcept;
  RefSet& operator=(RefSet&& other) noexcept;
  ~RefSet();

  void Add(SeriesRef ref);
  void AddMany(std::span<const SeriesRef> refs);
  void IntersectWith(const RefSet& other);
  void Subtract(const RefSet& other);
  bool empty() const;
  uint64_t size() const;
  /// Ascending.
  std::vector<SeriesRef> ToVector() const;

 private:
  friend class Postings;
  void* bitmap_;  // roaring_bitmap_t
};

/// The series that carry one label pair: one inline, up to 32 in a sorted
/// array, more in a roaring bitmap. 16 bytes. Thread-compatible.
class Postings {
 public:
  Postings() = default;
  Postings(const Postings&) = delete;
  Postings& operator=(const Postings&) = delete;
  ~Postings() { Clear(); }

  /// No effect when it is there.
  void Add(SeriesRef ref);
  /// Add() for each.
  void AddMany(std::span<const SeriesRef> refs);
  /// No effect when it is not there.
  void Remove(SeriesRef ref);
  void Clear();
  uint32_t size() const { return count_; }
  void AddTo(RefSet* set) const;
  int64_t bytes() const;

 private:
  static constexpr uint32_t kArrayMax = 32;
  enum class Form : uint8_t { kInline, kArray, kBitmap };
  SeriesRef* array() const { return static_cast<SeriesRef*>(data_); }
  void ToBitmap();

  uint32_t count_ = 0;
  uint16_t capacity_ = 0;
  Form form_ = Form::kInline;
  union {
    SeriesRef one_;
    void* data_ = nullptr;
  };
};
static_assert(sizeof(Postings) == 16);

}  // namespace varve
