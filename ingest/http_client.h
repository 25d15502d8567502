#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ingest/scrape_config.h"

namespace varve {

struct HttpRequest {
  std::string url;
  /// "Name: value".
  std::vector<std::string> headers;
  /// Credentials, TLS, redirects. Files it names are read at the start of every
  /// request, so rotated secrets are seen.
  HttpClientConfig config;
  int64_t timeout_ms = 10 * 1000;
  /// The decompressed body has to be shorter than this.
  uint64_t body_bytes_max = uint64_t{512} << 20;
  bool compression = true;
};

struct HttpResponse {
  /// Of the exchange as a whole: DeadlineExceeded after timeout_ms,
  /// ResourceExhausted for a body that is too long, InvalidArgument for files
  /// and settings that cannot be used, Unavailable for the rest. OK for every
  /// status code.
  absl::Status status;
  int code = 0;
  std::string reason;  ///< "Not Found"
  std::string content_type;
  std::string body;  ///< decompressed
};

/// Many GET requests at once on one thread (curl multi), with connections kept
/// for the next request to the same host. Not thread-safe but for Wakeup().
class HttpClient {
 public:
  using Done = std::function<void(HttpResponse)>;

  static std::unique_ptr<HttpClient> Create();
  /// Aborts what is under way; no Done is called any more.
  virtual ~HttpClient() = default;

  /// Begins a request. `done` is called once, by a later Poll().
  virtual void Start(HttpRequest request, Done done) = 0;
  /// Moves all requests on; waits up to `wait_ms` for something to happen.
  virtual void Poll(int wait_ms) = 0;
  /// Ends a Poll() that waits. Thread-safe.
  virtual void Wakeup() = 0;
  virtual size_t active() const = 0;
};

}  // namespace varve
