#include "storage/row_store.h"

#include <rocksdb/cache.h>
#include <rocksdb/convenience.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/options.h>
#include <rocksdb/sst_file_writer.h>
#include <rocksdb/table.h>
#include <rocksdb/utilities/checkpoint.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>

#include "storage/coding.h"
#include "storage/crc32c.h"
#include "storage/mutex.h"
#include "storage/rocksdb_env.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

rocksdb::Slice ToSlice(std::string_view s) { return {s.data(), s.size()}; }

absl::Status FromRocksDb(std::string_view what, const std::string& where,
                         const rocksdb::Status& s) {
  if (s.ok()) return absl::OkStatus();
  std::string text = fmt::format("{} {}: {}", what, where, s.ToString());
  if (s.IsCorruption() || s.IsPathNotFound()) {
    return absl::DataLossError(std::move(text));
  }
  if (s.IsNoSpace()) return absl::ResourceExhaustedError(std::move(text));
  if (s.IsInvalidArgument()) return absl::InternalError(std::move(text));
  return absl::UnavailableError(std::move(text));
}

/// Values as measured in the index study, see storage/index.md.
rocksdb::ColumnFamilyOptions IndexOptions(
    std::shared_ptr<rocksdb::Cache> cache) {
  rocksdb::ColumnFamilyOptions o;
  o.compaction_style = rocksdb::kCompactionStyleLevel;
  o.disable_auto_compactions = true;
  o.ttl = 0;  // the default rewrites files after 30 days
  o.periodic_compaction_seconds = 0;
  o.write_buffer_size = 4 << 20;
  o.compression = rocksdb::kZSTD;
  o.compression_opts.level = 3;
  rocksdb::BlockBasedTableOptions table;
  table.format_version = 5;
  table.checksum = rocksdb::kXXH3;  // Debian's CRC32c is software
  table.block_size = 16 << 10;
  table.block_cache = std::move(cache);
  table.cache_index_and_filter_blocks = true;
  o.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return o;
}

rocksdb::DBOptions StoreOptions(rocksdb::Env* env, const Logger& logger) {
  rocksdb::DBOptions o;
  o.env = env;
  o.info_log = NewRocksDbLogger(logger);
  o.info_log_level = rocksdb::InfoLogLevel::WARN_LEVEL;
  o.create_if_missing = true;
  o.create_missing_column_families = true;
  // Of a log that is damaged before its tail nothing may be lost silently, for
  // unnamed blocks are removed at start.
  o.wal_recovery_mode = rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
  // After an error we open it again ourselves, see ReopenAfterError.
  o.max_bgerror_resume_count = 0;
  o.max_open_files = -1;
  o.max_background_jobs = 2;
  o.allow_mmap_reads = false;
  o.allow_mmap_writes = false;
  o.stats_dump_period_sec = 0;
  o.stats_persist_period_sec = 0;
  o.skip_stats_update_on_db_open = true;
  o.max_total_wal_size = 8 << 20;
  o.max_manifest_file_size = 4 << 20;
  return o;
}

constexpr uint64_t kGuardBytesMax = 64;
std::string GuardPathIn(const std::string& directory) {
  return directory + "/GUARD";
}

class RocksRowFile final : public RowFile {
 public:
  RocksRowFile(const rocksdb::Options& options, std::string path)
      : path_(std::move(path)),
        writer_(rocksdb::EnvOptions(), options, nullptr, false) {}

  absl::Status Open() {
    return FromRocksDb("open", path_, writer_.Open(path_));
  }
  absl::Status Add(std::string_view key, std::string_view value) override {
    return FromRocksDb("write", path_,
                       writer_.Put(ToSlice(key), ToSlice(value)));
  }
  absl::StatusOr<uint64_t> Finish() override {
    rocksdb::ExternalSstFileInfo info;
    VARVE_RETURN_IF_ERROR(FromRocksDb("write", path_, writer_.Finish(&info)));
    return info.file_size;
  }

 private:
  const std::string path_;
  rocksdb::SstFileWriter writer_;
};

class RocksRowStore final : public RowStore {
 public:
  explicit RocksRowStore(const RowStoreOptions& options)
      : options_(options), env_(NewRocksDbEnv(options.fs)) {
    const Logger& logger = options_.logger;
    db_options_ = StoreOptions(env_.get(), logger);
    index_options_ = IndexOptions(rocksdb::NewLRUCache(options_.cache_bytes));
  }
  ~RocksRowStore() override {
    WriterLock lock(&mutex_);
    CloseDb();
  }

  absl::Status Open() {
    if (!options_.read_only) {
      VARVE_RETURN_IF_ERROR(options_.fs->CreateDir(options_.directory));
      VARVE_RETURN_IF_ERROR(CheckNotLost());
    }
    WriterLock lock(&mutex_);
    return OpenDb();
  }

  absl::Status damage() const override {
    ReaderLock lock(&mutex_);
    return damage_;
  }

  absl::Status NoteDamage(const absl::Status& damage) override {
    WriterLock lock(&mutex_);
    VARVE_RETURN_IF_ERROR(CheckOpen());
    damage_ = damage;
    return KeepDamage();
  }

  std::vector<File> Files() const override {
    ReaderLock lock(&mutex_);
    std::vector<rocksdb::LiveFileMetaData> files;
    if (db_ != nullptr) db_->GetLiveFilesMetaData(&files);
    std::vector<File> out;
    for (const auto& file : files) {
      out.push_back({file.name.substr(1), file.size,
                     file.column_family_name == "index" ? Family::kIndex
                                                        : Family::kManifest});
    }
    return out;
  }

  absl::StatusOr<std::optional<std::string>> Get(
      Family family, std::string_view key) const override {
    ReaderLock lock(&mutex_);
    VARVE_RETURN_IF_ERROR(CheckOpen());
    std::string value;
    const rocksdb::Status s =
        db_->Get(rocksdb::ReadOptions(), Handle(family), ToSlice(key), &value);
    if (s.IsNotFound()) return std::optional<std::string>();
    VARVE_RETURN_IF_ERROR(FromRocksDb("read", options_.directory, s));
    return std::optional<std::string>(std::move(value));
  }

  absl::StatusOr<std::vector<std::pair<std::string, std::string>>> ManifestRows(
      std::string_view prefix) const override {
    ReaderLock lock(&mutex_);
    VARVE_RETURN_IF_ERROR(CheckOpen());
    std::vector<std::pair<std::string, std::string>> rows;
    const std::unique_ptr<rocksdb::Iterator> it(
        db_->NewIterator(rocksdb::ReadOptions(), Handle(Family::kManifest)));
    it->Seek(ToSlice(prefix));
    for (; it->Valid() && it->key().starts_with(ToSlice(prefix)); it->Next()) {
      if (it->key().starts_with(kChainPrefix)) continue;
      rows.emplace_back(it->key().ToString(), it->value().ToString());
    }
    VARVE_RETURN_IF_ERROR(
        FromRocksDb("read", options_.directory, it->status()));
    return rows;
  }

  absl::Status WriteManifest(const Batch& batch) override {
    VARVE_RETURN_IF_ERROR(ReopenAfterError());
    ReaderLock lock(&mutex_);
    VARVE_RETURN_IF_ERROR(CheckOpen());
    rocksdb::WriteBatch rows;
    rocksdb::ColumnFamilyHandle* family = Handle(Family::kManifest);
    for (const auto& [key, value] : batch.puts) {
      rows.Put(family, ToSlice(key), ToSlice(value)).PermitUncheckedError();
    }
    for (const std::string& key : batch.deletes) {
      rows.Delete(family, ToSlice(key)).PermitUncheckedError();
    }
    MutexLock write_lock(&write_mutex_);
    rows.Put(family, ChainKey(chain_ + 1), "").PermitUncheckedError();
    rows.Delete(family, ChainKey(chain_)).PermitUncheckedError();
    rocksdb::WriteOptions options;
    options.sync = true;
    absl::Status s = FromRocksDb("write manifest in", options_.directory,
                                 db_->Write(options, &rows));
    if (s.ok()) ++chain_;
    return Noted(std::move(s));
  }

  absl::Status Guard() override {
    std::string text;
    {
      MutexLock lock(&write_mutex_);
      PutFixed64(&text, chain_);
    }
    PutFixed32(&text, Crc32c(text));
    return WriteFileAtomically(options_.fs, GuardPath(), text);
  }

  absl::Status Checkpoint(const std::string& directory) override {
    VARVE_RETURN_IF_ERROR(ReopenAfterError());
    ReaderLock lock(&mutex_);
    VARVE_RETURN_IF_ERROR(CheckOpen());
    rocksdb::Checkpoint* made = nullptr;
    rocksdb::Status s = rocksdb::Checkpoint::Create(db_.get(), &made);
    const std::unique_ptr<rocksdb::Checkpoint> checkpoint(made);
    // Its log is copied, not flushed: that would leave a file of rows per call.
    if (s.ok()) s = checkpoint->CreateCheckpoint(directory, UINT64_MAX);
    VARVE_RETURN_IF_ERROR(FromRocksDb("copy to", directory, s));
    auto guard = ReadFile(options_.fs, GuardPath(), kGuardBytesMax);
    if (absl::IsNotFound(guard.status())) return absl::OkStatus();
    VARVE_RETURN_IF_ERROR(guard.status());
    return WriteFileAtomically(options_.fs, GuardPathIn(directory), *guard);
  }

  absl::StatusOr<std::unique_ptr<RowFile>> NewFile(
      const std::string& path) override {
    auto file = std::make_unique<RocksRowFile>(
        rocksdb::Options(db_options_, index_options_), path);
    VARVE_RETURN_IF_ERROR(file->Open());
    return file;
  }

  absl::Status Ingest(const std::string& path) override {
    VARVE_RETURN_IF_ERROR(ReopenAfterError());
    ReaderLock lock(&mutex_);
    VARVE_RETURN_IF_ERROR(CheckOpen());
    rocksdb::IngestExternalFileOptions options;
    options.move_files = true;
    options.write_global_seqno = false;
    return Noted(FromRocksDb(
        "ingest", path,
        db_->IngestExternalFile(Handle(Family::kIndex), {path}, options)));
  }

  std::vector<std::string> IndexFileKeys() const override {
    ReaderLock lock(&mutex_);
    std::vector<rocksdb::LiveFileMetaData> files;
    if (db_ != nullptr) db_->GetLiveFilesMetaData(&files);
    std::vector<std::string> keys;
    for (const auto& file : files) {
      if (file.column_family_name == "index") keys.push_back(file.smallestkey);
    }
    std::sort(keys.begin(), keys.end());
    return keys;
  }

  absl::Status DropIndexFiles(std::string_view begin,
                              std::string_view end) override {
    VARVE_RETURN_IF_ERROR(ReopenAfterError());
    ReaderLock lock(&mutex_);
    VARVE_RETURN_IF_ERROR(CheckOpen());
    const rocksdb::Slice from = ToSlice(begin);
    const rocksdb::Slice to = ToSlice(end);
    const rocksdb::RangePtr range(&from, &to);
    return Noted(FromRocksDb(
        "drop index files in", options_.directory,
        rocksdb::DeleteFilesInRanges(db_.get(), Handle(Family::kIndex), &range,
                                     1, /*include_end=*/false)));
  }

 private:
  rocksdb::ColumnFamilyHandle* Handle(Family family) const
      ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return handles_[family == Family::kIndex ? 1 : 2];
  }

  /// RocksDB takes a directory without its file CURRENT for a new one, and
  /// removes the files of rows in it.
  absl::Status CheckNotLost() const {
    VARVE_ASSIGN_OR_RETURN(const auto files,
                           options_.fs->List(options_.directory));
    bool has_current = false;
    bool has_rows = false;
    for (const FileInfo& file : files) {
      has_current = has_current || file.name == "CURRENT";
      has_rows = has_rows || file.name.ends_with(".sst");
    }
    if (has_current || !has_rows) return absl::OkStatus();
    return DataLoss("{}/CURRENT: is missing, and there are files of rows",
                    options_.directory);
  }

  absl::Status CheckWritable() const {
    if (!options_.read_only) return absl::OkStatus();
    return FailedPrecondition("{}: opened for reading only",
                              options_.directory);
  }

  absl::Status CheckOpen() const ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    if (db_ != nullptr) return absl::OkStatus();
    return Unavailable("{}: closed since a write failed", options_.directory);
  }

  /// Every batch removes the row that the one before left, so that a batch lost
  /// in the middle of a damaged log leaves two.
  static constexpr const char* kChainPrefix = "#";
  static constexpr const char* kDamageKey = "#damage";
  static std::string ChainKey(uint64_t number) {
    return fmt::format("{}{:020}", kChainPrefix, number);
  }

  /// Opens with RocksDB's checks. When these find damage, without them, so that
  /// one bad file does not keep all others from being served; damage_ is set
  /// unless files of the index, which are found when they are read, are all
  /// there is to it.
  absl::Status OpenDb() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    damage_ = absl::OkStatus();
    const absl::Status strict = OpenDb(/*strict=*/true);
    if (!strict.ok() && !absl::IsDataLoss(strict)) return strict;
    if (!strict.ok()) VARVE_RETURN_IF_ERROR(OpenDb(/*strict=*/false));
    VARVE_RETURN_IF_ERROR(ReadChain());
    if (damage_.ok() && !strict.ok() && !HasBadIndexFile()) damage_ = strict;
    return damage_.ok() ? absl::OkStatus() : KeepDamage();
  }

  /// RocksDB has forgotten the damage when it opens the next time.
  absl::Status KeepDamage() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (options_.read_only) return absl::OkStatus();
    rocksdb::WriteOptions options;
    options.sync = true;
    return FromRocksDb("write manifest in", options_.directory,
                       db_->Put(options, Handle(Family::kManifest), kDamageKey,
                                ToSlice(Message(damage_))));
  }

  absl::Status OpenDb(bool strict) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    rocksdb::DBOptions db_options = db_options_;
    db_options.paranoid_checks = strict;
    rocksdb::ColumnFamilyOptions manifest;
    manifest.write_buffer_size = 4 << 20;
    manifest.compression = rocksdb::kNoCompression;
    const std::vector<rocksdb::ColumnFamilyDescriptor> families = {
        {rocksdb::kDefaultColumnFamilyName, manifest},
        {"index", index_options_},
        {"manifest", manifest}};
    rocksdb::DB* db = nullptr;
    const rocksdb::Status s =
        options_.read_only
            ? rocksdb::DB::OpenForReadOnly(db_options, options_.directory,
                                           families, &handles_, &db)
            : rocksdb::DB::Open(db_options, options_.directory, families,
                                &handles_, &db);
    db_.reset(db);
    return FromRocksDb("open", options_.directory, s);
  }

  /// Finds the last batch, and sets damage_ when one is missing.
  absl::Status ReadChain() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    MutexLock lock(&write_mutex_);
    chain_ = 0;
    int count = 0;
    std::string known_damage;
    const std::unique_ptr<rocksdb::Iterator> it(
        db_->NewIterator(rocksdb::ReadOptions(), Handle(Family::kManifest)));
    for (it->Seek(kChainPrefix);
         it->Valid() && it->key().starts_with(kChainPrefix); it->Next()) {
      if (it->key() == kDamageKey) {
        known_damage = it->value().ToString();
        continue;
      }
      const std::string number = it->key().ToString().substr(1);
      chain_ = std::strtoull(number.c_str(), nullptr, 10);
      ++count;
    }
    VARVE_RETURN_IF_ERROR(
        FromRocksDb("read", options_.directory, it->status()));
    // It only adds safety: 0 when there is none that can be used.
    const auto guard_or = ReadGuard(options_.fs, options_.directory);
    if (!guard_or.ok() && !absl::IsNotFound(guard_or.status()) &&
        !absl::IsDataLoss(guard_or.status())) {
      return guard_or.status();
    }
    const uint64_t guard = guard_or.value_or(0);
    if (!known_damage.empty()) {
      damage_ = absl::DataLossError(known_damage);
    } else if (count > 1 || chain_ < guard) {
      damage_ = DataLoss("{}: rows of the manifest are lost: {} batches of {}",
                         options_.directory, chain_, std::max(guard, chain_));
    }
    return absl::OkStatus();
  }

  std::string GuardPath() const { return GuardPathIn(options_.directory); }

  /// A file that RocksDB names is missing, cut or cannot be read. Such a one
  /// also remains when the sync of RocksDB's own log fails during an ingestion:
  /// RocksDB removes the file, but the log may name it all the same.
  bool HasBadIndexFile() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    std::vector<rocksdb::LiveFileMetaData> files;
    db_->GetLiveFilesMetaData(&files);
    for (const auto& file : files) {
      if (file.column_family_name != "index") continue;
      const auto info = options_.fs->Stat(options_.directory + file.name);
      std::string value;
      if (!info.ok() || info->size != file.size ||
          !db_->Get(rocksdb::ReadOptions(), Handle(Family::kIndex),
                    file.smallestkey, &value)
               .ok()) {
        return true;
      }
    }
    return false;
  }

  void CloseDb() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (db_ == nullptr) return;
    for (rocksdb::ColumnFamilyHandle* handle : handles_) {
      db_->DestroyColumnFamilyHandle(handle).PermitUncheckedError();
    }
    handles_.clear();
    db_->Close().PermitUncheckedError();
    db_.reset();
  }

  /// RocksDB refuses writes after a failed one. Its Resume() flushes, polls in
  /// a thread of its own, and an ingestion after it aborts the process (7.8, an
  /// assertion), so we open it again, which crash tests cover. First a probe
  /// tells whether the disk is well, for nothing can be read without RocksDB.
  absl::Status ReopenAfterError() {
    VARVE_RETURN_IF_ERROR(CheckWritable());
    if (!failed_.load()) return absl::OkStatus();
    WriterLock lock(&mutex_);
    if (!failed_.load()) return absl::OkStatus();
    VARVE_RETURN_IF_ERROR(ProbeDisk());
    CloseDb();
    VARVE_RETURN_IF_ERROR(OpenDb());
    failed_.store(false);
    return absl::OkStatus();
  }

  absl::Status ProbeDisk() const {
    const std::string path = options_.directory + "/probe.tmp";
    const absl::Status s =
        WriteFileAtomically(options_.fs, path, std::string(kProbeBytes, 'x'));
    options_.fs->Remove(path).IgnoreError();
    return s;
  }

  absl::Status Noted(absl::Status status) {
    if (!status.ok()) failed_.store(true);
    return status;
  }

  /// More than RocksDB writes while it opens.
  static constexpr size_t kProbeBytes = 256 << 10;

  const RowStoreOptions options_;
  const std::unique_ptr<rocksdb::Env> env_;  // outlives db_
  rocksdb::DBOptions db_options_;            // fixed after Open()
  rocksdb::ColumnFamilyOptions index_options_;
  std::atomic<bool> failed_{false};

  /// Held shared by every use of RocksDB, exclusively to open it again.
  mutable SharedMutex mutex_;
  absl::Status damage_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<rocksdb::DB> db_ ABSL_GUARDED_BY(mutex_);
  std::vector<rocksdb::ColumnFamilyHandle*> handles_ ABSL_GUARDED_BY(mutex_);

  /// One batch at a time, for the chain. Taken after mutex_.
  Mutex write_mutex_;
  uint64_t chain_ ABSL_GUARDED_BY(write_mutex_) = 0;  // of the last batch
};

}  // namespace

absl::StatusOr<uint64_t> ReadGuard(FileSystem* fs,
                                   const std::string& directory) {
  const std::string path = GuardPathIn(directory);
  const auto text = ReadFile(fs, path, kGuardBytesMax);
  if (absl::IsResourceExhausted(text.status())) {
    return DataLoss("{}: longer than it may be", path);
  }
  VARVE_RETURN_IF_ERROR(text.status());
  Decoder in(*text);
  const uint64_t number = in.Fixed64();
  const bool good =
      in.Fixed32() == Crc32c(std::string_view(*text).substr(0, 8));
  if (good && in.done()) return number;
  return DataLoss("{}: its CRC is wrong", path);
}

absl::StatusOr<std::unique_ptr<RowStore>> RowStore::Open(
    const RowStoreOptions& options) {
  auto store = std::make_unique<RocksRowStore>(options);
  VARVE_RETURN_IF_ERROR(store->Open());
  return store;
}

}  // namespace varve
