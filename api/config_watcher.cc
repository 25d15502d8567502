#include "api/config_watcher.h"

#include <algorithm>
#include <functional>
#include <string_view>

#include "ingest/file_signature.h"
#include "storage/file_system.h"

namespace varve {
namespace {

constexpr uint64_t kFileBytesMax = uint64_t{64} << 20;

}  // namespace

ConfigWatcher::ConfigWatcher(std::vector<std::string> patterns) {
  SetPatterns(std::move(patterns));
}

void ConfigWatcher::SetPatterns(std::vector<std::string> patterns) {
  patterns_ = std::move(patterns);
  known_ = Look();
}

// Content is read only where the signature is new.
std::vector<ConfigWatcher::File> ConfigWatcher::Look() const {
  std::vector<File> files;
  for (const std::string& pattern : patterns_) {
    for (const std::string& path : GlobPaths(pattern)) {
      File file;
      file.path = path;
      file.signature = FileSignature(path);
      const auto known =
          std::find_if(known_.begin(), known_.end(),
                       [&](const File& f) { return f.path == path; });
      if (known != known_.end() && known->signature == file.signature) {
        files.push_back(*known);
        continue;
      }
      const auto text = ReadFile(FileSystem::Posix(), path, kFileBytesMax);
      if (!text.ok()) continue;  // gone again, or unreadable: not there
      file.content_hash = std::hash<std::string_view>()(*text);
      files.push_back(std::move(file));
    }
  }
  return files;
}

bool ConfigWatcher::Poll() {
  std::vector<File> now = Look();
  // The first pattern is the main file. While an editor or a swap has it away,
  // nothing can be loaded, so we wait for it to come back.
  if (!patterns_.empty()) {
    const bool main_there =
        std::any_of(now.begin(), now.end(),
                    [&](const File& f) { return f.path == patterns_[0]; });
    if (!main_there) return false;
  }
  const bool same =
      std::equal(now.begin(), now.end(), known_.begin(), known_.end(),
                 [](const File& a, const File& b) {
                   return a.path == b.path && a.content_hash == b.content_hash;
                 });
  known_ = std::move(now);
  return !same;
}

}  // namespace varve
