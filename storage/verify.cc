#include "storage/verify.h"

#include <algorithm>
#include <map>
#include <memory>

#include "storage/block_builder.h"
#include "storage/block_rows.h"
#include "storage/db_directory.h"
#include "storage/manifest.h"
#include "storage/row_file_reader.h"
#include "storage/row_store.h"
#include "storage/status_macros.h"
#include "storage/verify_block.h"
#include "storage/verify_wal.h"

namespace varve {
namespace {

/// Small: what is read is read once.
constexpr size_t kCacheBytes = size_t{8} << 20;

class Verifier {
 public:
  explicit Verifier(const VerifyOptions& options)
      : fs_(options.fs),
        directory_(options.directory),
        index_(directory_ + "/index"),
        blocks_(directory_ + "/blocks"),
        findings_(options.on_finding) {}

  absl::StatusOr<VerifySummary> Run() {
    VARVE_ASSIGN_OR_RETURN(const auto lock, LockForReading(fs_, directory_));
    const std::string marker = directory_ + "/VARVE";
    if (const absl::Status s = CheckMarker(fs_, directory_);
        absl::IsFailedPrecondition(s)) {
      return s;
    } else if (!s.ok()) {
      findings_.Damage(marker, s);
    }
    OpenRows();
    VARVE_RETURN_IF_ERROR(CheckIndexFiles());
    VARVE_RETURN_IF_ERROR(CheckBlocks());
    VARVE_RETURN_IF_ERROR(CheckWal());
    summary_.damages = findings_.damages();
    summary_.notes = findings_.notes();
    return summary_;
  }

 private:
  /// RocksDB's files of rows: all that it names are there, and each by itself
  /// is good.
  absl::Status CheckIndexFiles() {
    std::map<std::string, uint64_t> live;
    if (rows_ != nullptr) {
      for (const RowStore::File& file : rows_->Files()) {
        live[file.name] = file.size;
      }
    }
    const auto files = fs_->List(index_);
    if (absl::IsNotFound(files.status())) return absl::OkStatus();
    VARVE_RETURN_IF_ERROR(files.status());
    for (const FileInfo& file : *files) {
      if (!file.name.ends_with(".sst")) continue;
      const auto named = live.find(file.name);
      if (rows_ != nullptr && named == live.end()) {
        findings_.Note(index_ + "/" + file.name, "belongs to nothing any more");
        continue;
      }
      if (named != live.end()) {
        CheckSize(file, named->second);
        live.erase(named);
      }
      const std::string path = index_ + "/" + file.name;
      const auto reader = RowFileReader::Open(fs_, path);
      const absl::Status s = reader.ok() ? (*reader)->Check() : reader.status();
      if (!s.ok()) findings_.Damage(path, s);
    }
    for (const auto& [name, size] : live) {
      findings_.Damage(index_ + "/" + name, "is missing");
    }
    return absl::OkStatus();
  }

  void CheckSize(const FileInfo& file, uint64_t expected) {
    if (file.size == expected) return;
    findings_.Damage(
        index_ + "/" + file.name,
        fmt::format("has {} bytes and should have {}", file.size, expected));
  }

  /// Leaves rows_ null when there is no way in.
  void OpenRows() {
    RowStoreOptions options;
    options.directory = index_;
    options.fs = fs_;
    options.cache_bytes = kCacheBytes;
    options.read_only = true;
    auto rows = RowStore::Open(options);
    if (!rows.ok()) {
      findings_.Damage(index_, rows.status());
      return;
    }
    rows_ = *std::move(rows);
    if (!rows_->damage().ok()) findings_.Damage(index_, rows_->damage());
    CheckGuard();
    const auto is_new = ManifestIsNew(*rows_);
    if (is_new.ok() && *is_new) {
      findings_.Damage(index_, "the manifest is empty");
      return;
    }
    auto manifest = ReadManifest(rows_.get());
    if (!manifest.ok()) {
      findings_.Damage(index_, manifest.status());
      return;
    }
    manifest_ = *std::move(manifest);
    has_manifest_ = true;
  }

  void CheckGuard() {
    const auto guard = ReadGuard(fs_, index_);
    if (absl::IsNotFound(guard.status())) {
      findings_.Note(index_ + "/GUARD",
                     "is missing: a loss of the last batches would not show");
    } else if (!guard.ok()) {
      findings_.Damage(index_ + "/GUARD", guard.status());
    }
  }

  absl::Status CheckBlocks() {
    std::map<std::pair<int32_t, uint16_t>, std::string> files;
    const auto listed = fs_->List(blocks_);
    if (!listed.ok() && !absl::IsNotFound(listed.status())) {
      return listed.status();
    }
    for (const FileInfo& file :
         listed.ok() ? *listed : std::vector<FileInfo>()) {
      int32_t day;
      uint16_t part;
      if (ParseBlockFileName(file.name, &day, &part)) {
        files[{day, part}] = file.name;
      } else {
        findings_.Note(blocks_ + "/" + file.name, "belongs to no block");
      }
    }
    for (const BlockInfo& named : manifest_.blocks) {
      CheckBlock(named);
      files.erase({named.day, named.part});
    }
    for (const auto& [number, name] : files) CheckUnnamed(name);
    return absl::OkStatus();
  }

  void CheckBlock(const BlockInfo& named) {
    const std::string path = BlockPath(blocks_, named.day, named.part);
    BlockInfo found;
    ++summary_.blocks;
    if (VerifyBlockFile(fs_, path, &findings_, &found)) {
      BlockInfo expected = named;
      expected.index_bytes = 0;
      found.index_bytes = 0;
      if (!SameBlock(found, expected)) {
        findings_.Damage(path, "is another block than the manifest says");
      }
      summary_.block_series += found.series;
      summary_.block_samples += static_cast<int64_t>(found.samples);
    }
    VerifyIndexRows(MakeStoredIndexRows(rows_, named.day, named.part),
                    named.series, path, &findings_);
  }

  void CheckUnnamed(const std::string& name) {
    const std::string path = blocks_ + "/" + name;
    if (has_manifest_ && rows_->damage().ok()) {
      findings_.Note(path,
                     "the manifest does not name it; the next start removes "
                     "it");
      return;
    }
    BlockInfo found;
    if (VerifyBlockFile(fs_, path, &findings_, &found)) {
      findings_.Damage(path, "the file is good, but no manifest names it");
    }
  }

  static bool SameBlock(const BlockInfo& a, const BlockInfo& b) {
    return a.day == b.day && a.part == b.part && a.order == b.order &&
           a.window == b.window && a.min_ms == b.min_ms &&
           a.max_ms == b.max_ms && a.series == b.series &&
           a.samples == b.samples && a.file_bytes == b.file_bytes;
  }

  absl::Status CheckWal() {
    WalCounts counts;
    const absl::Status s = VerifyWal(
        fs_, directory_ + "/wal", SealedTimes(manifest_), &findings_, &counts);
    summary_.wal_files = counts.files;
    summary_.wal_records = counts.records;
    summary_.wal_series = counts.series;
    summary_.wal_samples = counts.samples;
    if (!absl::IsNotFound(s)) return s;
    findings_.Note(directory_ + "/wal",
                   "is missing, as in a snapshot without the head");
    return absl::OkStatus();
  }

  FileSystem* const fs_;
  const std::string directory_;
  const std::string index_;
  const std::string blocks_;
  Findings findings_;
  VerifySummary summary_;
  std::shared_ptr<RowStore> rows_;
  Manifest manifest_;
  bool has_manifest_ = false;
};

}  // namespace

absl::StatusOr<VerifySummary> VerifyDirectory(const VerifyOptions& options) {
  return Verifier(options).Run();
}

}  // namespace varve
