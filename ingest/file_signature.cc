#include "ingest/file_signature.h"

#include <fmt/format.h>
#include <glob.h>
#include <stdlib.h>
#include <sys/stat.h>

namespace varve {

std::vector<std::string> GlobPaths(const std::string& pattern) {
  std::vector<std::string> paths;
  glob_t result = {};
  if (glob(pattern.c_str(), 0, nullptr, &result) == 0) {
    paths.assign(result.gl_pathv, result.gl_pathv + result.gl_pathc);
  }
  globfree(&result);
  return paths;
}

std::string FileSignature(const std::string& path) {
  struct stat info = {};
  if (::stat(path.c_str(), &info) != 0) return "";
  char* real = ::realpath(path.c_str(), nullptr);
  std::string out = fmt::format(
      "{} {} {} {} {}.{}", real == nullptr ? "" : real, info.st_dev,
      info.st_ino, info.st_size, info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
  ::free(real);
  return out;
}

}  // namespace varve
