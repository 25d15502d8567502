#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace varve {

/// Notices that the content of files has changed: rewritten in place, replaced
/// by rename, or reached through a symlink that was swapped (Kubernetes swaps
/// `..data` of a ConfigMap). Polls; a poll of unchanged files costs a few
/// system calls. Single-thread.
class ConfigWatcher {
 public:
  /// `patterns`: Config::watch_patterns. Takes what is there now as known.
  explicit ConfigWatcher(std::vector<std::string> patterns);

  /// True once per change of content (a touch alone is none). Call it every few
  /// seconds, and reload on true. A file that vanishes is no change until it is
  /// back with other content.
  bool Poll();

  /// After a successful reload, whose patterns may differ.
  void SetPatterns(std::vector<std::string> patterns);

 private:
  struct File {
    std::string path;       // as matched
    std::string signature;  // real path, inode, size and mtime
    uint64_t content_hash = 0;
  };

  std::vector<File> Look() const;

  std::vector<std::string> patterns_;
  std::vector<File> known_;
};

}  // namespace varve
