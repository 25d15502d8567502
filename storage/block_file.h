#pragma once

#include <absl/status/statusor.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "storage/file_system.h"

namespace varve {

// The container of a block: a file of sections, found through a table at its
// end (storage/block.md). It knows nothing of series and samples.
//
//   header | section | section | ... | table | trailer
//
// A section is `whole` (read at once, one CRC) or `paged`: a stream of bytes
// with one CRC per 16 KiB page, so that a part of it can be read and checked.

inline constexpr uint16_t kBlockFileVersion = 1;
inline constexpr uint32_t kBlockPageBytes = 16 << 10;

/// What a section holds. New kinds may be added; a reader that does not know
/// one refuses the file if the section is marked as needed.
enum class SectionKind : uint32_t {
  kMeta = 1,       ///< what the block is, whole
  kData = 2,       ///< timestamp columns and chunks, paged
  kDirectory = 3,  ///< per group of series, where its chunks are, paged
  kGroups = 4,     ///< where in the directory each group stands, whole
  // Of portable blocks only.
  kIndex = 5,        ///< index rows, in groups, paged
  kIndexGroups = 6,  ///< where each of these groups stands, whole
};

/// Single-thread.
class BlockFileWriter {
 public:
  /// Starts a new file; it is removed by the destructor unless Finish() was
  /// called.
  static absl::StatusOr<std::unique_ptr<BlockFileWriter>> Create(
      FileSystem* fs, const std::string& path);
  ~BlockFileWriter();

  /// Sections are written one after the other. AppendPaged may be called many
  /// times between Begin and End.
  void BeginPaged(SectionKind kind);
  absl::Status AppendPaged(std::string_view bytes);
  absl::Status EndPaged();
  absl::Status AddWhole(SectionKind kind, std::string_view bytes);
  /// Writes table and trailer, syncs and closes; the file's size.
  absl::StatusOr<uint64_t> Finish();

 private:
  struct Section {
    SectionKind kind;
    bool paged = false;
    uint64_t offset = 0;
    uint64_t size = 0;
    uint32_t crc = 0;
  };

  BlockFileWriter(FileSystem* fs, std::string path,
                  std::unique_ptr<WritableFile> file);
  absl::Status Write(std::string_view bytes);
  absl::Status Flush();

  FileSystem* const fs_;
  const std::string path_;
  const std::unique_ptr<WritableFile> file_;
  bool finished_ = false;
  std::string buffer_;
  uint64_t offset_ = 0;  // of the file, buffer included
  std::vector<Section> sections_;
  // Of the paged section that is open.
  uint32_t page_crc_ = 0;
  uint64_t page_bytes_ = 0;
  std::string page_crcs_;
};

/// A stream of bytes with a CRC per page. Thread-safe.
class PagedSection {
 public:
  uint64_t size() const { return size_; }
  /// Bytes [offset, offset + size) into `out`, from the pages around them;
  /// pages that are read for the first time are checked. DataLoss names file,
  /// offset, expected and found CRC.
  absl::Status Read(uint64_t offset, size_t size, std::string* out) const;
  /// As Read, of whole pages: REQUIRES that [offset, offset + size) begins and
  /// ends at page boundaries or at the section's end.
  absl::Status ReadPages(uint64_t offset, size_t size, std::string* out) const;

 private:
  friend class BlockFile;

  absl::Status CheckPage(uint64_t page, std::string_view bytes) const;

  const class BlockFile* file_ = nullptr;
  uint64_t offset_ = 0;
  uint64_t size_ = 0;
  std::vector<uint32_t> crcs_;
  /// Pages whose CRC was right once, one bit each.
  mutable std::vector<std::atomic<uint64_t>> checked_;
};

/// Thread-safe.
class BlockFile {
 public:
  /// Reads and checks header, table and page CRCs. DataLoss when the file is
  /// damaged, Unimplemented when a newer version wrote it.
  static absl::StatusOr<std::unique_ptr<BlockFile>> Open(
      FileSystem* fs, const std::string& path);

  const std::string& path() const { return path_; }
  uint64_t size() const { return size_; }
  /// Reads the whole file: calls `f` for every section or page whose CRC is
  /// wrong and for bytes that belong to none.
  void Check(const std::function<void(const absl::Status&)>& f) const;
  /// DataLoss when there is no such section.
  absl::StatusOr<std::string> ReadWhole(SectionKind kind) const;
  absl::StatusOr<std::unique_ptr<PagedSection>> OpenPaged(
      SectionKind kind) const;

 private:
  friend class PagedSection;
  struct Section {
    bool paged = false;
    uint64_t offset = 0;
    uint64_t size = 0;
    uint32_t crc = 0;
  };

  BlockFile(std::string path, std::unique_ptr<RandomAccessFile> file,
            uint64_t size)
      : path_(std::move(path)), file_(std::move(file)), size_(size) {}
  absl::Status ReadTable();
  absl::Status ParseTable(std::string_view table, uint64_t table_offset);
  absl::StatusOr<std::string> ReadChecked(std::string_view what,
                                          uint64_t offset, uint64_t size,
                                          uint32_t crc) const;
  absl::StatusOr<const Section*> Find(SectionKind kind, bool paged) const;

  const std::string path_;
  const std::unique_ptr<RandomAccessFile> file_;
  absl::Status CheckSection(
      uint32_t kind, const Section& section,
      const std::function<void(const absl::Status&)>& f) const;

  const uint64_t size_;
  uint64_t table_offset_ = 0;
  std::map<uint32_t, Section> sections_;  // those of unknown kinds too
};

}  // namespace varve
