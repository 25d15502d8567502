#include "tests/support/fault_file_system.h"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

#include "storage/status_macros.h"

namespace varve {

struct FaultFileSystem::State {
  Mutex mutex;
  std::array<int64_t, 32> calls ABSL_GUARDED_BY(mutex) = {};
  int64_t fail_in ABSL_GUARDED_BY(mutex) = 0;  // 0: never
  bool fail_for_good ABSL_GUARDED_BY(mutex) = false;
  uint32_t fail_ops ABSL_GUARDED_BY(mutex) = 0;
  absl::Status fail_status ABSL_GUARDED_BY(mutex);
  std::optional<uint64_t> free_bytes ABSL_GUARDED_BY(mutex);
  std::shared_ptr<const Hook> hook ABSL_GUARDED_BY(mutex);

  /// Counts a call; its error if it has to fail.
  absl::Status Enter(Op op, const std::string& path) {
    std::shared_ptr<const Hook> hook_now;
    {
      MutexLock lock(&mutex);
      ++calls[std::countr_zero(static_cast<uint32_t>(op))];
      if (fail_in > 0 && (fail_ops & op) != 0) {
        const bool now = fail_in == 1;
        if (now && fail_for_good) return fail_status;
        --fail_in;
        if (now) return fail_status;
      }
      hook_now = hook;
    }
    return hook_now == nullptr ? absl::OkStatus() : (*hook_now)(op, path);
  }

  /// How many of `bytes` still fit; they are taken from what is free.
  uint64_t TakeBytes(uint64_t bytes) {
    MutexLock lock(&mutex);
    if (!free_bytes) return bytes;
    const uint64_t taken = std::min(bytes, *free_bytes);
    *free_bytes -= taken;
    return taken;
  }
};

class FaultWritableFile final : public WritableFile {
 public:
  FaultWritableFile(std::shared_ptr<FaultFileSystem::State> state,
                    std::string path, std::unique_ptr<WritableFile> base)
      : state_(std::move(state)),
        path_(std::move(path)),
        base_(std::move(base)) {}

  absl::Status Append(std::string_view data) override {
    VARVE_RETURN_IF_ERROR(state_->Enter(FaultFileSystem::kAppend, path_));
    const uint64_t fits = state_->TakeBytes(data.size());
    VARVE_RETURN_IF_ERROR(base_->Append(data.substr(0, fits)));
    if (fits == data.size()) return absl::OkStatus();
    return ResourceExhausted("write {}: No space left on device", path_);
  }
  absl::Status Append(std::span<const std::string_view> pieces) override {
    std::string all;
    for (const std::string_view piece : pieces) all += piece;
    return Append(all);
  }
  absl::Status Sync() override {
    VARVE_RETURN_IF_ERROR(state_->Enter(FaultFileSystem::kSync, path_));
    return base_->Sync();
  }
  absl::Status Truncate(uint64_t size) override {
    VARVE_RETURN_IF_ERROR(state_->Enter(FaultFileSystem::kTruncate, path_));
    return base_->Truncate(size);
  }
  absl::Status Reserve(uint64_t bytes) override {
    VARVE_RETURN_IF_ERROR(state_->Enter(FaultFileSystem::kReserve, path_));
    return base_->Reserve(bytes);
  }
  absl::Status Close() override {
    VARVE_RETURN_IF_ERROR(state_->Enter(FaultFileSystem::kClose, path_));
    return base_->Close();
  }
  uint64_t size() const override { return base_->size(); }

 private:
  const std::shared_ptr<FaultFileSystem::State> state_;
  const std::string path_;
  const std::unique_ptr<WritableFile> base_;
};

class FaultRandomAccessFile final : public RandomAccessFile {
 public:
  FaultRandomAccessFile(std::shared_ptr<FaultFileSystem::State> state,
                        std::string path,
                        std::unique_ptr<RandomAccessFile> base)
      : state_(std::move(state)),
        path_(std::move(path)),
        base_(std::move(base)) {}

  absl::Status ReadExactly(uint64_t offset,
                           std::span<char> out) const override {
    VARVE_RETURN_IF_ERROR(state_->Enter(FaultFileSystem::kRead, path_));
    return base_->ReadExactly(offset, out);
  }
  absl::StatusOr<size_t> ReadSome(uint64_t offset,
                                  std::span<char> out) const override {
    VARVE_RETURN_IF_ERROR(state_->Enter(FaultFileSystem::kRead, path_));
    return base_->ReadSome(offset, out);
  }
  absl::StatusOr<uint64_t> Size() const override {
    VARVE_RETURN_IF_ERROR(state_->Enter(FaultFileSystem::kRead, path_));
    return base_->Size();
  }

 private:
  const std::shared_ptr<FaultFileSystem::State> state_;
  const std::string path_;
  const std::unique_ptr<RandomAccessFile> base_;
};

FaultFileSystem::FaultFileSystem(FileSystem* base)
    : base_(base), state_(std::make_shared<State>()) {}
FaultFileSystem::~FaultFileSystem() = default;

void FaultFileSystem::FailCall(int64_t n, absl::Status status, uint32_t ops,
                               bool for_good) {
  MutexLock lock(&state_->mutex);
  state_->fail_in = n;
  state_->fail_status = std::move(status);
  state_->fail_ops = ops;
  state_->fail_for_good = for_good;
}

void FaultFileSystem::Heal() { FailCall(0, absl::OkStatus()); }

int64_t FaultFileSystem::calls(uint32_t ops) const {
  MutexLock lock(&state_->mutex);
  int64_t sum = 0;
  for (size_t bit = 0; bit < state_->calls.size(); ++bit) {
    if ((ops >> bit) & 1) sum += state_->calls[bit];
  }
  return sum;
}

void FaultFileSystem::ResetCalls() {
  MutexLock lock(&state_->mutex);
  state_->calls.fill(0);
}

void FaultFileSystem::SetFreeBytes(std::optional<uint64_t> bytes) {
  MutexLock lock(&state_->mutex);
  state_->free_bytes = bytes;
}

void FaultFileSystem::SetHook(Hook hook) {
  MutexLock lock(&state_->mutex);
  state_->hook = hook ? std::make_shared<const Hook>(std::move(hook)) : nullptr;
}

absl::StatusOr<std::unique_ptr<WritableFile>> FaultFileSystem::OpenWritable(
    const std::string& path, WriteMode mode) {
  VARVE_RETURN_IF_ERROR(state_->Enter(kOpenWritable, path));
  VARVE_ASSIGN_OR_RETURN(auto file, base_->OpenWritable(path, mode));
  return std::make_unique<FaultWritableFile>(state_, path, std::move(file));
}

absl::StatusOr<std::unique_ptr<RandomAccessFile>>
FaultFileSystem::OpenRandomAccess(const std::string& path) {
  VARVE_RETURN_IF_ERROR(state_->Enter(kOpenRead, path));
  VARVE_ASSIGN_OR_RETURN(auto file, base_->OpenRandomAccess(path));
  return std::make_unique<FaultRandomAccessFile>(state_, path, std::move(file));
}

absl::StatusOr<bool> FaultFileSystem::Exists(const std::string& path) {
  VARVE_RETURN_IF_ERROR(state_->Enter(kStat, path));
  return base_->Exists(path);
}
absl::StatusOr<FileInfo> FaultFileSystem::Stat(const std::string& path) {
  VARVE_RETURN_IF_ERROR(state_->Enter(kStat, path));
  return base_->Stat(path);
}
absl::StatusOr<std::vector<FileInfo>> FaultFileSystem::List(
    const std::string& directory) {
  VARVE_RETURN_IF_ERROR(state_->Enter(kList, directory));
  return base_->List(directory);
}
absl::Status FaultFileSystem::CreateDir(const std::string& directory) {
  VARVE_RETURN_IF_ERROR(state_->Enter(kCreateDir, directory));
  return base_->CreateDir(directory);
}
absl::Status FaultFileSystem::SyncDir(const std::string& directory) {
  VARVE_RETURN_IF_ERROR(state_->Enter(kSyncDir, directory));
  return base_->SyncDir(directory);
}
absl::Status FaultFileSystem::Remove(const std::string& path) {
  VARVE_RETURN_IF_ERROR(state_->Enter(kRemove, path));
  return base_->Remove(path);
}
absl::Status FaultFileSystem::RemoveDir(const std::string& directory) {
  VARVE_RETURN_IF_ERROR(state_->Enter(kRemove, directory));
  return base_->RemoveDir(directory);
}
absl::Status FaultFileSystem::Rename(const std::string& from,
                                     const std::string& to) {
  VARVE_RETURN_IF_ERROR(state_->Enter(kRename, from));
  return base_->Rename(from, to);
}
absl::Status FaultFileSystem::HardLink(const std::string& from,
                                       const std::string& to) {
  VARVE_RETURN_IF_ERROR(state_->Enter(kHardLink, from));
  return base_->HardLink(from, to);
}
absl::StatusOr<std::unique_ptr<FileLock>> FaultFileSystem::Lock(
    const std::string& path) {
  VARVE_RETURN_IF_ERROR(state_->Enter(kLock, path));
  return base_->Lock(path);
}
absl::StatusOr<uint64_t> FaultFileSystem::FreeBytes(
    const std::string& directory) {
  VARVE_RETURN_IF_ERROR(state_->Enter(kFreeBytes, directory));
  {
    MutexLock lock(&state_->mutex);
    if (state_->free_bytes) return *state_->free_bytes;
  }
  return base_->FreeBytes(directory);
}

}  // namespace varve
