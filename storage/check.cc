#include "storage/check.h"

#include <cstdio>
#include <cstdlib>

namespace varve {

void CheckFailed(std::string_view condition, std::string_view file, int line) {
  std::fprintf(stderr, "%.*s:%d: check failed: %.*s\n",
               static_cast<int>(file.size()), file.data(), line,
               static_cast<int>(condition.size()), condition.data());
  std::abort();
}

}  // namespace varve
