#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "storage/sample.h"

namespace varve {

/// A series of the head. Local to the process; valid inside one Appender, and
/// beyond it as long as Db::series_epoch() stays what it was.
using SeriesRef = uint32_t;
inline constexpr SeriesRef kNoSeries = 0xffffffff;

/// What one scrape or one request writes; it becomes visible to queries as a
/// whole. Float samples stand in columns, since they are nearly all there is;
/// the order of samples of one series is the order in which they are applied.
/// Single-thread; a reused object keeps its memory.
struct WriteBatch {
  struct HistogramSample {
    SeriesRef ref;
    int64_t timestamp_ms;
    int64_t start_timestamp_ms;
    std::shared_ptr<const Histogram> histogram;
  };
  struct ExemplarSample {
    SeriesRef ref;
    Exemplar exemplar;
  };
  struct FamilyMetadata {
    std::string family;
    Metadata metadata;
  };

  // Float samples: equal lengths.
  std::vector<SeriesRef> refs;
  std::vector<int64_t> timestamps;
  std::vector<double> values;
  /// Empty, or as long as refs (kNoStartTimestamp where unknown).
  std::vector<int64_t> start_timestamps;

  std::vector<HistogramSample> histograms;
  std::vector<ExemplarSample> exemplars;
  std::vector<FamilyMetadata> metadata;

  void Add(SeriesRef ref, int64_t timestamp_ms, double value) {
    refs.push_back(ref);
    timestamps.push_back(timestamp_ms);
    values.push_back(value);
  }
  /// Number of samples, floats and histograms.
  size_t size() const { return refs.size() + histograms.size(); }
  void Clear() {
    refs.clear();
    timestamps.clear();
    values.clear();
    start_timestamps.clear();
    histograms.clear();
    exemplars.clear();
    metadata.clear();
  }
};

/// Why a sample was not stored.
enum class Rejection : uint8_t {
  kDuplicate,    ///< the same timestamp is there with another value
  kTooOld,       ///< older than the retention or the out-of-order window
  kTooFarAhead,  ///< more than 10 minutes ahead of the clock
  kHistogram,    ///< an invalid or out-of-order histogram
  kExemplar,     ///< an exemplar out of order, or a duplicate, or too long
};
std::string_view RejectionText(Rejection rejection);

struct WriteResult {
  struct Rejected {
    Rejection reason;
    SeriesRef ref;
    int64_t timestamp_ms;
  };

  int64_t samples_stored = 0;  ///< floats; exact repeats count as stored
  int64_t histograms_stored = 0;
  int64_t exemplars_stored = 0;
  int64_t rejected[5] = {};  ///< indexed by Rejection
  /// The first few rejected samples, to name in an answer; at most 10.
  std::vector<Rejected> examples;

  int64_t rejected_total() const {
    int64_t n = 0;
    for (int64_t r : rejected) n += r;
    return n;
  }
};

}  // namespace varve
