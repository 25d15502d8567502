#include <algorithm>
#include <map>
#include <optional>

#include "storage/block.h"
#include "storage/block_builder.h"
#include "storage/block_rows.h"
#include "storage/manifest.h"
#include "storage/repair_parts.h"
#include "storage/row_file_reader.h"
#include "storage/row_store.h"
#include "storage/status_macros.h"
#include "storage/verify_block.h"

namespace varve {
namespace {

using Key = std::pair<int32_t, uint16_t>;

constexpr size_t kCacheBytes = size_t{8} << 20;

/// The last finding, for telling why.
class Reason {
 public:
  Findings findings{[this](const Finding& f) {
    if (text_.empty()) text_ = f.text;
  }};
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

class IndexRepair {
 public:
  explicit IndexRepair(RepairWork* work) : work_(work), fs_(work->fs()) {}

  absl::StatusOr<std::vector<DamagedBlock>> Run() {
    VARVE_RETURN_IF_ERROR(fs_->CreateDir(work_->PathOf("blocks")));
    VARVE_RETURN_IF_ERROR(FinishInterrupted());
    VARVE_RETURN_IF_ERROR(MendNames());
    VARVE_ASSIGN_OR_RETURN(const std::string wrong, WhatIsWrong());
    if (wrong.empty()) {
      VARVE_RETURN_IF_ERROR(CheckBlocks());
      old_rows_.reset();
      VARVE_RETURN_IF_ERROR(MendGuard());
    } else {
      VARVE_RETURN_IF_ERROR(Rebuild(wrong));
    }
    return std::move(damaged_);
  }

 private:
  absl::StatusOr<std::unique_ptr<RowStore>> OpenRows(const std::string& name,
                                                     bool read_only) const {
    RowStoreOptions options;
    options.directory = work_->PathOf(name);
    options.fs = fs_;
    options.logger = work_->options().logger;
    options.cache_bytes = kCacheBytes;
    options.read_only = read_only;
    return RowStore::Open(options);
  }

  /// A rebuilt index may wait for its name.
  absl::Status FinishInterrupted() {
    VARVE_ASSIGN_OR_RETURN(const bool old, fs_->Exists(work_->PathOf("index")));
    VARVE_ASSIGN_OR_RETURN(const bool complete,
                           fs_->Exists(work_->PathOf("index.new") + "/GUARD"));
    if (!old && complete) {
      VARVE_RETURN_IF_ERROR(
          fs_->Rename(work_->PathOf("index.new"), work_->PathOf("index")));
      return fs_->SyncDir(work_->options().directory);
    }
    return RemoveRecursively(fs_, work_->PathOf("index.new"));
  }

  absl::StatusOr<std::vector<std::string>> BlockNames() const {
    std::vector<std::string> names;
    VARVE_ASSIGN_OR_RETURN(const auto files,
                           fs_->List(work_->PathOf("blocks")));
    for (const FileInfo& file : files) {
      int32_t day;
      uint16_t part;
      if (ParseBlockFileName(file.name, &day, &part)) {
        names.push_back(file.name);
      }
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  /// A block file says itself what its name must be.
  absl::Status MendNames() {
    const std::string blocks = work_->PathOf("blocks");
    VARVE_ASSIGN_OR_RETURN(const auto names, BlockNames());
    std::map<std::string, std::string> moves;  // temporary name -> right one
    for (const std::string& name : names) {
      const auto block = Block::Open(fs_, blocks + "/" + name);
      // Of a newer version: nothing here is ours to mend.
      if (absl::IsUnimplemented(block.status())) return block.status();
      if (!block.ok()) continue;
      const BlockInfo& info = (*block)->info();
      const std::string right = BlockPath(blocks, info.day, info.part);
      if (right == blocks + "/" + name) continue;
      const std::string temporary = blocks + "/" + name + ".misnamed";
      VARVE_RETURN_IF_ERROR(fs_->Rename(blocks + "/" + name, temporary));
      work_->Did("blocks/" + name, "renamed: it is " + right);
      moves[temporary] = right;
    }
    for (const auto& [from, to] : moves) {
      VARVE_ASSIGN_OR_RETURN(const bool taken, fs_->Exists(to));
      // Another file that cannot be read has the name.
      if (taken) {
        VARVE_RETURN_IF_ERROR(
            work_->Move("blocks/" + to.substr(blocks.size() + 1)).status());
      }
      VARVE_RETURN_IF_ERROR(fs_->Rename(from, to));
    }
    return moves.empty() ? absl::OkStatus() : fs_->SyncDir(blocks);
  }

  /// "" when every row of the manifest is there and right; an error when a
  /// newer version wrote it.
  absl::StatusOr<std::string> WhatIsWrong() {
    auto rows = OpenRows("index", /*read_only=*/true);
    if (!rows.ok()) return std::string(Message(rows.status()));
    old_rows_ = *std::move(rows);
    if (!old_rows_->damage().ok()) {
      return std::string(Message(old_rows_->damage()));
    }
    for (const RowStore::File& file : old_rows_->Files()) {
      if (file.family != RowStore::Family::kManifest) continue;
      const auto reader =
          RowFileReader::Open(fs_, work_->PathOf("index/" + file.name));
      const absl::Status s = reader.ok() ? (*reader)->Check() : reader.status();
      if (!s.ok()) return std::string(Message(s));
    }
    const auto is_new = ManifestIsNew(*old_rows_);
    if (!is_new.ok()) return std::string(Message(is_new.status()));
    if (*is_new) return "the manifest is empty";
    auto manifest = ReadManifest(old_rows_.get());
    if (absl::IsUnimplemented(manifest.status())) return manifest.status();
    if (!manifest.ok()) return std::string(Message(manifest.status()));
    manifest_ = *std::move(manifest);
    return std::string();
  }

  /// It only adds safety, so it is simply written again.
  absl::Status MendGuard() {
    const auto guard = ReadGuard(fs_, work_->PathOf("index"));
    if (guard.ok()) return absl::OkStatus();
    if (!absl::IsDataLoss(guard.status()) &&
        !absl::IsNotFound(guard.status())) {
      return guard.status();
    }
    if (absl::IsDataLoss(guard.status())) {
      VARVE_RETURN_IF_ERROR(work_->Move("index/GUARD").status());
    }
    VARVE_ASSIGN_OR_RETURN(auto rows, OpenRows("index", false));
    work_->Did("index/GUARD", "written anew");
    return rows->Guard();
  }

  /// The files of rows by the block whose rows they hold.
  absl::Status FindRowFiles() {
    const auto files = fs_->List(work_->PathOf("index"));
    if (absl::IsNotFound(files.status())) return absl::OkStatus();
    VARVE_RETURN_IF_ERROR(files.status());
    for (const FileInfo& file : *files) {
      if (!file.name.ends_with(".sst")) continue;
      const std::string name = "index/" + file.name;
      const auto reader = RowFileReader::Open(fs_, work_->PathOf(name));
      int32_t day;
      uint16_t part;
      if (reader.ok() && ParseBlockKey((*reader)->AKey(), &day, &part)) {
        row_files_[{day, part}].push_back(name);
      }
    }
    return absl::OkStatus();
  }

  /// The rows of a block in some file; null when there are none. With `keep`,
  /// in a link to it that stays when the block is replaced.
  absl::StatusOr<std::shared_ptr<const IndexRows>> FindRows(
      const BlockInfo& info, bool keep) {
    std::shared_ptr<const IndexRows> best;
    for (const std::string& name : row_files_[{info.day, info.part}]) {
      std::string path = work_->PathOf(name);
      if (keep) {
        VARVE_ASSIGN_OR_RETURN(path, work_->Keep(name));
      }
      auto reader = RowFileReader::Open(fs_, path);
      if (!reader.ok()) continue;
      auto rows = MakeFileIndexRows(*std::move(reader), info.day, info.part);
      if (best == nullptr || IndexReader::Open(rows, info.series).ok()) {
        best = std::move(rows);
      }
    }
    return best;
  }

  /// Of an index that is well, the blocks that are not.
  absl::Status CheckBlocks() {
    VARVE_RETURN_IF_ERROR(FindRowFiles());
    const std::shared_ptr<const RowStore> rows = old_rows_;
    RowStore::Batch batch;
    std::vector<int64_t> forgotten;
    for (const BlockInfo& info : manifest_.blocks) {
      const std::string path =
          BlockPath(work_->PathOf("blocks"), info.day, info.part);
      Reason reason;
      BlockInfo found;
      const bool block_good =
          VerifyBlockFile(fs_, path, &reason.findings, &found);
      const bool rows_good =
          VerifyIndexRows(MakeStoredIndexRows(rows, info.day, info.part),
                          info.series, path, &reason.findings) &&
          RowFilesAreGood(info, &reason);
      if (block_good && rows_good) continue;
      DamagedBlock damaged;
      damaged.info = info;
      damaged.is_named = true;
      damaged.reason = reason.text();
      VARVE_ASSIGN_OR_RETURN(const bool exists, fs_->Exists(path));
      if (exists) {
        VARVE_ASSIGN_OR_RETURN(damaged.path,
                               work_->Keep(fmt::format("blocks/d{}-p{}.block",
                                                       info.day, info.part)));
      }
      VARVE_ASSIGN_OR_RETURN(damaged.rows, FindRows(info, true));
      damaged_.push_back(std::move(damaged));
      // What the log still has of its time is to be read again.
      for (const auto& [start, segment] : manifest_.marks) {
        if (start >= info.window.start_ms && start < info.window.end_ms) {
          DeleteMarkRow({start, segment}, &batch);
          forgotten.push_back(start);
        }
      }
    }
    for (const int64_t start : forgotten) manifest_.marks.erase(start);
    work_->sealed = SealedTimes(manifest_);
    if (batch.empty()) return absl::OkStatus();
    VARVE_ASSIGN_OR_RETURN(auto writable, OpenRows("index", false));
    return writable->WriteManifest(batch);
  }

  bool RowFilesAreGood(const BlockInfo& info, Reason* reason) {
    for (const std::string& name : row_files_[{info.day, info.part}]) {
      const auto reader = RowFileReader::Open(fs_, work_->PathOf(name));
      const absl::Status s = reader.ok() ? (*reader)->Check() : reader.status();
      if (s.ok()) continue;
      reason->findings.Damage(name, s);
      return false;
    }
    return true;
  }

  // ---------------------------------------------------------------- rebuilding

  absl::Status Rebuild(const std::string& wrong) {
    VARVE_RETURN_IF_ERROR(FindRowFiles());
    VARVE_ASSIGN_OR_RETURN(auto rows, OpenRows("index.new", false));
    VARVE_RETURN_IF_ERROR(ReadManifest(rows.get()).status());  // its version
    RowStore::Batch batch;
    std::map<int32_t, uint32_t> next_parts = SalvageSmallRows(&batch);
    VARVE_ASSIGN_OR_RETURN(const auto names, BlockNames());
    int64_t kept = 0;
    for (const std::string& name : names) {
      int32_t day;
      uint16_t part;
      ParseBlockFileName(name, &day, &part);
      uint32_t& next = next_parts[day];
      next = std::max(next, uint32_t{part} + 1);
      VARVE_ASSIGN_OR_RETURN(const auto info,
                             Adopt(name, day, part, rows.get()));
      if (!info) continue;
      PutBlockRow(*info, &batch);
      ++kept;
    }
    for (const auto& [day, next] : next_parts) {
      PutNextPartRow(day, next, &batch);
    }
    if (!batch.empty()) VARVE_RETURN_IF_ERROR(rows->WriteManifest(batch));
    VARVE_RETURN_IF_ERROR(rows->Guard());
    rows.reset();
    old_rows_.reset();
    VARVE_ASSIGN_OR_RETURN(const bool old, fs_->Exists(work_->PathOf("index")));
    if (old) VARVE_RETURN_IF_ERROR(work_->Move("index").status());
    VARVE_RETURN_IF_ERROR(
        fs_->Rename(work_->PathOf("index.new"), work_->PathOf("index")));
    VARVE_RETURN_IF_ERROR(fs_->SyncDir(work_->options().directory));
    work_->summary.index_rebuilt = true;
    work_->Did("index",
               fmt::format("built anew, with {} blocks: {}", kept, wrong));
    return absl::OkStatus();
  }

  /// Facts, part numbers and deletions that the old manifest still shows.
  std::map<int32_t, uint32_t> SalvageSmallRows(RowStore::Batch* batch) {
    std::map<int32_t, uint32_t> next_parts;
    if (old_rows_ == nullptr) {
      NoteLostDeletions();
      return next_parts;
    }
    const auto facts = old_rows_->ManifestRows(kFactPrefix);
    if (facts.ok()) {
      batch->puts.insert(batch->puts.end(), facts->begin(), facts->end());
    }
    manifest_ = SalvageManifest(*old_rows_);
    for (const DeletionPtr& deletion : manifest_.deletions) {
      PutDeletionRow(*deletion, batch);
    }
    NoteLostDeletions();
    return manifest_.next_parts;
  }

  /// Rows of deletions may have been lost with others.
  void NoteLostDeletions() {
    work_->Did("index",
               fmt::format("{} deletions that were not cleaned are kept; of "
                           "others, if there were any, the samples may be seen "
                           "again: delete them again",
                           manifest_.deletions.size()));
  }

  /// Takes a block into the new index; nullopt when it must be made anew.
  absl::StatusOr<std::optional<BlockInfo>> Adopt(const std::string& name,
                                                 int32_t day, uint16_t part,
                                                 RowStore* rows) {
    Reason reason;
    BlockInfo info;
    info.day = day;
    info.part = part;
    for (const BlockInfo& known : manifest_.blocks) {
      if (known.day == day && known.part == part) info = known;
    }
    const std::string path = work_->PathOf("blocks/" + name);
    const uint64_t deletions_done = info.deletions_done;
    bool good = VerifyBlockFile(fs_, path, &reason.findings, &info);
    info.deletions_done = deletions_done;  // the file does not say
    if (good) {
      VARVE_ASSIGN_OR_RETURN(good, CopyRows(&info, &reason, rows));
    }
    if (good) return std::optional<BlockInfo>(info);
    DamagedBlock damaged;
    damaged.info = info;
    VARVE_ASSIGN_OR_RETURN(damaged.path, work_->Move("blocks/" + name));
    VARVE_ASSIGN_OR_RETURN(damaged.rows, FindRows(info, false));
    damaged.reason = reason.text();
    damaged_.push_back(std::move(damaged));
    return std::optional<BlockInfo>();
  }

  /// Copies a block's rows into the new index; false when no file has them all.
  absl::StatusOr<bool> CopyRows(BlockInfo* info, Reason* reason,
                                RowStore* rows) {
    const std::string prefix = BlockKey(info->day, info->part);
    for (const std::string& name : row_files_[{info->day, info->part}]) {
      auto opened = RowFileReader::Open(fs_, work_->PathOf(name));
      if (!opened.ok()) continue;
      const std::shared_ptr<const RowFileReader> reader = *std::move(opened);
      if (const absl::Status s = reader->Check(); !s.ok()) {
        reason->findings.Damage(name, s);
        continue;
      }
      if (!VerifyIndexRows(MakeFileIndexRows(reader, info->day, info->part),
                           info->series, name, &reason->findings)) {
        continue;
      }
      const std::string path = work_->PathOf("index.new/rows.tmp");
      VARVE_ASSIGN_OR_RETURN(auto file, rows->NewFile(path));
      absl::Status written;
      VARVE_RETURN_IF_ERROR(
          reader->ForEach([&](std::string_view key, std::string_view value) {
            if (key.starts_with(prefix)) written.Update(file->Add(key, value));
          }));
      VARVE_RETURN_IF_ERROR(written);
      VARVE_ASSIGN_OR_RETURN(info->index_bytes, file->Finish());
      VARVE_RETURN_IF_ERROR(rows->Ingest(path));
      return true;
    }
    reason->findings.Damage("index", "its labels cannot be read in full");
    return false;
  }

  RepairWork* const work_;
  FileSystem* const fs_;
  std::shared_ptr<RowStore> old_rows_;
  Manifest manifest_;
  std::map<Key, std::vector<std::string>> row_files_;
  std::vector<DamagedBlock> damaged_;
};

}  // namespace

absl::StatusOr<std::vector<DamagedBlock>> RepairIndex(RepairWork* work) {
  return IndexRepair(work).Run();
}

}  // namespace varve
