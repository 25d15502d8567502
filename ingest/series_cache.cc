#include "ingest/series_cache.h"

#include <xxhash.h>
#if defined(__x86_64__)
// The widest vectors that the machine has: half the time for a label set.
#include <xxh_x86dispatch.h>
#endif

#include <algorithm>
#include <random>
#include <utility>

#include "storage/check.h"

namespace varve {
namespace {

constexpr size_t kFirstSlots = 256;
/// Look-ups in flight: enough to hide memory, few enough to stay in L1.
constexpr size_t kPrefetchAhead = 16;

struct HashSecret {
  unsigned char bytes[XXH3_SECRET_SIZE_MIN];
  HashSecret() {
    std::random_device random;
    for (size_t i = 0; i < sizeof(bytes); i += sizeof(uint32_t)) {
      const uint32_t word = random();
      std::copy_n(reinterpret_cast<const unsigned char*>(&word), sizeof(word),
                  bytes + i);
    }
  }
};
static_assert(XXH3_SECRET_SIZE_MIN % sizeof(uint32_t) == 0);

size_t SlotOf(uint64_t low, size_t slots) {
  // The top bits choose the shard, so the rest is spread over the table.
  return static_cast<size_t>(
      (static_cast<unsigned __int128>(low << 6) * slots) >> 64);
}

uint64_t StoredLow(const SeriesKey& key) { return key.low == 0 ? 1 : key.low; }

}  // namespace

SeriesKey MakeSeriesKey(std::string_view bytes, uint64_t space) {
  static const HashSecret secret;
  const XXH128_hash_t hash = XXH3_128bits_withSecret(
      bytes.data(), bytes.size(), secret.bytes, sizeof(secret.bytes));
  constexpr uint64_t kSpread = 0x9e3779b97f4a7c15;
  return {hash.low64 ^ (space * kSpread), static_cast<uint32_t>(hash.high64)};
}

SeriesCache::Table::Table(size_t slots)
    : slots(slots), entries(std::make_unique<Entry[]>(slots)) {}

SeriesCache::SeriesCache(size_t entries_max)
    : shard_entries_max_(std::max(entries_max / kShards, size_t{128})) {}

SeriesCache::~SeriesCache() {
  for (Shard& shard : shards_) delete shard.table.load();
}

SeriesRef SeriesCache::Probe(const Table* table, uint64_t low, uint32_t high) {
  if (table == nullptr) return kNoSeries;
  for (size_t slot = SlotOf(low, table->slots);; ++slot) {
    if (slot == table->slots) slot = 0;
    const Entry& entry = table->entries[slot];
    const uint64_t found = entry.low.load(std::memory_order_acquire);
    if (found == 0) return kNoSeries;
    if (found != low) continue;
    const uint64_t rest = entry.high_and_ref.load(std::memory_order_relaxed);
    if (rest >> 32 == high) return static_cast<SeriesRef>(rest);
  }
}

/// False when an equal key is there.
bool SeriesCache::Put(Table* table, uint64_t low, uint64_t high_and_ref) {
  for (size_t slot = SlotOf(low, table->slots);; ++slot) {
    if (slot == table->slots) slot = 0;
    Entry& entry = table->entries[slot];
    const uint64_t found = entry.low.load(std::memory_order_relaxed);
    if (found == low &&
        entry.high_and_ref.load(std::memory_order_relaxed) >> 32 ==
            high_and_ref >> 32) {
      return false;
    }
    if (found != 0) continue;
    entry.high_and_ref.store(high_and_ref, std::memory_order_relaxed);
    entry.low.store(low, std::memory_order_release);
    return true;
  }
}

void SeriesCache::Replace(Shard* shard, std::unique_ptr<Table> table) {
  std::unique_ptr<Table> old(shard->table.exchange(table.release()));
  if (old == nullptr) return;
  // Readers that still see the old table hold the gate.
  WriterLock lock(&gate_);
  old.reset();
}

void SeriesCache::MakeRoom(Shard* shard) {
  const Table* table = shard->table.load(std::memory_order_relaxed);
  if (table == nullptr) {
    Replace(shard, std::make_unique<Table>(kFirstSlots));
    return;
  }
  if (shard->used >= shard_entries_max_) {
    Replace(shard, std::make_unique<Table>(table->slots));
    shard->used = 0;
    return;
  }
  if (shard->used * 4 < table->slots * 3) return;
  auto grown = std::make_unique<Table>(table->slots * 2);
  for (size_t i = 0; i < table->slots; ++i) {
    const Entry& entry = table->entries[i];
    const uint64_t low = entry.low.load(std::memory_order_relaxed);
    if (low != 0) {
      Put(grown.get(), low, entry.high_and_ref.load(std::memory_order_relaxed));
    }
  }
  Replace(shard, std::move(grown));
}

void SeriesCache::EnterEpoch(uint64_t epoch) {
  if (epoch_.load(std::memory_order_acquire) == epoch) return;
  // All tables go before the new epoch is visible, so that nobody who sees it
  // can find an old ref.
  for (Shard& shard : shards_) shard.mutex.Lock();
  if (epoch_.load(std::memory_order_relaxed) != epoch) {
    for (Shard& shard : shards_) {
      Replace(&shard, nullptr);
      shard.used = 0;
    }
    epoch_.store(epoch, std::memory_order_release);
  }
  for (Shard& shard : shards_) shard.mutex.Unlock();
}

void SeriesCache::Find(uint64_t epoch, std::span<const SeriesKey> keys,
                       std::span<SeriesRef> refs) {
  VARVE_CHECK(keys.size() == refs.size());
  EnterEpoch(epoch);
  ReaderLock lock(&gate_);
  std::array<const Table*, kShards> tables;
  for (size_t i = 0; i < kShards; ++i) {
    tables[i] = shards_[i].table.load(std::memory_order_acquire);
  }
  const auto prefetch = [&](size_t i) {
    const uint64_t low = StoredLow(keys[i]);
    const Table* table = tables[ShardOf(low)];
    if (table != nullptr) {
      __builtin_prefetch(&table->entries[SlotOf(low, table->slots)]);
    }
  };
  for (size_t i = 0; i < std::min(kPrefetchAhead, keys.size()); ++i) {
    prefetch(i);
  }
  for (size_t i = 0; i < keys.size(); ++i) {
    if (i + kPrefetchAhead < keys.size()) prefetch(i + kPrefetchAhead);
    const uint64_t low = StoredLow(keys[i]);
    refs[i] = Probe(tables[ShardOf(low)], low, keys[i].high);
  }
}

SeriesRef SeriesCache::FindOne(uint64_t epoch, const SeriesKey& key) {
  EnterEpoch(epoch);
  const uint64_t low = StoredLow(key);
  ReaderLock lock(&gate_);
  return Probe(shards_[ShardOf(low)].table.load(std::memory_order_acquire), low,
               key.high);
}

void SeriesCache::Insert(uint64_t epoch, const SeriesKey& key, SeriesRef ref) {
  EnterEpoch(epoch);
  const uint64_t low = StoredLow(key);
  Shard& shard = shards_[ShardOf(low)];
  MutexLock lock(&shard.mutex);
  MakeRoom(&shard);
  const uint64_t rest = uint64_t{key.high} << 32 | ref;
  if (Put(shard.table.load(std::memory_order_relaxed), low, rest)) {
    ++shard.used;
  }
}

size_t SeriesCache::size() const {
  size_t n = 0;
  for (const Shard& shard : shards_) {
    MutexLock lock(&shard.mutex);
    n += shard.used;
  }
  return n;
}

size_t SeriesCache::bytes() const {
  size_t n = sizeof(*this);
  for (const Shard& shard : shards_) {
    MutexLock lock(&shard.mutex);
    const Table* table = shard.table.load(std::memory_order_relaxed);
    if (table != nullptr) n += table->slots * sizeof(Entry);
  }
  return n;
}

}  // namespace varve
