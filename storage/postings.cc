#include "storage/postings.h"

#include <roaring/roaring.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "storage/check.h"

namespace varve {
namespace {

roaring_bitmap_t* Bitmap(void* p) { return static_cast<roaring_bitmap_t*>(p); }

}  // namespace

RefSet::RefSet() : bitmap_(roaring_bitmap_create()) {}
RefSet::RefSet(const RefSet& other)
    : bitmap_(roaring_bitmap_copy(Bitmap(other.bitmap_))) {}
RefSet::RefSet(RefSet&& other) noexcept
    : bitmap_(std::exchange(other.bitmap_, nullptr)) {}
RefSet& RefSet::operator=(RefSet&& other) noexcept {
  std::swap(bitmap_, other.bitmap_);
  return *this;
}
RefSet::~RefSet() {
  if (bitmap_ != nullptr) roaring_bitmap_free(Bitmap(bitmap_));
}

void RefSet::Add(SeriesRef ref) { roaring_bitmap_add(Bitmap(bitmap_), ref); }
void RefSet::AddMany(std::span<const SeriesRef> refs) {
  roaring_bitmap_add_many(Bitmap(bitmap_), refs.size(), refs.data());
}
void RefSet::IntersectWith(const RefSet& other) {
  roaring_bitmap_and_inplace(Bitmap(bitmap_), Bitmap(other.bitmap_));
}
void RefSet::Subtract(const RefSet& other) {
  roaring_bitmap_andnot_inplace(Bitmap(bitmap_), Bitmap(other.bitmap_));
}
bool RefSet::empty() const { return roaring_bitmap_is_empty(Bitmap(bitmap_)); }
uint64_t RefSet::size() const {
  return roaring_bitmap_get_cardinality(Bitmap(bitmap_));
}
std::vector<SeriesRef> RefSet::ToVector() const {
  std::vector<SeriesRef> out(size());
  roaring_bitmap_to_uint32_array(Bitmap(bitmap_), out.data());
  return out;
}

void Postings::Clear() {
  if (form_ == Form::kArray) std::free(data_);
  if (form_ == Form::kBitmap) roaring_bitmap_free(Bitmap(data_));
  form_ = Form::kInline;
  count_ = 0;
  capacity_ = 0;
  data_ = nullptr;
}

void Postings::ToBitmap() {
  roaring_bitmap_t* bitmap = roaring_bitmap_of_ptr(count_, array());
  std::free(data_);
  data_ = bitmap;
  form_ = Form::kBitmap;
}

void Postings::Add(SeriesRef ref) {
  if (form_ == Form::kArray && count_ == kArrayMax) ToBitmap();
  if (form_ == Form::kBitmap) {
    if (roaring_bitmap_add_checked(Bitmap(data_), ref)) ++count_;
    return;
  }
  if (form_ == Form::kInline) {
    if (count_ == 0 || one_ == ref) {
      one_ = ref;
      count_ = 1;
      return;
    }
    const SeriesRef first = one_;
    capacity_ = 4;
    data_ = std::malloc(capacity_ * sizeof(SeriesRef));
    VARVE_CHECK(data_ != nullptr);
    array()[0] = first;
    form_ = Form::kArray;
  }
  SeriesRef* end = array() + count_;
  SeriesRef* at = std::lower_bound(array(), end, ref);
  if (at != end && *at == ref) return;
  const auto index = static_cast<size_t>(at - array());
  if (count_ == capacity_) {
    capacity_ = static_cast<uint16_t>(capacity_ * 2);
    data_ = std::realloc(data_, capacity_ * sizeof(SeriesRef));
    VARVE_CHECK(data_ != nullptr);
  }
  std::copy_backward(array() + index, array() + count_, array() + count_ + 1);
  array()[index] = ref;
  ++count_;
}

void Postings::AddMany(std::span<const SeriesRef> refs) {
  while (!refs.empty() && form_ != Form::kBitmap) {
    Add(refs.front());
    refs = refs.subspan(1);
  }
  if (refs.empty()) return;
  roaring_bitmap_add_many(Bitmap(data_), refs.size(), refs.data());
  count_ = static_cast<uint32_t>(roaring_bitmap_get_cardinality(Bitmap(data_)));
}

void Postings::Remove(SeriesRef ref) {
  if (form_ == Form::kBitmap) {
    if (roaring_bitmap_remove_checked(Bitmap(data_), ref)) --count_;
  } else if (form_ == Form::kArray) {
    SeriesRef* end = array() + count_;
    SeriesRef* at = std::lower_bound(array(), end, ref);
    if (at == end || *at != ref) return;
    std::copy(at + 1, end, at);
    --count_;
  } else if (count_ == 1 && one_ == ref) {
    count_ = 0;
  }
  if (count_ == 0) Clear();
}

void Postings::AddTo(RefSet* set) const {
  roaring_bitmap_t* bitmap = Bitmap(set->bitmap_);
  switch (form_) {
    case Form::kInline:
      if (count_ == 1) roaring_bitmap_add(bitmap, one_);
      return;
    case Form::kArray:
      roaring_bitmap_add_many(bitmap, count_, array());
      return;
    case Form::kBitmap:
      roaring_bitmap_or_inplace(bitmap, Bitmap(data_));
      return;
  }
}

int64_t Postings::bytes() const {
  if (form_ == Form::kArray) return capacity_ * int64_t{sizeof(SeriesRef)};
  if (form_ == Form::kInline) return 0;
  return static_cast<int64_t>(
      roaring_bitmap_portable_size_in_bytes(Bitmap(data_)));
}

}  // namespace varve
