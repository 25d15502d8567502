#include "storage/rocksdb_env.h"

#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

#include <cstdarg>
#include <cstdio>

#include "storage/sst_check.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

using rocksdb::FileOptions;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

IOStatus ToIOStatus(const absl::Status& status) {
  if (status.ok()) return IOStatus::OK();
  const std::string text(Message(status));
  if (absl::IsNotFound(status)) return IOStatus::PathNotFound(text);
  if (absl::IsDataLoss(status)) return IOStatus::Corruption(text);
  return absl::IsResourceExhausted(status) ? IOStatus::NoSpace(text)
                                           : IOStatus::IOError(text);
}

class EnvWritableFile final : public rocksdb::FSWritableFile {
 public:
  explicit EnvWritableFile(std::unique_ptr<WritableFile> file)
      : file_(std::move(file)) {}

  using rocksdb::FSWritableFile::Append;
  IOStatus Append(const Slice& data, const IOOptions&,
                  IODebugContext*) override {
    return ToIOStatus(
        file_->Append(std::string_view(data.data(), data.size())));
  }
  IOStatus Truncate(uint64_t size, const IOOptions&, IODebugContext*) override {
    return ToIOStatus(file_->Truncate(size));
  }
  IOStatus Close(const IOOptions&, IODebugContext*) override {
    return ToIOStatus(file_->Close());
  }
  IOStatus Flush(const IOOptions&, IODebugContext*) override {
    return IOStatus::OK();
  }
  IOStatus Sync(const IOOptions&, IODebugContext*) override {
    return ToIOStatus(file_->Sync());
  }
  uint64_t GetFileSize(const IOOptions&, IODebugContext*) override {
    return file_->size();
  }

 private:
  const std::unique_ptr<WritableFile> file_;
};

class EnvRandomAccessFile final : public rocksdb::FSRandomAccessFile {
 public:
  explicit EnvRandomAccessFile(std::unique_ptr<RandomAccessFile> file)
      : file_(std::move(file)) {}

  IOStatus Read(uint64_t offset, size_t n, const IOOptions&, Slice* result,
                char* scratch, IODebugContext*) const override {
    auto read = file_->ReadSome(offset, {scratch, n});
    // Once more: RocksDB 7.8 takes a failed read while it looks at a file to
    // ingest for a file without keys, which then can never be dropped.
    if (!read.ok()) read = file_->ReadSome(offset, {scratch, n});
    if (!read.ok()) return ToIOStatus(read.status());
    *result = Slice(scratch, *read);
    return IOStatus::OK();
  }

 private:
  const std::unique_ptr<RandomAccessFile> file_;
};

class EnvSequentialFile final : public rocksdb::FSSequentialFile {
 public:
  explicit EnvSequentialFile(std::unique_ptr<RandomAccessFile> file)
      : file_(std::move(file)) {}

  IOStatus Read(size_t n, const IOOptions&, Slice* result, char* scratch,
                IODebugContext*) override {
    const auto read = file_->ReadSome(at_, {scratch, n});
    if (!read.ok()) return ToIOStatus(read.status());
    *result = Slice(scratch, *read);
    at_ += *read;
    return IOStatus::OK();
  }
  IOStatus Skip(uint64_t n) override {
    at_ += n;
    return IOStatus::OK();
  }

 private:
  const std::unique_ptr<RandomAccessFile> file_;
  uint64_t at_ = 0;
};

class EnvDirectory final : public rocksdb::FSDirectory {
 public:
  EnvDirectory(FileSystem* fs, std::string path)
      : fs_(fs), path_(std::move(path)) {}
  IOStatus Fsync(const IOOptions&, IODebugContext*) override {
    return ToIOStatus(fs_->SyncDir(path_));
  }
  IOStatus Close(const IOOptions&, IODebugContext*) override {
    return IOStatus::OK();
  }

 private:
  FileSystem* const fs_;
  const std::string path_;
};

class EnvFileLock final : public rocksdb::FileLock {
 public:
  explicit EnvFileLock(std::unique_ptr<varve::FileLock> lock)
      : lock_(std::move(lock)) {}

 private:
  const std::unique_ptr<varve::FileLock> lock_;
};

/// Derives from the interface and not from FileSystemWrapper, so that a call
/// we do not know is refused instead of going past our FileSystem.
class EnvFileSystem final : public rocksdb::FileSystem {
 public:
  explicit EnvFileSystem(varve::FileSystem* fs) : fs_(fs) {}
  const char* Name() const override { return "varve"; }

  IOStatus NewSequentialFile(const std::string& path, const FileOptions&,
                             std::unique_ptr<rocksdb::FSSequentialFile>* result,
                             IODebugContext*) override {
    auto file = fs_->OpenRandomAccess(path);
    if (!file.ok()) return ToIOStatus(file.status());
    *result = std::make_unique<EnvSequentialFile>(*std::move(file));
    return IOStatus::OK();
  }
  IOStatus NewRandomAccessFile(
      const std::string& path, const FileOptions&,
      std::unique_ptr<rocksdb::FSRandomAccessFile>* result,
      IODebugContext*) override {
    auto file = fs_->OpenRandomAccess(path);
    if (!file.ok()) return ToIOStatus(file.status());
    if (path.ends_with(".sst")) {
      const absl::Status good = CheckSst(**file, path);
      if (!good.ok()) return ToIOStatus(good);
    }
    *result = std::make_unique<EnvRandomAccessFile>(*std::move(file));
    return IOStatus::OK();
  }
  IOStatus NewWritableFile(const std::string& path, const FileOptions&,
                           std::unique_ptr<rocksdb::FSWritableFile>* result,
                           IODebugContext*) override {
    return OpenWritable(path, varve::FileSystem::WriteMode::kCreateOrTruncate,
                        result);
  }
  IOStatus ReopenWritableFile(const std::string& path, const FileOptions&,
                              std::unique_ptr<rocksdb::FSWritableFile>* result,
                              IODebugContext*) override {
    return OpenWritable(path, varve::FileSystem::WriteMode::kAppend, result);
  }
  IOStatus NewDirectory(const std::string& path, const IOOptions&,
                        std::unique_ptr<rocksdb::FSDirectory>* result,
                        IODebugContext*) override {
    const auto info = fs_->Stat(path);
    if (!info.ok()) return ToIOStatus(info.status());
    *result = std::make_unique<EnvDirectory>(fs_, path);
    return IOStatus::OK();
  }
  IOStatus FileExists(const std::string& path, const IOOptions&,
                      IODebugContext*) override {
    const auto exists = fs_->Exists(path);
    if (!exists.ok()) return ToIOStatus(exists.status());
    return *exists ? IOStatus::OK() : IOStatus::NotFound();
  }
  IOStatus GetChildren(const std::string& path, const IOOptions&,
                       std::vector<std::string>* result,
                       IODebugContext*) override {
    result->clear();
    const auto entries = fs_->List(path);
    if (absl::IsNotFound(entries.status())) return IOStatus::NotFound(path);
    if (!entries.ok()) return ToIOStatus(entries.status());
    for (const FileInfo& entry : *entries) result->push_back(entry.name);
    return IOStatus::OK();
  }
  IOStatus DeleteFile(const std::string& path, const IOOptions&,
                      IODebugContext*) override {
    return ToIOStatus(fs_->Remove(path));
  }
  IOStatus CreateDir(const std::string& path, const IOOptions&,
                     IODebugContext*) override {
    const auto exists = fs_->Exists(path);
    if (exists.ok() && *exists) return IOStatus::IOError(path, "exists");
    return ToIOStatus(fs_->CreateDir(path));
  }
  IOStatus CreateDirIfMissing(const std::string& path, const IOOptions&,
                              IODebugContext*) override {
    return ToIOStatus(fs_->CreateDir(path));
  }
  IOStatus DeleteDir(const std::string& path, const IOOptions&,
                     IODebugContext*) override {
    return ToIOStatus(fs_->RemoveDir(path));
  }
  IOStatus GetFileSize(const std::string& path, const IOOptions&,
                       uint64_t* size, IODebugContext*) override {
    const auto info = fs_->Stat(path);
    *size = info.ok() ? info->size : 0;
    return ToIOStatus(info.status());
  }
  /// Only for options that we do not use (time to live, archived logs).
  IOStatus GetFileModificationTime(const std::string& path, const IOOptions&,
                                   uint64_t* time, IODebugContext*) override {
    *time = 0;
    return ToIOStatus(fs_->Stat(path).status());
  }
  IOStatus RenameFile(const std::string& from, const std::string& to,
                      const IOOptions&, IODebugContext*) override {
    return ToIOStatus(fs_->Rename(from, to));
  }
  IOStatus LinkFile(const std::string& from, const std::string& to,
                    const IOOptions&, IODebugContext*) override {
    return ToIOStatus(fs_->HardLink(from, to));
  }
  IOStatus AreFilesSame(const std::string& a, const std::string& b,
                        const IOOptions&, bool* same,
                        IODebugContext*) override {
    *same = a == b;
    return IOStatus::OK();
  }
  IOStatus LockFile(const std::string& path, const IOOptions&,
                    rocksdb::FileLock** lock, IODebugContext*) override {
    *lock = nullptr;
    auto held = fs_->Lock(path);
    if (!held.ok()) return ToIOStatus(held.status());
    *lock = new EnvFileLock(*std::move(held));
    return IOStatus::OK();
  }
  IOStatus UnlockFile(rocksdb::FileLock* lock, const IOOptions&,
                      IODebugContext*) override {
    delete lock;
    return IOStatus::OK();
  }
  IOStatus GetTestDirectory(const IOOptions&, std::string*,
                            IODebugContext*) override {
    return IOStatus::NotSupported("GetTestDirectory");
  }
  IOStatus GetAbsolutePath(const std::string& path, const IOOptions&,
                           std::string* out, IODebugContext*) override {
    *out = path;
    return IOStatus::OK();
  }
  IOStatus GetFreeSpace(const std::string& path, const IOOptions&,
                        uint64_t* bytes, IODebugContext*) override {
    const auto free = fs_->FreeBytes(path);
    *bytes = free.ok() ? *free : 0;
    return ToIOStatus(free.status());
  }
  IOStatus IsDirectory(const std::string& path, const IOOptions&, bool* is_dir,
                       IODebugContext*) override {
    const auto info = fs_->Stat(path);
    *is_dir = info.ok() && info->is_directory;
    return ToIOStatus(info.status());
  }

 private:
  IOStatus OpenWritable(const std::string& path,
                        varve::FileSystem::WriteMode mode,
                        std::unique_ptr<rocksdb::FSWritableFile>* result) {
    auto file = fs_->OpenWritable(path, mode);
    if (!file.ok()) return ToIOStatus(file.status());
    *result = std::make_unique<EnvWritableFile>(*std::move(file));
    return IOStatus::OK();
  }

  varve::FileSystem* const fs_;
};

class EnvLogger final : public rocksdb::Logger {
 public:
  explicit EnvLogger(varve::Logger logger)
      : rocksdb::Logger(rocksdb::InfoLogLevel::WARN_LEVEL),
        logger_(std::move(logger)) {}

  using rocksdb::Logger::Logv;
  void Logv(const char* format, va_list args) override {
    char text[1024];
    std::vsnprintf(text, sizeof(text), format, args);
    logger_.Warn("rocksdb", "{}", text);
  }

 protected:
  rocksdb::Status CloseImpl() override { return rocksdb::Status::OK(); }

 private:
  const varve::Logger logger_;
};

}  // namespace

std::unique_ptr<rocksdb::Env> NewRocksDbEnv(FileSystem* fs) {
  return rocksdb::NewCompositeEnv(std::make_shared<EnvFileSystem>(fs));
}

std::shared_ptr<rocksdb::Logger> NewRocksDbLogger(Logger logger) {
  return std::make_shared<EnvLogger>(std::move(logger));
}

}  // namespace varve
