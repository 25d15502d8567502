#include "storage/file_system.h"

#include "storage/status_macros.h"

namespace varve {
namespace {

std::string DirectoryOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

/// Writes and syncs `path`; the caller removes it on error.
absl::Status WriteSynced(FileSystem* fs, const std::string& path,
                         std::string_view data) {
  VARVE_ASSIGN_OR_RETURN(
      auto file,
      fs->OpenWritable(path, FileSystem::WriteMode::kCreateOrTruncate));
  VARVE_RETURN_IF_ERROR(file->Append(data));
  VARVE_RETURN_IF_ERROR(file->Sync());
  return file->Close();
}

}  // namespace

absl::StatusOr<std::string> ReadFile(FileSystem* fs, const std::string& path,
                                     uint64_t bytes_max) {
  VARVE_ASSIGN_OR_RETURN(auto file, fs->OpenRandomAccess(path));
  VARVE_ASSIGN_OR_RETURN(const uint64_t size, file->Size());
  // Files in /proc and the like say 0 and hold more, so reading goes on until
  // the end.
  std::string data;
  uint64_t step = size + 1;
  while (true) {
    // One byte more than allowed is enough to see that it is too long.
    if (bytes_max - data.size() < step) step = bytes_max - data.size() + 1;
    const size_t old = data.size();
    data.resize(old + step);
    VARVE_ASSIGN_OR_RETURN(const size_t n,
                           file->ReadSome(old, {data.data() + old, step}));
    data.resize(old + n);
    if (data.size() > bytes_max) {
      return ResourceExhausted("{}: longer than {} bytes", path, bytes_max);
    }
    if (n < step) return data;
    step = 64 << 10;
  }
}

absl::Status WriteFileAtomically(FileSystem* fs, const std::string& path,
                                 std::string_view data) {
  const std::string temporary = path + ".tmp";
  if (absl::Status s = WriteSynced(fs, temporary, data); !s.ok()) {
    fs->Remove(temporary).IgnoreError();
    return s;
  }
  VARVE_RETURN_IF_ERROR(fs->Rename(temporary, path));
  return fs->SyncDir(DirectoryOf(path));
}

absl::Status LinkOrCopy(FileSystem* fs, const std::string& from,
                        const std::string& to) {
  const absl::Status linked = fs->HardLink(from, to);
  if (linked.ok() || absl::IsNotFound(linked)) return linked;
  // A file that is there may be the very same one: it must not be cut.
  VARVE_ASSIGN_OR_RETURN(const bool taken, fs->Exists(to));
  if (taken) return linked;
  VARVE_ASSIGN_OR_RETURN(auto in, fs->OpenRandomAccess(from));
  VARVE_ASSIGN_OR_RETURN(
      auto out, fs->OpenWritable(to, FileSystem::WriteMode::kCreateOrTruncate));
  std::string buffer(size_t{1} << 20, '\0');
  for (uint64_t at = 0;;) {
    VARVE_ASSIGN_OR_RETURN(const size_t n, in->ReadSome(at, buffer));
    VARVE_RETURN_IF_ERROR(out->Append(std::string_view(buffer).substr(0, n)));
    at += n;
    if (n < buffer.size()) break;
  }
  VARVE_RETURN_IF_ERROR(out->Sync());
  return out->Close();
}

absl::Status RemoveRecursively(FileSystem* fs, const std::string& directory) {
  auto entries = fs->List(directory);
  if (absl::IsNotFound(entries.status())) return absl::OkStatus();
  VARVE_RETURN_IF_ERROR(entries.status());
  for (const FileInfo& entry : *entries) {
    const std::string path = directory + "/" + entry.name;
    VARVE_RETURN_IF_ERROR(entry.is_directory ? RemoveRecursively(fs, path)
                                             : fs->Remove(path));
  }
  return fs->RemoveDir(directory);
}

}  // namespace varve
