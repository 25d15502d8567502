#pragma once

#include <absl/base/thread_annotations.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "api/varve.h"

namespace varve {

/// The queries that run now, for those who want to see or end them.
/// Thread-safe.
class QueryRegistry {
 public:
  struct Info {
    int64_t id = 0;  ///< never used twice in a process
    std::string query;
    std::string path;    ///< of the request
    std::string client;  ///< address
    int64_t age_ns = 0;
    int64_t samples = 0;  ///< loaded so far
    int64_t bytes = 0;    ///< held now
  };

  /// Lists a query for as long as it lives. `context` and `registry` must live
  /// longer.
  class Running {
   public:
    Running(QueryRegistry* registry, QueryContext* context, std::string query,
            std::string path, std::string client);
    ~Running();
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;

   private:
    QueryRegistry* const registry_;
    int64_t id_;
  };

  /// By age, the oldest first.
  std::vector<Info> List() const;
  /// False when no such query runs. It ends at its next check, some
  /// milliseconds later.
  bool Cancel(int64_t id);

 private:
  struct Entry {
    QueryContext* context;
    int64_t began_ns;  ///< of the context's clock, monotonic
    Info info;
  };

  mutable Mutex mutex_;
  int64_t last_id_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<int64_t, Entry> running_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace varve
