#include "storage/series_table.h"

#include <algorithm>
#include <utility>

#include "storage/check.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

size_t StripeOf(uint64_t hash) { return hash >> 56; }
uint32_t TagOf(uint64_t hash) { return static_cast<uint32_t>(hash >> 24); }
/// The slot comes from the stored tag, so that growth reads no label set.
size_t SlotOf(uint32_t tag, size_t size) {
  return static_cast<size_t>((uint64_t{tag} * size) >> 32);
}

}  // namespace

std::span<const PairId> SeriesTable::PairsOf(SeriesRef ref) const {
  const SeriesLine* line = lines_.find(ref);
  if (line == nullptr) return {};
  const SlabArena::Handle handle = line->labels.load(std::memory_order_acquire);
  if (handle == SlabArena::kNull) return {};
  return memory_->PairsAt(handle);
}

template <typename Equal>
SeriesRef SeriesTable::FindIfLocked(const Stripe& stripe, uint64_t hash,
                                    const Equal& equal) const {
  const size_t size = stripe.entries.size();
  if (size == 0) return kNoSeries;
  const uint32_t tag = TagOf(hash);
  for (size_t i = SlotOf(tag, size);; i = i + 1 == size ? 0 : i + 1) {
    const Entry& entry = stripe.entries[i];
    if (entry.ref == kNoSeries) return kNoSeries;
    if (entry.tag == tag && entry.ref != kErased && equal(PairsOf(entry.ref))) {
      return entry.ref;
    }
  }
}

SeriesRef SeriesTable::FindLocked(const Stripe& stripe, uint64_t hash,
                                  const Labels& labels) const {
  return FindIfLocked(stripe, hash, [&](std::span<const PairId> pairs) {
    return memory_->index.Equal(pairs, labels);
  });
}

void SeriesTable::InsertLocked(Stripe* stripe, uint64_t hash, SeriesRef ref) {
  const auto place = [](std::vector<Entry>* entries, Entry entry) {
    const size_t size = entries->size();
    size_t i = SlotOf(entry.tag, size);
    while ((*entries)[i].ref != kNoSeries) i = i + 1 == size ? 0 : i + 1;
    (*entries)[i] = entry;
  };
  if ((stripe->used + 1) * 5 > stripe->entries.size() * 4) {
    std::vector<Entry> larger(
        std::max<size_t>(8, (stripe->live + 1) * 3 / 2 + 4),
        Entry{0, kNoSeries});
    for (const Entry& entry : stripe->entries) {
      if (entry.ref != kNoSeries && entry.ref != kErased) place(&larger, entry);
    }
    stripe->entries = std::move(larger);
    stripe->used = stripe->live;
  }
  place(&stripe->entries, {TagOf(hash), ref});
  ++stripe->used;
  ++stripe->live;
}

SeriesRef SeriesTable::TakeRef() {
  MutexLock lock(&refs_mutex_);
  // A damaged log can name the last ref of all; then there is room between.
  if (free_refs_.empty() && limit() == decltype(lines_)::kSizeMax) {
    VARVE_CHECK(!waiting_refs_.empty());
    free_refs_.push_back(waiting_refs_.front().first);
    waiting_refs_.pop_front();
  }
  if (!free_refs_.empty()) {
    RefRange& refs = free_refs_.back();
    const SeriesRef ref = refs.first++;
    if (refs.first == refs.end) free_refs_.pop_back();
    lines_.Ensure(ref);
    return ref;
  }
  const SeriesRef ref = limit_.load(std::memory_order_relaxed);
  lines_.Ensure(ref);
  limit_.store(ref + 1, std::memory_order_release);
  return ref;
}

void SeriesTable::ReturnRef(SeriesRef ref) {
  MutexLock lock(&refs_mutex_);
  free_refs_.push_back({ref, ref + 1});
}

void SeriesTable::CreateLocked(Stripe* stripe, SeriesRef ref, uint64_t hash,
                               const Labels& labels) {
  std::vector<PairId> ids;
  memory_->index.AddSeries(ref, labels, &ids, [&] { SetLine(ref, hash, ids); });
  InsertLocked(stripe, hash, ref);
  created_.fetch_add(1, std::memory_order_relaxed);
}

void SeriesTable::SetLine(SeriesRef ref, uint64_t hash,
                          std::span<const PairId> ids) {
  const SlabArena::Handle handle =
      memory_->labels.Allocate((ids.size() + 2) / 2);
  auto* at = reinterpret_cast<uint32_t*>(memory_->labels.at(handle));
  at[0] = static_cast<uint32_t>(ids.size());
  std::copy(ids.begin(), ids.end(), at + 1);
  SeriesLine& line = lines_.at(ref);
  {
    LineLock lock(&line);
    line.tail = GorillaTail();
    line.flags = 0;
    line.hash = static_cast<uint32_t>(hash >> 32);
  }
  line.labels.store(handle, std::memory_order_release);
}

void SeriesTable::CreateMany(std::span<const SeriesRef> refs,
                             std::span<const PairId> ids,
                             std::span<const size_t> ends,
                             std::span<const uint64_t> hashes,
                             std::vector<bool>* created) {
  created->assign(refs.size(), false);
  size_t begin = 0;
  for (size_t i = 0; i < refs.size(); begin = ends[i++]) {
    const auto pairs = ids.subspan(begin, ends[i] - begin);
    const SeriesRef ref = refs[i];
    if (ref >= decltype(lines_)::kSizeMax || pairs.size() > kLabelsMax) {
      continue;
    }
    Stripe& stripe = stripes_[StripeOf(hashes[i])];
    MutexLock lock(&stripe.mutex);
    const SeriesRef known =
        FindIfLocked(stripe, hashes[i], [&](std::span<const PairId> other) {
          return std::equal(pairs.begin(), pairs.end(), other.begin(),
                            other.end());
        });
    if (known != kNoSeries || !PairsOf(ref).empty()) continue;
    Reserve(ref);
    SetLine(ref, hashes[i], pairs);
    InsertLocked(&stripe, hashes[i], ref);
    created_.fetch_add(1, std::memory_order_relaxed);
    (*created)[i] = true;
  }
}

void SeriesTable::AwaitCreation() const {
  // A record is logged and its series created under the stripe's lock.
  for (const Stripe& stripe : stripes_) MutexLock lock(&stripe.mutex);
}

absl::StatusOr<SeriesRef> SeriesTable::Resolve(const Labels& labels,
                                               const Log& log) {
  const uint64_t hash = labels.Hash();
  Stripe& stripe = stripes_[StripeOf(hash)];
  MutexLock lock(&stripe.mutex);
  SeriesRef ref = FindLocked(stripe, hash, labels);
  if (ref != kNoSeries) return ref;
  if (labels.size() > kLabelsMax) {
    return InvalidArgument("a series has {} labels, at most {} are possible",
                           labels.size(), kLabelsMax);
  }
  ref = TakeRef();
  if (absl::Status status = log(ref, labels); !status.ok()) {
    ReturnRef(ref);
    return status;
  }
  CreateLocked(&stripe, ref, hash, labels);
  return ref;
}

SeriesRef SeriesTable::Find(const Labels& labels) const {
  const uint64_t hash = labels.Hash();
  const Stripe& stripe = stripes_[StripeOf(hash)];
  MutexLock lock(&stripe.mutex);
  return FindLocked(stripe, hash, labels);
}

absl::StatusOr<SeriesRef> SeriesTable::CreateAt(SeriesRef ref,
                                                const Labels& labels) {
  if (ref >= decltype(lines_)::kSizeMax || labels.size() > kLabelsMax) {
    return DataLoss("a series record has ref {} and {} labels", ref,
                    labels.size());
  }
  const uint64_t hash = labels.Hash();
  Stripe& stripe = stripes_[StripeOf(hash)];
  MutexLock lock(&stripe.mutex);
  const SeriesRef known = FindLocked(stripe, hash, labels);
  if (known != kNoSeries) return known;
  if (PairsOf(ref).empty()) {
    Reserve(ref);
  } else {
    ref = TakeRef();
  }
  CreateLocked(&stripe, ref, hash, labels);
  return ref;
}

void SeriesTable::Reserve(SeriesRef ref) {
  if (ref >= decltype(lines_)::kSizeMax) return;
  MutexLock lock(&refs_mutex_);
  lines_.Ensure(ref);
  if (ref >= limit_.load(std::memory_order_relaxed)) {
    limit_.store(ref + 1, std::memory_order_release);
  }
}

void SeriesTable::RecycleUnused(uint64_t segment) {
  SeriesRef unused = 0;  // all from here on
  const auto end_at = [&](SeriesRef ref) {
    if (unused < ref) RecycleRange({unused, ref}, segment);
    unused = ref + 1;
  };
  for (SeriesRef ref = SkipUnused(0); ref < limit();
       ref = SkipUnused(ref + 1)) {
    if (!PairsOf(ref).empty()) end_at(ref);
  }
  end_at(limit());
}

void SeriesTable::Remove(SeriesRef ref, SlabArena::Handle* labels,
                         std::vector<PairId>* unused_pairs) {
  SeriesLine& line = lines_.at(ref);
  const auto pairs = PairsOf(ref);
  const uint64_t hash = memory_->index.LabelsOf(pairs).Hash();
  Stripe& stripe = stripes_[StripeOf(hash)];
  MutexLock lock(&stripe.mutex);
  const size_t size = stripe.entries.size();
  for (size_t i = SlotOf(TagOf(hash), size);; i = i + 1 == size ? 0 : i + 1) {
    VARVE_CHECK(stripe.entries[i].ref != kNoSeries);
    if (stripe.entries[i].ref == ref) {
      stripe.entries[i].ref = kErased;
      --stripe.live;
      break;
    }
  }
  memory_->index.RemoveSeries(ref, pairs, unused_pairs);
  *labels = line.labels.exchange(SlabArena::kNull, std::memory_order_acq_rel);
  removed_.fetch_add(1, std::memory_order_relaxed);
}

void SeriesTable::Recycle(SeriesRef ref, uint64_t segment) {
  RecycleRange({ref, ref + 1}, segment);
}

void SeriesTable::RecycleRange(RefRange refs, uint64_t segment) {
  MutexLock lock(&refs_mutex_);
  waiting_refs_.emplace_back(refs, segment);
}

void SeriesTable::LogWasCutBefore(uint64_t segment) {
  MutexLock lock(&refs_mutex_);
  while (!waiting_refs_.empty() && waiting_refs_.front().second < segment) {
    free_refs_.push_back(waiting_refs_.front().first);
    waiting_refs_.pop_front();
  }
}

int64_t SeriesTable::bytes() const {
  int64_t bytes = lines_.bytes();
  for (const Stripe& stripe : stripes_) {
    MutexLock lock(&stripe.mutex);
    bytes += static_cast<int64_t>(stripe.entries.size() * sizeof(Entry));
  }
  return bytes;
}

}  // namespace varve
