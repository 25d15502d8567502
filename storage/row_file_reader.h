#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "storage/file_system.h"

namespace varve {

/// One of the files in which RocksDB keeps rows, read by itself: for checking
/// it, and for saving what it holds when the store around it is damaged.
/// Single-thread.
class RowFileReader {
 public:
  /// DataLoss when it cannot be read at all.
  static absl::StatusOr<std::unique_ptr<RowFileReader>> Open(
      FileSystem* fs, const std::string& path);
  virtual ~RowFileReader() = default;

  /// Reads all of it and checks every checksum.
  virtual absl::Status Check() const = 0;
  /// nullopt when there is no such row, DataLoss when it cannot be read.
  virtual absl::StatusOr<std::optional<std::string>> Get(
      std::string_view key) const = 0;
  /// The first key, or the last when that cannot be read, or "".
  virtual std::string AKey() const = 0;
  /// Gives all rows that can be read up to the first that cannot.
  virtual absl::Status ForEach(
      const std::function<void(std::string_view key, std::string_view value)>&
          f) const = 0;
};

}  // namespace varve
