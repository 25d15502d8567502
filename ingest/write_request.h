#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ingest/series_cache.h"
#include "storage/histogram.h"
#include "storage/labels.h"
#include "storage/sample.h"

namespace varve {

/// What a remote-write message says, without message objects: labels stay raw
/// bytes until somebody needs them. Views point into the message or into
/// `joined`. A reused object keeps its memory.
struct WriteRequest {
  using Symbols = std::vector<std::string_view>;

  struct Series {
    SeriesKey key;  ///< of what `labels` stands for
    /// 1.0: the label fields of the TimeSeries as they stand. 2.0: packed
    /// references to `symbols`, name and value in turn.
    std::string_view labels;
    uint32_t samples_end = 0;  ///< its samples begin where the previous end
  };
  struct HistogramSample {
    uint32_t series = 0;
    int64_t timestamp_ms = 0;
    int64_t start_timestamp_ms = kNoStartTimestamp;
    /// Null when it was invalid; then `error` says why.
    std::shared_ptr<const Histogram> histogram;
    std::string error;
  };
  struct ExemplarSample {
    uint32_t series;
    int64_t timestamp_ms;
    double value;
    std::string_view labels;  ///< raw, as of a series
  };
  struct FamilyMetadata {
    std::string family;
    Metadata metadata;
  };

  std::vector<Series> series;
  std::vector<int64_t> timestamps;
  std::vector<double> values;
  /// Empty, or as long as `timestamps` (kNoStartTimestamp where unknown).
  std::vector<int64_t> start_timestamps;
  std::vector<HistogramSample> histograms;
  std::vector<ExemplarSample> exemplars;
  std::vector<FamilyMetadata> metadata;
  /// Label fields of series that did not have them in one piece.
  std::deque<std::string> joined;
  bool by_symbols = false;  ///< a message of 2.0
  Symbols symbols;

  /// For the functions that decode labels of this message.
  const Symbols* symbol_table() const {
    return by_symbols ? &symbols : nullptr;
  }
  void Clear();
};

/// What one message may hold: samples count once, whatever takes more memory
/// than a sample counts more often. A field of two bytes can become an object
/// of hundreds, so the size of the message alone is no bound.
inline constexpr int64_t kWriteRequestItemsMax = int64_t{2} << 20;

/// Reads the message prometheus.WriteRequest. Unknown fields are skipped.
/// InvalidArgument names the offset and what was expected there;
/// ResourceExhausted: more than kWriteRequestItemsMax.
absl::Status WalkWriteRequest(std::string_view message, WriteRequest* out);

/// The same for io.prometheus.write.v2.Request. The key of a series is made of
/// its symbols' texts, so that it is the same in every message. A start time of
/// the whole series (created_timestamp, of drafts of the format) is that of all
/// its samples without one.
absl::Status WalkWriteRequestV2(std::string_view message, WriteRequest* out);

/// Raw label fields -> label set, by Prometheus's rules: any order; valid UTF-8
/// everywhere; names not empty and not twice; a metric name; an empty value
/// means an absent label. InvalidArgument says which label is wrong.
/// `symbols`: what references refer to; null: label fields.
absl::StatusOr<Labels> DecodeSeriesLabels(
    std::string_view raw, const WriteRequest::Symbols* symbols = nullptr);

/// The same for exemplars, which have no metric name and may have no labels.
absl::StatusOr<Labels> DecodeExemplarLabels(
    std::string_view raw, const WriteRequest::Symbols* symbols = nullptr);

/// Raw label fields as text for a message, whatever is wrong with them; cut
/// after about 200 bytes.
std::string RawLabelsText(std::string_view raw,
                          const WriteRequest::Symbols* symbols = nullptr);

/// Buckets of one sign that a histogram may have.
inline constexpr size_t kHistogramBucketsMax = size_t{1} << 16;

/// Reads a Histogram (of 1.0 or 2.0) and checks it: spans match buckets, no
/// negative counts, the count fits the buckets. InvalidArgument says what is
/// wrong with it; DataLoss that it is no protobuf.
absl::StatusOr<std::shared_ptr<const Histogram>> DecodeHistogram(
    std::string_view message, int64_t* timestamp_ms,
    int64_t* start_timestamp_ms = nullptr);

}  // namespace varve
