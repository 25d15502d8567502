#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "api/http_server.h"
#include "api/varve.h"

namespace varve {

/// The server's own metrics: what requests cost, what the database holds, what
/// the process uses. Thread-safe.
class HttpMetrics {
 public:
  HttpMetrics();
  ~HttpMetrics();

  /// `handler` is the route's pattern, so that the number of series is bounded.
  void Count(std::string_view handler, int status, double seconds);
  /// Everything in text exposition 0.0.4. The pointers may be null.
  std::string Render(const Database* database, const HttpServer* server,
                     const ReplayProgress* progress,
                     double start_time_seconds) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace varve
