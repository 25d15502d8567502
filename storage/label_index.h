#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "storage/labels.h"
#include "storage/matcher.h"
#include "storage/mutex.h"
#include "storage/paged_array.h"
#include "storage/postings.h"
#include "storage/query_context.h"
#include "storage/string_hash.h"

namespace varve {

/// An interned (name, value), by number.
using PairId = uint32_t;

/// The labels of the head's series: every pair stands once, with the list of
/// the series that carry it.
///
/// Thread-safe. pair() takes no lock: a PairId learned from a series may be
/// read as long as that series cannot be reclaimed (see Reclaimer), since
/// removed pairs are reclaimed after their series.
class LabelIndex {
 public:
  LabelIndex() = default;
  ~LabelIndex();
  LabelIndex(const LabelIndex&) = delete;
  LabelIndex& operator=(const LabelIndex&) = delete;

  /// Interns the labels and enters the series in their lists; `ids` gets the
  /// pairs in the labels' order. `publish` runs under the same lock, before
  /// any matcher can find the series.
  template <typename Publish>
  void AddSeries(SeriesRef ref, const Labels& labels, std::vector<PairId>* ids,
                 const Publish& publish) {
    WriterLock lock(&mutex_);
    Intern(labels, ids);
    publish();
    Enter(ref, *ids);
  }
  /// Interns many pairs under one lock. RemoveUnused() takes back those that no
  /// series got.
  void InternPairs(std::span<const LabelView> pairs, PairId* ids);
  /// Enters series whose pairs are interned: `pairs` are all of them, and
  /// `positions` (in `pairs`) those of the first series, then of the second,
  /// ...; `ends` says where each series' end.
  void EnterMany(std::span<const SeriesRef> refs, std::span<const PairId> pairs,
                 std::span<const uint32_t> positions,
                 std::span<const size_t> ends);
  /// REQUIRES: nobody is between InternPairs and EnterMany.
  void RemoveUnused();

  /// Takes the series out of its lists. Pairs that no series has any more are
  /// added to `unused`; their text stays readable until FreePairs.
  void RemoveSeries(SeriesRef ref, std::span<const PairId> ids,
                    std::vector<PairId>* unused);
  void FreePairs(std::span<const PairId> ids);

  LabelView pair(PairId id) const {
    const Pair& p = pairs_.at(id);
    return {p.name->text, {p.value, p.value_size}};
  }
  /// Labels from their pairs.
  Labels LabelsOf(std::span<const PairId> ids) const;
  /// labels.Compare over lists of pairs.
  bool Less(std::span<const PairId> a, std::span<const PairId> b) const;
  bool Equal(std::span<const PairId> ids, const Labels& labels) const;

  /// Series created so far; see CreatedSince.
  uint64_t created() const;
  /// The series created after `created` said `since`; false when there were
  /// too many to remember.
  bool CreatedSince(uint64_t since, std::vector<SeriesRef>* refs) const;

  /// The series that match, ascending. `labels_of` gives the pairs of a series
  /// (empty when it is gone). The caller pins what is reclaimed.
  using LabelsOfRef = std::span<const PairId> (*)(const void* owner,
                                                  SeriesRef ref);
  absl::StatusOr<std::vector<SeriesRef>> Match(
      QueryContext& context, std::span<const Matcher> matchers,
      const void* owner, LabelsOfRef labels_of) const;
  bool Matches(std::span<const PairId> ids,
               std::span<const Matcher> matchers) const;

  /// Names and values that any series has now, sorted.
  std::vector<std::string> Names() const;
  std::vector<std::string> Values(std::string_view name) const;

  struct PairCount {
    std::string name;
    std::string value;
    int64_t series = 0;
  };
  struct NameCount {
    std::string name;
    int64_t values = 0;
    int64_t bytes = 0;  ///< of the values' text, once per series
  };
  void Count(std::vector<PairCount>* pairs,
             std::vector<NameCount>* names) const;
  int64_t bytes() const;

 private:
  struct Name {
    std::string text;
    absl::flat_hash_map<std::string_view, PairId, StringHash, StringEqual>
        values;
  };
  struct Pair {
    const Name* name = nullptr;
    const char* value = nullptr;
    uint32_t value_size = 0;
    uint32_t spare = 0;
    Postings postings;
  };
  static_assert(sizeof(Pair) == 40);
  struct Query;

  void Intern(const Labels& labels, std::vector<PairId>* ids)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  PairId InternPair(std::string_view name, std::string_view value)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void NoteCreated(SeriesRef ref) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Enter(SeriesRef ref, std::span<const PairId> ids)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Name* FindName(std::string_view name) const
      ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<RefSet> SetOf(QueryContext& context, const Matcher& matcher,
                               bool complement) const;

  static constexpr size_t kRecentMax = size_t{1} << 16;

  mutable SharedMutex mutex_;
  absl::flat_hash_map<std::string_view, std::unique_ptr<Name>, StringHash,
                      StringEqual>
      names_ ABSL_GUARDED_BY(mutex_);
  /// Names and values are written before the pair's id is given out, and
  /// postings under mutex_ only.
  PagedArray<Pair, 12, (size_t{1} << 18)> pairs_;
  PairId next_pair_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<PairId> free_pairs_ ABSL_GUARDED_BY(mutex_);
  RefSet all_ ABSL_GUARDED_BY(mutex_);
  /// The last kRecentMax series created, a ring.
  std::vector<SeriesRef> recent_ ABSL_GUARDED_BY(mutex_);
  uint64_t created_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t text_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace varve
