#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/status/status.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ingest/relabel.h"
#include "ingest/text_parser.h"
#include "storage/db.h"
#include "storage/labels.h"

namespace varve {

/// What decides how a line of a body becomes a series; constant for the life
/// of a ScrapeSeries.
struct SampleRules {
  Labels target_labels = {};
  bool honor_labels = false;
  bool honor_timestamps = true;
  bool track_timestamps_staleness = false;
  RelabelRules metric_relabel = {};
  NameScheme names = NameScheme::kUtf8;
  uint64_t label_limit = 0;
  uint64_t label_name_length_limit = 0;
  uint64_t label_value_length_limit = 0;
};

/// Counts of one body, as the scrape_* series report them.
struct ScrapeCounts {
  int64_t scraped = 0;       ///< samples in the body
  int64_t post_relabel = 0;  ///< those left after metric_relabel_configs
  int64_t series_added = 0;  ///< of these, not seen by the previous scrapes
  bool sample_limit_exceeded = false;
};

/// The labels of a series of a target: those exposed joined with the target's.
/// Without honor_labels the target's win and the exposed ones move to
/// exported_<name>.
Labels JoinTargetLabels(const Labels& exposed, const Labels& target,
                        bool honor_labels);

/// Names in a raw series text that have an empty value: `m{job="",a="b"}`.
/// With honor_labels they take away the target's label of that name; a
/// Pushgateway relies on it. Escapes in quoted names are left as they are.
std::vector<std::string> EmptyLabelNames(std::string_view raw);

/// The memory of one target between scrapes: which raw series text is which
/// series, which were there last time (so that those that went get a stale
/// marker), and the metadata seen. In the steady state a sample costs one
/// comparison with the text expected next: no label is parsed and nothing is
/// hashed. Single-thread.
class ScrapeSeries {
 public:
  explicit ScrapeSeries(SampleRules rules) : rules_(std::move(rules)) {}
  ScrapeSeries(const ScrapeSeries&) = delete;
  ScrapeSeries& operator=(const ScrapeSeries&) = delete;

  /// Turns a body into samples of appender->batch(), with stale markers for
  /// the tracked series that are not in it. On an error the batch holds nothing
  /// of the body and no series was created: the body is read to its end before
  /// new series are. Then the scrape counts as empty: call AppendEmpty.
  absl::Status Append(std::string_view body, TextFormat format,
                      int64_t timestamp_ms, uint64_t sample_limit,
                      Appender* appender, ScrapeCounts* counts);

  /// Stale markers for everything tracked.
  absl::Status AppendEmpty(int64_t timestamp_ms, Appender* appender);

  /// A series of our own making ("up"), with the target's labels. Not tracked:
  /// its stale marker is written by the one who appends it.
  absl::Status AppendReport(std::string_view name, int64_t timestamp_ms,
                            double value, Appender* appender);

  /// Whether a scrape of the target has been reported.
  bool was_reported() const { return !reports_.empty(); }
  /// Adds the refs that are alive after the last Append, report series
  /// included. For telling whether someone else feeds a series now.
  void CollectLive(std::vector<SeriesRef>* refs) const;

  /// The metadata seen in the last scrapes, by family.
  std::vector<std::pair<std::string, Metadata>> FamilyMetadata() const;

  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    std::string raw;
    FamilyType type = FamilyType::kUnknown;
    bool dropped = false;
    SeriesRef ref = kNoSeries;  // under `epoch`
    uint64_t epoch = 0;
    uint64_t seen = 0;            // iteration
    uint64_t tracked = 0;         // the last iteration that tracked it ...
    uint64_t tracked_before = 0;  // ... and the one before that
    Entry* next = nullptr;        // what followed it last time
  };
  struct Report {
    std::string name;
    SeriesRef ref = kNoSeries;
    uint64_t epoch = 0;
  };
  /// Lets maps with string keys be asked for views.
  struct TextHash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>()(text);
    }
  };
  struct FamilyEntry {
    Metadata metadata;
    uint64_t seen = 0;
    bool changed = false;
  };
  struct Body;

  absl::Status Parse(Body* body);
  absl::Status OnSample(const TextEntry& line, Body* body);
  void OnMetadata(const TextEntry& line);
  Entry* Lookup(std::string_view raw);
  absl::Status Admit(const TextEntry& line, Entry** entry, Body* body);
  absl::Status CheckLimits(const Labels& labels) const;
  absl::StatusOr<Labels> MakeLabels(std::string_view raw, FamilyType type,
                                    bool* dropped) const;
  void Track(Entry* entry, Body* body);
  absl::Status AddExemplar(const TextEntry& line, int64_t timestamp_ms,
                           Entry* entry, Body* body);
  absl::Status Resolve(Body* body, Appender* appender);
  absl::Status MarkStale(int64_t timestamp_ms, Appender* appender,
                         bool everything);
  absl::Status RefOf(Entry* entry, Appender* appender);
  void TakeMetadata(WriteBatch* batch);
  void Flush();

  SampleRules rules_;
  uint64_t iteration_ = 1;
  /// The iteration whose tracked entries are "there last time".
  uint64_t previous_ = ~uint64_t{0};
  size_t previous_count_ = 0;
  absl::flat_hash_map<std::string_view, std::unique_ptr<Entry>, TextHash,
                      std::equal_to<>>
      entries_;
  Entry* first_ = nullptr;  // what came first last time
  Entry* last_ = nullptr;   // the entry just seen, to be linked
  size_t seen_count_ = 0;   // entries seen in this iteration
  size_t count_at_success_ = 0;
  std::vector<Report> reports_;
  absl::flat_hash_map<std::string, FamilyEntry, TextHash, std::equal_to<>>
      families_;
};

}  // namespace varve
