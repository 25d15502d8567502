#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace varve {

/// A plain HTTP/1.1 server on a loopback port of the system's choice, one
/// thread per connection, for tests of clients. With certificates it speaks
/// TLS.
class HttpTestServer {
 public:
  struct Request {
    std::string method;
    std::string target;
    std::map<std::string, std::string> headers;  ///< names in lower case
    int connection = 0;  ///< which connection it came on, from 1
  };
  struct Response {
    int code = 200;
    std::string reason = "OK";
    std::vector<std::pair<std::string, std::string>> headers = {
        {"Content-Type", "text/plain; version=0.0.4"}};
    std::string body;
    bool never = false;    ///< say nothing until the client goes
    bool endless = false;  ///< repeat the body until the client goes
  };
  using Handler = std::function<Response(const Request&)>;
  struct Tls {
    std::string cert_pem;
    std::string key_pem;
    std::string client_ca_pem;  ///< not empty: clients must have a certificate
  };

  /// Aborts the test program when no port can be had.
  static std::unique_ptr<HttpTestServer> Start(Handler handler);
  static std::unique_ptr<HttpTestServer> StartTls(Handler handler, Tls tls);
  /// Closes all connections and waits for their threads.
  virtual ~HttpTestServer() = default;

  virtual int port() const = 0;
  /// "127.0.0.1:1234".
  virtual std::string address() const = 0;
  /// All requests so far.
  virtual std::vector<Request> requests() const = 0;
};

}  // namespace varve
