#include <cstdint>
#include <string_view>

#include "ingest/discovery.h"
#include "storage/check.h"
#include "storage/status_macros.h"

// Any text as a file of file discovery, as JSON and as YAML: refused with a
// message that names the file, or a list of groups that all say where they are
// from.

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const char* path : {"fuzz.json", "fuzz.yml"}) {
    const auto groups = varve::ParseTargetFile(text, path);
    if (!groups.ok()) {
      VARVE_CHECK(varve::Message(groups.status()).starts_with(path));
      continue;
    }
    for (const varve::TargetGroup& group : *groups) {
      VARVE_CHECK(group.labels.Get("__meta_filepath") == path);
    }
  }
  return 0;
}
