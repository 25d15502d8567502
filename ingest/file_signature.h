#pragma once

#include <string>
#include <vector>

namespace varve {

/// Existing paths that match a shell pattern, sorted.
std::vector<std::string> GlobPaths(const std::string& pattern);

/// Changes whenever the file at `path` may have other content: made of its real
/// path (so that a swapped symlink shows), inode, size and time. "" when there
/// is no such file.
std::string FileSignature(const std::string& path);

}  // namespace varve
