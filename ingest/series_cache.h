#pragma once

#include <absl/base/thread_annotations.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "storage/mutex.h"
#include "storage/write_batch.h"

namespace varve {

/// Identifies the bytes from which a series was read: 96 bits of a keyed
/// XXH3-128, so that equal keys mean equal bytes.
struct SeriesKey {
  uint64_t low = 0;
  uint32_t high = 0;
  friend bool operator==(const SeriesKey&, const SeriesKey&) = default;
};

/// The key of `bytes`. The key of the hash is drawn once per process, so that a
/// sender cannot prepare collisions. `space` keeps apart uses whose equal bytes
/// mean different series, as the bytes of two scrape targets do.
SeriesKey MakeSeriesKey(std::string_view bytes, uint64_t space = 0);

/// Raw series bytes -> SeriesRef, so that known series cost neither parsing nor
/// a label set. An open-addressing table of 16-byte entries per shard: readers
/// take no lock but one shared gate per batch, and touch one cache line per
/// key, prefetched. Entries are only ever added; when the database's epoch
/// changes, all are dropped, and a shard at its bound starts over.
///
/// Thread-safe, under one condition: Find and Insert are called with the epoch
/// of an Appender that is alive, so that all callers have the same epoch.
class SeriesCache {
 public:
  /// Room for about `entries_max` entries (16 to 32 bytes each), taken as they
  /// come.
  explicit SeriesCache(size_t entries_max = size_t{8} << 20);
  ~SeriesCache();
  SeriesCache(const SeriesCache&) = delete;
  SeriesCache& operator=(const SeriesCache&) = delete;

  /// refs[i] = the series of keys[i], or kNoSeries. REQUIRES: equal sizes.
  void Find(uint64_t epoch, std::span<const SeriesKey> keys,
            std::span<SeriesRef> refs);
  SeriesRef FindOne(uint64_t epoch, const SeriesKey& key);
  /// Does nothing if the key is there.
  void Insert(uint64_t epoch, const SeriesKey& key, SeriesRef ref);

  size_t size() const;
  size_t bytes() const;

 private:
  /// A new epoch takes all their mutexes; TSan follows 64 locks per thread.
  static constexpr int kShardBits = 5;
  static constexpr size_t kShards = size_t{1} << kShardBits;

  /// low == 0 means free; a key whose low is 0 is stored as 1.
  struct Entry {
    std::atomic<uint64_t> low{0};
    std::atomic<uint64_t> high_and_ref{0};
  };
  struct Table {
    explicit Table(size_t slots);
    size_t slots;
    std::unique_ptr<Entry[]> entries;
  };
  struct Shard {
    mutable Mutex mutex;  // taken by writers; before gate_
    std::atomic<Table*> table{nullptr};
    size_t used ABSL_GUARDED_BY(mutex) = 0;
  };

  static size_t ShardOf(uint64_t low) { return low >> (64 - kShardBits); }
  static SeriesRef Probe(const Table* table, uint64_t low, uint32_t high);
  static bool Put(Table* table, uint64_t low, uint64_t high_and_ref);
  void Replace(Shard* shard, std::unique_ptr<Table> table)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard->mutex);
  void MakeRoom(Shard* shard) ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard->mutex);
  /// Takes all shards' mutexes, which the analysis cannot follow.
  void EnterEpoch(uint64_t epoch) ABSL_NO_THREAD_SAFETY_ANALYSIS;

  const size_t shard_entries_max_;
  /// Shared while tables are read, exclusive to free one.
  SharedMutex gate_;
  std::atomic<uint64_t> epoch_{0};
  std::array<Shard, kShards> shards_;
};

}  // namespace varve
