#include "tests/support/memory_file_system.h"

#include <algorithm>
#include <map>
#include <random>

#include "storage/mutex.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

struct Node;
using NodePtr = std::shared_ptr<Node>;
using Names = std::map<std::string, NodePtr, std::less<>>;

/// One step of a directory's history since its last sync: all of its changes
/// happen together (a rename inside one directory is one step).
struct NameChange {
  std::string name;
  NodePtr node;  // null: the name goes
};
using NameStep = std::vector<NameChange>;

struct Node {
  bool is_directory = false;
  bool locked = false;
  // A file: its bytes, what of them is durable, and the lowest offset at which
  // the two may differ.
  std::string data;
  std::string durable;
  size_t dirty_from = 0;
  // A directory.
  Names names;
  Names durable_names;
  std::vector<NameStep> pending;
};

/// A path's parts; "." and empty parts do not count.
std::vector<std::string_view> Split(std::string_view path) {
  std::vector<std::string_view> parts;
  while (!path.empty()) {
    const size_t slash = std::min(path.find('/'), path.size());
    const std::string_view part = path.substr(0, slash);
    if (!part.empty() && part != ".") parts.push_back(part);
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  return parts;
}

absl::Status Missing(std::string_view what, const std::string& path) {
  return NotFound("{} {}: No such file or directory", what, path);
}

void Apply(const NameStep& step, Names* names) {
  for (const NameChange& change : step) {
    if (change.node == nullptr) {
      names->erase(change.name);
    } else {
      names->insert_or_assign(change.name, change.node);
    }
  }
}

/// The copy of a tree that a crash or a kill leaves. A file with several names
/// stays one file.
class Copier {
 public:
  enum class Keep { kDurable, kSome, kAll };
  Copier(Keep keep, uint64_t seed) : keep_(keep), random_(seed) {}

  NodePtr Copy(const NodePtr& node) {
    if (auto it = copies_.find(node.get()); it != copies_.end()) {
      return it->second;
    }
    auto copy = std::make_shared<Node>();
    copies_.emplace(node.get(), copy);
    copy->is_directory = node->is_directory;
    if (!node->is_directory) {
      copy->data = copy->durable = Bytes(*node);
      copy->dirty_from = copy->data.size();
      return copy;
    }
    for (const auto& [name, child] : SurvivingNames(*node)) {
      copy->names.emplace(name, Copy(child));
    }
    copy->durable_names = copy->names;
    return copy;
  }

 private:
  uint64_t Below(uint64_t n) { return random_() % n; }

  std::string Bytes(const Node& node) {
    if (keep_ == Keep::kAll) return node.data;
    if (keep_ == Keep::kDurable || node.data.size() <= node.dirty_from) {
      return node.durable;
    }
    // Overwritten and appended bytes up to some point have reached the disk.
    const size_t until =
        node.dirty_from + Below(node.data.size() - node.dirty_from + 1);
    std::string bytes = node.durable;
    if (bytes.size() < until) bytes.resize(until);
    const bool zeros = Below(4) == 0;
    if (!zeros) {
      std::copy(node.data.begin() + static_cast<ptrdiff_t>(node.dirty_from),
                node.data.begin() + static_cast<ptrdiff_t>(until),
                bytes.begin() + static_cast<ptrdiff_t>(node.dirty_from));
    }
    return bytes;
  }

  Names SurvivingNames(const Node& node) {
    if (keep_ == Keep::kAll) return node.names;
    Names names = node.durable_names;
    if (keep_ == Keep::kSome) {
      const size_t steps = Below(node.pending.size() + 1);
      for (size_t i = 0; i < steps; ++i) Apply(node.pending[i], &names);
    }
    return names;
  }

  const Keep keep_;
  std::mt19937_64 random_;
  std::map<const Node*, NodePtr> copies_;
};

}  // namespace

struct MemoryFileSystem::Disk {
  Mutex mutex;
  NodePtr root ABSL_GUARDED_BY(mutex) = std::make_shared<Node>();

  Disk() { root->is_directory = true; }

  NodePtr Find(std::string_view path) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    return FindParts(Split(path));
  }
  NodePtr FindParts(std::span<const std::string_view> parts)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    NodePtr node = root;
    for (const std::string_view part : parts) {
      auto it = node->names.find(part);
      if (it == node->names.end()) return nullptr;
      node = it->second;
    }
    return node;
  }
  /// The directory that holds `path`'s last part, which goes to `name`; null
  /// when there is none.
  NodePtr FindParent(std::string_view path, std::string* name)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    const auto parts = Split(path);
    if (parts.empty()) return nullptr;
    *name = parts.back();
    NodePtr node = FindParts(std::span(parts).first(parts.size() - 1));
    return node != nullptr && node->is_directory ? node : nullptr;
  }
  static void Change(Node* directory, NameStep step) {
    Apply(step, &directory->names);
    directory->pending.push_back(std::move(step));
  }
  absl::StatusOr<NodePtr> OpenOrCreate(const std::string& path)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    std::string name;
    const NodePtr parent = FindParent(path, &name);
    if (parent == nullptr) return Missing("open", path);
    if (auto it = parent->names.find(name); it != parent->names.end()) {
      if (it->second->is_directory) {
        return Unavailable("open {}: Is a directory", path);
      }
      return it->second;
    }
    auto node = std::make_shared<Node>();
    Change(parent.get(), {{name, node}});
    return node;
  }
};

class MemoryWritableFile final : public WritableFile {
 public:
  MemoryWritableFile(std::shared_ptr<MemoryFileSystem::Disk> disk, NodePtr node,
                     uint64_t at)
      : disk_(std::move(disk)), node_(std::move(node)), at_(at) {}

  absl::Status Append(std::string_view data) override {
    MutexLock lock(&disk_->mutex);
    std::string& bytes = node_->data;
    if (bytes.size() < at_ + data.size()) bytes.resize(at_ + data.size());
    std::copy(data.begin(), data.end(),
              bytes.begin() + static_cast<ptrdiff_t>(at_));
    node_->dirty_from = std::min<size_t>(node_->dirty_from, at_);
    at_ += data.size();
    return absl::OkStatus();
  }
  absl::Status Append(std::span<const std::string_view> pieces) override {
    for (const std::string_view piece : pieces) {
      VARVE_RETURN_IF_ERROR(Append(piece));
    }
    return absl::OkStatus();
  }
  absl::Status Sync() override {
    MutexLock lock(&disk_->mutex);
    node_->durable.resize(node_->data.size());
    std::copy(
        node_->data.begin() + static_cast<ptrdiff_t>(node_->dirty_from),
        node_->data.end(),
        node_->durable.begin() + static_cast<ptrdiff_t>(node_->dirty_from));
    node_->dirty_from = node_->data.size();
    return absl::OkStatus();
  }
  absl::Status Truncate(uint64_t size) override {
    MutexLock lock(&disk_->mutex);
    node_->data.resize(size);
    node_->dirty_from = std::min<size_t>(node_->dirty_from, size);
    at_ = size;
    return absl::OkStatus();
  }
  absl::Status Reserve(uint64_t) override { return absl::OkStatus(); }
  absl::Status Close() override { return absl::OkStatus(); }
  uint64_t size() const override { return at_; }

 private:
  const std::shared_ptr<MemoryFileSystem::Disk> disk_;
  const NodePtr node_;
  uint64_t at_;
};

class MemoryRandomAccessFile final : public RandomAccessFile {
 public:
  MemoryRandomAccessFile(std::shared_ptr<MemoryFileSystem::Disk> disk,
                         NodePtr node, std::string path)
      : disk_(std::move(disk)),
        node_(std::move(node)),
        path_(std::move(path)) {}

  absl::Status ReadExactly(uint64_t offset,
                           std::span<char> out) const override {
    VARVE_ASSIGN_OR_RETURN(const size_t n, ReadSome(offset, out));
    if (n == out.size()) return absl::OkStatus();
    return DataLoss("{}: expected {} bytes at offset {}, found {}", path_,
                    out.size(), offset, n);
  }
  absl::StatusOr<size_t> ReadSome(uint64_t offset,
                                  std::span<char> out) const override {
    MutexLock lock(&disk_->mutex);
    if (offset >= node_->data.size()) return size_t{0};
    return node_->data.copy(out.data(), out.size(), offset);
  }
  absl::StatusOr<uint64_t> Size() const override {
    MutexLock lock(&disk_->mutex);
    return node_->data.size();
  }

 private:
  const std::shared_ptr<MemoryFileSystem::Disk> disk_;
  const NodePtr node_;
  const std::string path_;
};

class MemoryFileLock final : public FileLock {
 public:
  MemoryFileLock(std::shared_ptr<MemoryFileSystem::Disk> disk, NodePtr node)
      : disk_(std::move(disk)), node_(std::move(node)) {}
  ~MemoryFileLock() override {
    MutexLock lock(&disk_->mutex);
    node_->locked = false;
  }

 private:
  const std::shared_ptr<MemoryFileSystem::Disk> disk_;
  const NodePtr node_;
};

MemoryFileSystem::MemoryFileSystem()
    : MemoryFileSystem(std::make_shared<Disk>()) {}
MemoryFileSystem::MemoryFileSystem(std::shared_ptr<Disk> disk)
    : disk_(std::move(disk)) {}
MemoryFileSystem::~MemoryFileSystem() = default;

std::unique_ptr<MemoryFileSystem> MemoryFileSystem::CrashImage(
    std::optional<uint64_t> seed) const {
  auto disk = std::make_shared<Disk>();
  {
    MutexLock from(&disk_->mutex);
    MutexLock to(&disk->mutex);
    const auto keep = seed ? Copier::Keep::kSome : Copier::Keep::kDurable;
    disk->root = Copier(keep, seed.value_or(0)).Copy(disk_->root);
  }
  return std::unique_ptr<MemoryFileSystem>(
      new MemoryFileSystem(std::move(disk)));
}

std::unique_ptr<MemoryFileSystem> MemoryFileSystem::KillImage() const {
  auto disk = std::make_shared<Disk>();
  {
    MutexLock from(&disk_->mutex);
    MutexLock to(&disk->mutex);
    disk->root = Copier(Copier::Keep::kAll, 0).Copy(disk_->root);
  }
  return std::unique_ptr<MemoryFileSystem>(
      new MemoryFileSystem(std::move(disk)));
}

absl::StatusOr<std::unique_ptr<WritableFile>> MemoryFileSystem::OpenWritable(
    const std::string& path, WriteMode mode) {
  MutexLock lock(&disk_->mutex);
  VARVE_ASSIGN_OR_RETURN(NodePtr node, disk_->OpenOrCreate(path));
  if (mode == WriteMode::kCreateOrTruncate) {
    node->data.clear();
    node->dirty_from = 0;
  }
  const uint64_t at = mode == WriteMode::kAppend ? node->data.size() : 0;
  return std::make_unique<MemoryWritableFile>(disk_, std::move(node), at);
}

absl::StatusOr<std::unique_ptr<RandomAccessFile>>
MemoryFileSystem::OpenRandomAccess(const std::string& path) {
  MutexLock lock(&disk_->mutex);
  NodePtr node = disk_->Find(path);
  if (node == nullptr) return Missing("open", path);
  if (node->is_directory) return Unavailable("open {}: Is a directory", path);
  return std::make_unique<MemoryRandomAccessFile>(disk_, std::move(node), path);
}

absl::StatusOr<bool> MemoryFileSystem::Exists(const std::string& path) {
  MutexLock lock(&disk_->mutex);
  return disk_->Find(path) != nullptr;
}

absl::StatusOr<FileInfo> MemoryFileSystem::Stat(const std::string& path) {
  MutexLock lock(&disk_->mutex);
  const NodePtr node = disk_->Find(path);
  if (node == nullptr) return Missing("stat", path);
  return FileInfo{path.substr(path.rfind('/') + 1), node->is_directory,
                  node->data.size()};
}

absl::StatusOr<std::vector<FileInfo>> MemoryFileSystem::List(
    const std::string& directory) {
  MutexLock lock(&disk_->mutex);
  const NodePtr node = disk_->Find(directory);
  if (node == nullptr || !node->is_directory) return Missing("list", directory);
  std::vector<FileInfo> entries;
  for (const auto& [name, child] : node->names) {
    entries.push_back({name, child->is_directory, child->data.size()});
  }
  return entries;
}

absl::Status MemoryFileSystem::CreateDir(const std::string& directory) {
  MutexLock lock(&disk_->mutex);
  NodePtr node = disk_->root;
  for (const std::string_view part : Split(directory)) {
    NodePtr& child = node->names[std::string(part)];
    if (child == nullptr) {
      child = std::make_shared<Node>();
      child->is_directory = true;
      // As the real one does: the parent is synced, all of its names are.
      node->pending.clear();
      node->durable_names = node->names;
    } else if (!child->is_directory) {
      return Unavailable("create directory {}: File exists", directory);
    }
    node = child;
  }
  return absl::OkStatus();
}

absl::Status MemoryFileSystem::SyncDir(const std::string& directory) {
  MutexLock lock(&disk_->mutex);
  const NodePtr node = disk_->Find(directory);
  if (node == nullptr || !node->is_directory) {
    return Missing("sync directory", directory);
  }
  node->pending.clear();
  node->durable_names = node->names;
  return absl::OkStatus();
}

absl::Status MemoryFileSystem::Remove(const std::string& path) {
  MutexLock lock(&disk_->mutex);
  const NodePtr node = disk_->Find(path);
  if (node == nullptr) return Missing("remove", path);
  if (node->is_directory) {
    return Unavailable("remove {}: Is a directory", path);
  }
  std::string name;
  const NodePtr parent = disk_->FindParent(path, &name);
  Disk::Change(parent.get(), {{name, nullptr}});
  return absl::OkStatus();
}

absl::Status MemoryFileSystem::RemoveDir(const std::string& directory) {
  MutexLock lock(&disk_->mutex);
  const NodePtr node = disk_->Find(directory);
  std::string name;
  const NodePtr parent = disk_->FindParent(directory, &name);
  if (node == nullptr || parent == nullptr || !node->is_directory) {
    return Missing("remove directory", directory);
  }
  if (!node->names.empty()) {
    return Unavailable("remove directory {}: Directory not empty", directory);
  }
  Disk::Change(parent.get(), {{name, nullptr}});
  return absl::OkStatus();
}

absl::Status MemoryFileSystem::Rename(const std::string& from,
                                      const std::string& to) {
  MutexLock lock(&disk_->mutex);
  const NodePtr node = disk_->Find(from);
  std::string from_name;
  std::string to_name;
  const NodePtr from_parent = disk_->FindParent(from, &from_name);
  const NodePtr to_parent = disk_->FindParent(to, &to_name);
  if (node == nullptr || from_parent == nullptr || to_parent == nullptr) {
    return Missing("rename", from + " to " + to);
  }
  if (disk_->Find(to) == node) return absl::OkStatus();
  if (from_parent == to_parent) {
    Disk::Change(from_parent.get(), {{from_name, nullptr}, {to_name, node}});
  } else {
    Disk::Change(to_parent.get(), {{to_name, node}});
    Disk::Change(from_parent.get(), {{from_name, nullptr}});
  }
  return absl::OkStatus();
}

absl::Status MemoryFileSystem::HardLink(const std::string& from,
                                        const std::string& to) {
  MutexLock lock(&disk_->mutex);
  const NodePtr node = disk_->Find(from);
  std::string name;
  const NodePtr parent = disk_->FindParent(to, &name);
  if (node == nullptr || parent == nullptr) {
    return Missing("link", from + " to " + to);
  }
  if (parent->names.contains(name)) {
    return Unavailable("link {} to {}: File exists", from, to);
  }
  Disk::Change(parent.get(), {{name, node}});
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<FileLock>> MemoryFileSystem::Lock(
    const std::string& path) {
  MutexLock lock(&disk_->mutex);
  VARVE_ASSIGN_OR_RETURN(NodePtr node, disk_->OpenOrCreate(path));
  if (node->locked) {
    return FailedPrecondition("lock {}: held by another process or Db", path);
  }
  node->locked = true;
  return std::make_unique<MemoryFileLock>(disk_, std::move(node));
}

absl::StatusOr<uint64_t> MemoryFileSystem::FreeBytes(
    const std::string& directory) {
  MutexLock lock(&disk_->mutex);
  if (disk_->Find(directory) == nullptr) return Missing("statvfs", directory);
  return uint64_t{1} << 40;
}

}  // namespace varve
