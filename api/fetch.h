#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <string>

namespace varve {

/// What a server answered.
struct FetchAnswer {
  /// Of the exchange; OK for every HTTP status. Unavailable: no answer,
  /// DeadlineExceeded: none in time.
  absl::Status status;
  int http_status = 0;
  std::string body;
};

/// GETs a URL and waits for the answer; for programs, not for servers.
FetchAnswer Fetch(std::string url, int64_t timeout_ms);

}  // namespace varve
