#pragma once

#include <absl/base/thread_annotations.h>

#include <cstdint>
#include <memory>
#include <string>

#include "api/varve.h"

namespace varve {

/// One query that has ended, well or not.
struct QueryLogEntry {
  std::string query;
  int64_t start_ms = 0;
  int64_t end_ms = 0;
  int64_t step_ms = 0;  ///< 0: an instant query
  std::string stats;    ///< the JSON object that the API's `stats` gives
  std::string error;    ///< "" if it went well
  std::string client;
  std::string method;
  std::string path;
};

/// The line that Prometheus writes to its query log, with a newline.
std::string QueryLogLine(const QueryLogEntry& entry, int64_t now_ms);

/// global.query_log_file: a JSON line per query. A log that cannot be written
/// costs a warning, never a query. Thread-safe.
class QueryLog {
 public:
  QueryLog(FileSystem* fs, const Clock* clock, Logger logger)
      : fs_(fs), clock_(clock), logger_(std::move(logger)) {}

  /// `settings` are those of now: when they change, the file is closed and
  /// opened again, so that a reload is what a rotation of logs needs.
  void Add(const QueryLogSettings& settings, const QueryLogEntry& entry);

 private:
  void Open() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  FileSystem* const fs_;
  const Clock* const clock_;
  const Logger logger_;
  Mutex mutex_;
  QueryLogSettings settings_ ABSL_GUARDED_BY(mutex_);
  /// Null: none is wanted, or it could not be opened.
  std::unique_ptr<WritableFile> file_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace varve
