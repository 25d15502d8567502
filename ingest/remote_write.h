#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/status/statusor.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ingest/series_cache.h"
#include "storage/db.h"
#include "storage/mutex.h"

namespace varve {

/// The answer to one POST /api/v1/write.
struct RemoteWriteResult {
  /// 204 everything is stored; 400 the message cannot be read, or some of it
  /// was rejected and the rest is stored; 413 too large; 415 wrong type or
  /// encoding; 503 the storage takes nothing now, send it again; 500 our bug.
  int http_status = 204;
  /// The body of the answer; empty with 204.
  std::string text;
  int64_t samples_stored = 0;
  int64_t histograms_stored = 0;
  int64_t exemplars_stored = 0;
  int64_t samples_rejected = 0;  ///< floats and histograms
  int64_t exemplars_rejected = 0;
  /// The sender is of 2.0 and wants to be told what was stored.
  bool counts_asked = false;
};

/// Totals since the start, for /metrics.
struct RemoteWriteStats {
  int64_t requests = 0;
  int64_t requests_failed = 0;  ///< answered with anything but 204
  int64_t samples = 0;          ///< received, stored or not
  int64_t samples_rejected = 0;
  int64_t exemplars = 0;
  int64_t series_missed = 0;  ///< series that the cache did not know
  int64_t cache_entries = 0;
  int64_t cache_bytes = 0;
};

struct RemoteWriteOptions {
  /// Starts a write; for a Db: [db] { return db->BeginAppend(); }.
  std::function<std::unique_ptr<Appender>()> begin_append;
  /// A message that is larger once decompressed is refused before memory is
  /// taken for it.
  size_t decoded_bytes_max = size_t{64} << 20;
  size_t cache_entries_max = size_t{8} << 20;
};

/// Remote write 1.0 and 2.0, receiving side. A known series costs a hash of its
/// raw label bytes (2.0: of its symbols) and one look-up. Series are taken or
/// rejected one by one: an invalid one does not stop the others. Rejected
/// exemplars are counted, but do not make the answer a failure, as in
/// Prometheus. Thread-safe.
class RemoteWriter {
 public:
  explicit RemoteWriter(RemoteWriteOptions options);
  ~RemoteWriter();
  RemoteWriter(const RemoteWriter&) = delete;
  RemoteWriter& operator=(const RemoteWriter&) = delete;

  /// `body` is the snappy-compressed message; the first two are the request's
  /// headers, empty when absent (which is then not an error).
  RemoteWriteResult Write(std::string_view content_type,
                          std::string_view content_encoding,
                          std::string_view body);

  RemoteWriteStats Stats() const;

 private:
  struct Scratch;
  class Request;

  std::unique_ptr<Scratch> TakeScratch();
  void ReturnScratch(std::unique_ptr<Scratch> scratch);

  const RemoteWriteOptions options_;
  SeriesCache cache_;
  Mutex mutex_;
  std::vector<std::unique_ptr<Scratch>> idle_ ABSL_GUARDED_BY(mutex_);
  std::atomic<int64_t> requests_{0};
  std::atomic<int64_t> requests_failed_{0};
  std::atomic<int64_t> samples_{0};
  std::atomic<int64_t> samples_rejected_{0};
  std::atomic<int64_t> exemplars_{0};
  std::atomic<int64_t> series_missed_{0};
};

}  // namespace varve
