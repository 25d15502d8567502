#include "storage/string_hash.h"

#include <xxhash.h>

namespace varve {

size_t StringHash::operator()(std::string_view text) const {
  return XXH3_64bits(text.data(), text.size());
}

}  // namespace varve
