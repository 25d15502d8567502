#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "storage/checkpoint_record.h"
#include "storage/file_system.h"
#include "storage/findings.h"
#include "storage/manifest.h"
#include "storage/wal.h"

namespace varve {

/// The files of a log that a start would read.
struct WalFiles {
  struct File {
    std::string name;
    uint64_t number = 0;  ///< in its header and name
    bool is_segment = true;
    bool is_checkpoint = false;
  };
  std::vector<File> files;           ///< in the order of reading
  std::vector<std::string> others;   ///< redundant or unfinished
  std::vector<std::string> unknown;  ///< none of ours

  /// The number of the last segment that is there, or that a checkpoint stands
  /// for.
  uint64_t last() const {
    if (files.empty()) return 0;
    return files.back().number - (files.back().is_segment ? 0 : 1);
  }
};
absl::StatusOr<WalFiles> ListWalFiles(FileSystem* fs,
                                      const std::string& directory);

/// Reads one file of a log, whose name says of what kind it is, and changes
/// nothing; of its bytes a window is in memory, of a record's length at least.
/// FailedPrecondition when a newer version wrote it.
struct WalFileWalk {
  std::function<void(WalRecordType, std::string_view payload, uint64_t offset)>
      on_record;
  /// Bytes that are no records; also those at the end.
  std::function<void(uint64_t offset, uint64_t bytes)> on_bad;
};
absl::Status WalkWalFile(FileSystem* fs, const std::string& path,
                         uint64_t number, const WalFileWalk& walk);

/// Which samples of a log a replay leaves out, since they stand in blocks.
class SealedTimes {
 public:
  SealedTimes() = default;
  explicit SealedTimes(const Manifest& manifest);
  bool Cover(uint64_t segment, int64_t time_ms) const;

 private:
  std::map<int64_t, uint64_t> marks_;
  int64_t window_ms_ = 0;
};

/// What the records of a log say, as far as a check needs it. Records are added
/// in the order of a replay. Single-thread.
class WalMeaning {
 public:
  /// `sealed` outlives this.
  explicit WalMeaning(const SealedTimes* sealed) : sealed_(sealed) {}

  /// "" or what is wrong with the record. Segment 0: before all segments.
  std::string Add(uint64_t segment, WalRecordType type,
                  std::string_view payload);
  /// Whether a sample of the series would be replayed.
  bool Knows(SeriesRef ref) const { return series_.contains(ref); }
  int64_t series() const { return static_cast<int64_t>(series_.size()); }
  int64_t samples() const { return samples_; }

 private:
  std::string AddSeries(std::string_view payload);
  std::string AddHeadSeries(std::string_view payload);
  /// "" or what is wrong about a ref that names a series.
  std::string SetSeries(SeriesRef ref, uint64_t hash);

  const SealedTimes* const sealed_;
  absl::flat_hash_map<SeriesRef, uint64_t> series_;  // hash of the labels
  int64_t samples_ = 0;
  WriteBatch batch_;
  CheckpointDecoder decoder_;
};

struct WalCounts {
  int64_t files = 0;
  int64_t records = 0;
  int64_t series = 0;
  int64_t samples = 0;
};
/// Checks the log in a directory; an error is one of the disk or of a version.
absl::Status VerifyWal(FileSystem* fs, const std::string& directory,
                       const SealedTimes& sealed, Findings* findings,
                       WalCounts* counts);

}  // namespace varve
