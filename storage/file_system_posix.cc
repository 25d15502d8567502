#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <system_error>

#include "storage/file_system.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

/// What errno says about an operation on `path`.
absl::Status ErrnoStatus(std::string_view what, const std::string& path,
                         int error) {
  std::string text = fmt::format("{} {}: {}", what, path,
                                 std::generic_category().message(error));
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return absl::NotFoundError(std::move(text));
    case ENOSPC:
    case EDQUOT:
      return absl::ResourceExhaustedError(std::move(text));
    default:
      return absl::UnavailableError(std::move(text));
  }
}

/// An open file descriptor, closed at the end.
class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  Fd(Fd&& other) noexcept : fd_(other.Release()) {}
  Fd& operator=(Fd&&) = delete;
  int get() const { return fd_; }
  int Release() {
    const int fd = fd_;
    fd_ = -1;
    return fd;
  }

 private:
  int fd_;
};

absl::StatusOr<Fd> OpenFd(const std::string& path, int flags) {
  int fd;
  do {
    fd = ::open(path.c_str(), flags | O_CLOEXEC, 0666);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) return ErrnoStatus("open", path, errno);
  return Fd(fd);
}

class PosixWritableFile final : public WritableFile {
 public:
  PosixWritableFile(std::string path, Fd fd, uint64_t size)
      : path_(std::move(path)), fd_(std::move(fd)), size_(size) {}

  absl::Status Append(std::string_view data) override {
    return Append(std::span<const std::string_view>(&data, 1));
  }

  absl::Status Append(std::span<const std::string_view> pieces) override {
    while (!pieces.empty()) {
      iovec vectors[64];
      size_t n = 0;
      for (; n < pieces.size() && n < std::size(vectors); ++n) {
        vectors[n].iov_base = const_cast<char*>(pieces[n].data());
        vectors[n].iov_len = pieces[n].size();
      }
      VARVE_RETURN_IF_ERROR(WriteAll(std::span(vectors, n)));
      pieces = pieces.subspan(n);
    }
    return absl::OkStatus();
  }

  absl::Status Sync() override {
    if (::fdatasync(fd_.get()) != 0) {
      return ErrnoStatus("fdatasync", path_, errno);
    }
    return absl::OkStatus();
  }

  absl::Status Truncate(uint64_t size) override {
    int result;
    do {
      result = ::ftruncate(fd_.get(), static_cast<off_t>(size));
    } while (result != 0 && errno == EINTR);
    if (result != 0) return ErrnoStatus("truncate", path_, errno);
    size_ = size;
    return absl::OkStatus();
  }

  absl::Status Reserve(uint64_t bytes) override {
    if (bytes <= size_) return absl::OkStatus();
    int result;
    do {
      result =
          ::fallocate(fd_.get(), FALLOC_FL_KEEP_SIZE, static_cast<off_t>(size_),
                      static_cast<off_t>(bytes - size_));
    } while (result != 0 && errno == EINTR);
    reserved_ = reserved_ || result == 0 || errno == ENOSPC;
    if (result == 0 || errno == EOPNOTSUPP) return absl::OkStatus();
    return ErrnoStatus("reserve room for", path_, errno);
  }

  absl::Status Close() override {
    // Frees what lies behind the end.
    if (reserved_ && fd_.get() >= 0) VARVE_RETURN_IF_ERROR(Truncate(size_));
    reserved_ = false;
    const int fd = fd_.Release();
    if (fd >= 0 && ::close(fd) != 0 && errno != EINTR) {
      return ErrnoStatus("close", path_, errno);
    }
    return absl::OkStatus();
  }

  uint64_t size() const override { return size_; }

 private:
  /// Writes all of the vectors, which it changes, at size_.
  absl::Status WriteAll(std::span<iovec> vectors) {
    while (!vectors.empty()) {
      const ssize_t n =
          ::pwritev(fd_.get(), vectors.data(), static_cast<int>(vectors.size()),
                    static_cast<off_t>(size_));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return ErrnoStatus("write", path_, errno);
      size_ += static_cast<uint64_t>(n);
      auto left = static_cast<size_t>(n);
      while (!vectors.empty() && left >= vectors.front().iov_len) {
        left -= vectors.front().iov_len;
        vectors = vectors.subspan(1);
      }
      if (left > 0) {
        iovec& first = vectors.front();
        first.iov_base = static_cast<char*>(first.iov_base) + left;
        first.iov_len -= left;
      }
    }
    return absl::OkStatus();
  }

  const std::string path_;
  Fd fd_;
  bool reserved_ = false;  ///< there may be room behind the end
  uint64_t size_;
};

class PosixRandomAccessFile final : public RandomAccessFile {
 public:
  PosixRandomAccessFile(std::string path, Fd fd)
      : path_(std::move(path)), fd_(std::move(fd)) {}

  absl::Status ReadExactly(uint64_t offset,
                           std::span<char> out) const override {
    VARVE_ASSIGN_OR_RETURN(const size_t n, ReadSome(offset, out));
    if (n < out.size()) {
      return DataLoss("{}: expected {} bytes at offset {}, found {}", path_,
                      out.size(), offset, n);
    }
    return absl::OkStatus();
  }

  absl::StatusOr<size_t> ReadSome(uint64_t offset,
                                  std::span<char> out) const override {
    size_t done = 0;
    while (done < out.size()) {
      const ssize_t n = ::pread(fd_.get(), out.data() + done, out.size() - done,
                                static_cast<off_t>(offset + done));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return ErrnoStatus("read", path_, errno);
      if (n == 0) break;
      done += static_cast<size_t>(n);
    }
    return done;
  }

  absl::StatusOr<uint64_t> Size() const override {
    struct stat st;
    if (::fstat(fd_.get(), &st) != 0) return ErrnoStatus("stat", path_, errno);
    return static_cast<uint64_t>(st.st_size);
  }

 private:
  const std::string path_;
  const Fd fd_;
};

class PosixFileLock final : public FileLock {
 public:
  explicit PosixFileLock(Fd fd) : fd_(std::move(fd)) {}

 private:
  const Fd fd_;  // closing it frees the lock
};

/// One of the calls that take a path and give 0 or -1.
template <typename Call>
absl::Status PathCall(std::string_view what, const std::string& path,
                      Call call) {
  int result;
  do {
    result = call();
  } while (result != 0 && errno == EINTR);
  return result == 0 ? absl::OkStatus() : ErrnoStatus(what, path, errno);
}

std::string ParentOf(const std::string& path) {
  const size_t last = path.find_last_not_of('/');
  const size_t slash = path.rfind('/', last);
  if (last == std::string::npos || slash == 0) return "/";
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

class PosixFileSystem final : public FileSystem {
 public:
  absl::StatusOr<std::unique_ptr<WritableFile>> OpenWritable(
      const std::string& path, WriteMode mode) override {
    const int truncate = mode == WriteMode::kCreateOrTruncate ? O_TRUNC : 0;
    VARVE_ASSIGN_OR_RETURN(Fd fd, OpenFd(path, O_WRONLY | O_CREAT | truncate));
    uint64_t size = 0;
    if (mode == WriteMode::kAppend) {
      struct stat st;
      if (::fstat(fd.get(), &st) != 0) return ErrnoStatus("stat", path, errno);
      size = static_cast<uint64_t>(st.st_size);
    }
    return std::make_unique<PosixWritableFile>(path, std::move(fd), size);
  }

  absl::StatusOr<std::unique_ptr<RandomAccessFile>> OpenRandomAccess(
      const std::string& path) override {
    VARVE_ASSIGN_OR_RETURN(Fd fd, OpenFd(path, O_RDONLY));
    return std::make_unique<PosixRandomAccessFile>(path, std::move(fd));
  }

  absl::StatusOr<bool> Exists(const std::string& path) override {
    const absl::StatusOr<FileInfo> info = Stat(path);
    if (info.ok()) return true;
    if (absl::IsNotFound(info.status())) return false;
    return info.status();
  }

  absl::StatusOr<FileInfo> Stat(const std::string& path) override {
    struct stat st;
    VARVE_RETURN_IF_ERROR(
        PathCall("stat", path, [&] { return ::stat(path.c_str(), &st); }));
    FileInfo info;
    info.name = path.substr(path.rfind('/') + 1);
    info.is_directory = S_ISDIR(st.st_mode);
    info.size = static_cast<uint64_t>(st.st_size);
    return info;
  }

  absl::StatusOr<std::vector<FileInfo>> List(
      const std::string& directory) override {
    std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(directory.c_str()),
                                            ::closedir);
    if (dir == nullptr) return ErrnoStatus("list", directory, errno);
    std::vector<FileInfo> entries;
    while (true) {
      errno = 0;
      const dirent* entry = ::readdir(dir.get());
      if (entry == nullptr && errno != 0) {
        return ErrnoStatus("list", directory, errno);
      }
      if (entry == nullptr) return entries;
      const std::string_view name = entry->d_name;
      if (name == "." || name == "..") continue;
      absl::StatusOr<FileInfo> info =
          Stat(fmt::format("{}/{}", directory, name));
      // Removed since, or a dangling link: not there.
      if (absl::IsNotFound(info.status())) continue;
      VARVE_RETURN_IF_ERROR(info.status());
      entries.push_back(*std::move(info));
    }
  }

  absl::Status CreateDir(const std::string& directory) override {
    if (::mkdir(directory.c_str(), 0777) == 0) {
      return SyncDir(ParentOf(directory));
    }
    if (errno == ENOENT && ParentOf(directory) != directory) {
      VARVE_RETURN_IF_ERROR(CreateDir(ParentOf(directory)));
      return CreateDir(directory);
    }
    const int error = errno;
    const absl::StatusOr<FileInfo> info = Stat(directory);
    if (info.ok() && info->is_directory) return absl::OkStatus();
    return ErrnoStatus("create directory", directory, error);
  }

  absl::Status SyncDir(const std::string& directory) override {
    VARVE_ASSIGN_OR_RETURN(Fd fd, OpenFd(directory, O_RDONLY | O_DIRECTORY));
    return PathCall("sync directory", directory,
                    [&] { return ::fsync(fd.get()); });
  }

  absl::Status Remove(const std::string& path) override {
    return PathCall("remove", path, [&] { return ::unlink(path.c_str()); });
  }
  absl::Status RemoveDir(const std::string& directory) override {
    return PathCall("remove directory", directory,
                    [&] { return ::rmdir(directory.c_str()); });
  }
  absl::Status Rename(const std::string& from, const std::string& to) override {
    return PathCall("rename", from + " to " + to,
                    [&] { return ::rename(from.c_str(), to.c_str()); });
  }
  absl::Status HardLink(const std::string& from,
                        const std::string& to) override {
    return PathCall("link", from + " to " + to,
                    [&] { return ::link(from.c_str(), to.c_str()); });
  }

  absl::StatusOr<std::unique_ptr<FileLock>> Lock(
      const std::string& path) override {
    VARVE_ASSIGN_OR_RETURN(Fd fd, OpenFd(path, O_RDWR | O_CREAT));
    // flock belongs to this open file, so it also keeps out a second Db of the
    // same process, which a POSIX lock would not.
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) return ErrnoStatus("lock", path, errno);
      return FailedPrecondition("lock {}: held by another process or Db", path);
    }
    return std::make_unique<PosixFileLock>(std::move(fd));
  }

  absl::StatusOr<uint64_t> FreeBytes(const std::string& directory) override {
    struct statvfs st;
    VARVE_RETURN_IF_ERROR(PathCall("statvfs", directory, [&] {
      return ::statvfs(directory.c_str(), &st);
    }));
    return static_cast<uint64_t>(st.f_bavail) * st.f_frsize;
  }
};

}  // namespace

FileSystem* FileSystem::Posix() {
  static PosixFileSystem fs;
  return &fs;
}

}  // namespace varve
