#include <cstdint>
#include <string_view>

#include "api/config.h"
#include "storage/check.h"
#include "storage/status_macros.h"

// Any text as a prometheus.yml: refused with a message that names the file, or
// loaded, and then what status/config shows loads again.

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto config = varve::LoadConfigText(text, "", "fuzz.yml");
  if (!config.ok()) {
    VARVE_CHECK(!varve::Message(config.status()).empty());
    return 0;
  }
  // Secrets are shown as "<secret>", which is a good value, too.
  const auto again = varve::LoadConfigText(config->yaml, "", "shown.yml");
  VARVE_CHECK(again.ok());
  return 0;
}
