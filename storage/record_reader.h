#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "storage/file_system.h"
#include "storage/wal.h"

namespace varve {

/// Walks the records of one file of the log (a segment or a checkpoint), which
/// may be damaged, with a window of its bytes in memory. Where no good record
/// stands it goes on to the next one. Single-thread.
class RecordReader {
 public:
  /// `file` outlives this and is `size` bytes long; `number` is in its name.
  RecordReader(const RandomAccessFile* file, uint64_t size, uint64_t number)
      : file_(file), size_(size), number_(number) {}

  /// The first bytes, as many as a header has or the file. Before Next().
  absl::StatusOr<std::string_view> Header();
  /// They are a header: the records begin after it.
  void SkipHeader();

  /// The next intact record, or false at the end. The payload is valid until
  /// the next call. An error is one of the disk.
  absl::StatusOr<bool> Next(WalRecordType* type, std::string_view* payload);

  /// The end of the last intact record.
  uint64_t good_end() const { return good_end_; }
  /// Of the bytes looked at.
  uint64_t offset() const { return at_; }
  /// Bad stretches before the last intact record, and after it.
  int64_t corruptions() const { return corruptions_; }
  int64_t bad_at_end() const { return bad_; }

 private:
  /// The next `bytes` bytes, or fewer when the file ends before.
  absl::StatusOr<std::string_view> Peek(size_t bytes);

  const RandomAccessFile* const file_;
  const uint64_t size_;
  const uint64_t number_;
  std::string window_;
  uint64_t window_at_ = 0;  ///< where it begins in the file
  uint64_t at_ = 0;
  uint64_t good_end_ = 0;
  int64_t corruptions_ = 0;
  int64_t bad_ = 0;
};

}  // namespace varve
