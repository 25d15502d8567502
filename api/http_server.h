#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "api/http_message.h"

namespace varve {

/// Answers requests. Thread-safe.
class HttpHandler {
 public:
  virtual ~HttpHandler() = default;

  /// Which of HttpServerOptions::lanes the request goes to; kInline: answered
  /// at once on an I/O thread, for what never blocks.
  static constexpr int kInline = -1;
  virtual int LaneOf(const WebRequest& request) const = 0;
  virtual WebResponse Handle(WebRequest& request) = 0;
  /// A request that found its lane full.
  virtual WebResponse Overloaded(const WebRequest& request) = 0;
};

struct HttpLaneOptions {
  int threads_max = 4;
  size_t queue_max = 1000;
};

struct HttpServerOptions {
  /// `host:port`, `[v6]:port` or `:port`; port 0 takes a free one.
  std::vector<std::string> addresses = {"127.0.0.1:0"};
  int io_threads = 2;
  std::vector<HttpLaneOptions> lanes;
  /// Beyond this, the connection that has been idle longest is closed for a
  /// new one, or else the upload that has stalled longest, from
  /// upload_stall_ms on; when there is neither, new ones wait in the kernel's
  /// queue.
  int connections_max = 512;
  int64_t upload_stall_ms = 1000;
  /// From a request's first byte to the end of its header.
  int64_t header_timeout_ms = 30 * 1000;
  /// For the body, and for the next request on a kept connection.
  int64_t read_timeout_ms = 5 * 60 * 1000;
  /// A body that is slower than this many bytes per second, after the grace,
  /// gets a 408: 4 KiB/s is a twentieth of what the slowest lines carry.
  int64_t upload_rate_min = 4096;
  int64_t upload_grace_ms = 15 * 1000;
  /// For each piece of an answer, besides a second per 64 KiB of it.
  int64_t write_timeout_ms = 60 * 1000;
  uint32_t header_bytes_max = 1 << 20;
  uint64_t body_bytes_max = uint64_t{64} << 20;
  /// What has arrived of the bodies of all connections together; beyond it
  /// requests get a 503.
  uint64_t bodies_bytes_max = uint64_t{512} << 20;
  /// Forms that come compressed may be so long.
  uint64_t form_bytes_max = uint64_t{10} << 20;
  /// Answers shorter than this are not compressed.
  size_t gzip_bytes_min = 1024;
  Clock* clock = Clock::System();
  Logger logger;
};

/// From a body's first byte on, the time that `received` bytes of it have
/// earned: upload_grace_ms and what they take at upload_rate_min, at most
/// read_timeout_ms. A body that is not complete by then gets a 408.
int64_t BodyTimeMs(const HttpServerOptions& options, uint64_t received);

struct HttpServerStats {
  int64_t connections = 0;  ///< open now
  int64_t accepted = 0;
  int64_t evicted = 0;       ///< closed to make room: idle or stalled
  int64_t bad_requests = 0;  ///< answered 4xx before any handler saw them
  std::vector<size_t> lane_queued;
  std::vector<size_t> lane_running;
};

/// HTTP/1.1 over TCP: keep-alive, pipelining, chunked bodies both ways, gzip
/// of answers. I/O threads only move bytes; handlers run on their lanes, so a
/// slow one holds up nobody else. Thread-safe.
class HttpServer {
 public:
  /// Listens at once; Unavailable names the address that cannot be had.
  /// `handler` must outlive the server.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(
      const HttpServerOptions& options, HttpHandler* handler);
  /// Stop(0) if that was not called.
  virtual ~HttpServer() = default;

  /// Ports listened on, in the order of the addresses.
  virtual std::vector<int> ports() const = 0;
  virtual HttpServerStats Stats() const = 0;

  /// Takes no new requests, lets running ones finish for `grace_ms`, then
  /// cancels what is left. Idempotent.
  virtual void Stop(int64_t grace_ms) = 0;
};

}  // namespace varve
