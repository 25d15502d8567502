#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <cstdint>
#include <memory>

#include "api/http_lane.h"
#include "api/http_server.h"

namespace varve {

class HttpSession;

/// What a connection is doing, as far as making room for others goes.
enum class HttpPhase : uint8_t {
  kIdle,       ///< waits for a request, in the middle of a header, or lingers
  kUploading,  ///< in the middle of a body
  kServing,    ///< has a whole request
};

/// What a session needs of its server. Thread-safe.
class HttpSessionOwner {
 public:
  virtual ~HttpSessionOwner() = default;
  virtual const HttpServerOptions& options() const = 0;
  virtual HttpHandler* handler() = 0;
  virtual HttpLane* lane(int index) = 0;
  virtual bool stopping() const = 0;
  /// Accounts for a body held in memory; false when there are too many.
  virtual bool ReserveBody(uint64_t bytes) = 0;
  virtual void ReleaseBody(uint64_t bytes) = 0;
  virtual void CountBadRequest() = 0;
  /// Sessions begin in kServing. Said again, kUploading means progress.
  virtual void SetPhase(HttpSession* session, HttpPhase phase) = 0;
  virtual void Closed(HttpSession* session) = 0;
};

/// One connection: reads a request, has it answered, writes the answer, and
/// again. Kept alive by the operations it has under way. Everything runs on the
/// connection's strand but the handlers. Only http_server includes this.
class HttpSession : public std::enable_shared_from_this<HttpSession> {
 public:
  static std::shared_ptr<HttpSession> Create(
      boost::asio::ip::tcp::socket socket, HttpSessionOwner* owner);
  virtual ~HttpSession() = default;

  virtual void Start() = 0;
  /// From any thread: closes the connection if it is still in this phase.
  virtual void CloseIf(HttpPhase phase) = 0;
  /// From any thread: cancels the request and closes the connection.
  virtual void Abort() = 0;
};

}  // namespace varve
