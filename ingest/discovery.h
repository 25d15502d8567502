#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "ingest/scrape_config.h"
#include "storage/clock.h"
#include "storage/log.h"

namespace varve {

/// Parses the content of a file of file discovery; `path` decides by its
/// extension between JSON and YAML, names the groups' sources, and stands in
/// front of messages. Every group gets the label __meta_filepath.
absl::StatusOr<std::vector<TargetGroup>> ParseTargetFile(
    std::string_view text, const std::string& path);

/// The target groups of one file_sd_config. Single-thread.
///
/// Files are looked at on every Poll() and read when they have changed (also
/// through a swapped symlink), and all are read anew every refresh interval. A
/// file that cannot be read or parsed keeps its last good groups; the groups of
/// a file that is gone are gone.
class FileDiscovery {
 public:
  FileDiscovery(FileSdConfig config, Clock* clock, Logger logger);

  /// Returns whether the groups may have changed.
  bool Poll();
  std::vector<TargetGroup> Groups() const;
  /// Files that were refused so far, counted once per read.
  int64_t errors() const { return errors_; }

 private:
  struct File {
    std::string signature;
    std::vector<TargetGroup> groups;
  };

  bool Refresh(const std::string& path, bool force);

  FileSdConfig config_;
  Clock* clock_;
  Logger logger_;
  std::map<std::string, File> files_;
  int64_t next_refresh_ms_ = 0;
  int64_t errors_ = 0;
};

}  // namespace varve
