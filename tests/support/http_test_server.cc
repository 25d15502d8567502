#include "tests/support/http_test_server.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <optional>
#include <set>
#include <thread>

#include "storage/check.h"
#include "storage/mutex.h"

namespace varve {
namespace {

using SslCtx = std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)>;

X509* ReadCertificate(const std::string& pem) {
  BIO* bio = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  X509* cert = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr);
  BIO_free(bio);
  VARVE_CHECK(cert != nullptr);
  return cert;
}

SslCtx MakeContext(const HttpTestServer::Tls& tls) {
  SslCtx context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  X509* cert = ReadCertificate(tls.cert_pem);
  VARVE_CHECK(SSL_CTX_use_certificate(context.get(), cert) == 1);
  X509_free(cert);
  BIO* bio =
      BIO_new_mem_buf(tls.key_pem.data(), static_cast<int>(tls.key_pem.size()));
  EVP_PKEY* key = PEM_read_bio_PrivateKey(bio, nullptr, nullptr, nullptr);
  BIO_free(bio);
  VARVE_CHECK(SSL_CTX_use_PrivateKey(context.get(), key) == 1);
  EVP_PKEY_free(key);
  if (!tls.client_ca_pem.empty()) {
    X509* ca = ReadCertificate(tls.client_ca_pem);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(context.get()), ca);
    X509_free(ca);
    SSL_CTX_set_verify(context.get(),
                       SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                       nullptr);
  }
  return context;
}

// A connection, plain or TLS.
class Stream {
 public:
  Stream(int fd, SSL_CTX* context) : fd_(fd) {
    if (context == nullptr) return;
    ssl_ = SSL_new(context);
    SSL_set_fd(ssl_, fd);
    good_ = SSL_accept(ssl_) == 1;
    ERR_clear_error();
  }
  ~Stream() {
    if (ssl_ != nullptr) SSL_free(ssl_);
  }
  bool good() const { return good_; }
  int Read(char* data, int size) {
    return ssl_ != nullptr ? SSL_read(ssl_, data, size)
                           : static_cast<int>(::recv(fd_, data, size, 0));
  }
  bool Write(const std::string& data) {
    size_t at = 0;
    while (at < data.size()) {
      const int n =
          ssl_ != nullptr
              ? SSL_write(ssl_, data.data() + at,
                          static_cast<int>(data.size() - at))
              : static_cast<int>(::send(fd_, data.data() + at, data.size() - at,
                                        MSG_NOSIGNAL));
      if (n <= 0) return false;
      at += static_cast<size_t>(n);
    }
    return true;
  }

 private:
  int fd_;
  SSL* ssl_ = nullptr;
  bool good_ = true;
};

HttpTestServer::Request ParseRequest(const std::string& head) {
  HttpTestServer::Request request;
  const size_t space = head.find(' ');
  const size_t second = head.find(' ', space + 1);
  request.method = head.substr(0, space);
  request.target = head.substr(space + 1, second - space - 1);
  size_t at = head.find("\r\n") + 2;
  while (at < head.size()) {
    const size_t end = std::min(head.find("\r\n", at), head.size());
    const std::string line = head.substr(at, end - at);
    at = end + 2;
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    std::string name = line.substr(0, colon);
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return std::tolower(c); });
    request.headers[name] = line.substr(line.find_first_not_of(' ', colon + 1));
  }
  return request;
}

class Server final : public HttpTestServer {
 public:
  Server(Handler handler, std::optional<Tls> tls)
      : handler_(std::move(handler)), context_(nullptr, SSL_CTX_free) {
    ::signal(SIGPIPE, SIG_IGN);  // SSL_write has no MSG_NOSIGNAL
    if (tls) context_ = MakeContext(*tls);
    listen_fd_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    VARVE_CHECK(::bind(listen_fd_, reinterpret_cast<sockaddr*>(&address),
                       sizeof(address)) == 0);
    VARVE_CHECK(::listen(listen_fd_, 128) == 0);
    socklen_t size = sizeof(address);
    ::getsockname(listen_fd_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] { Accept(); });
  }

  ~Server() override {
    {
      MutexLock lock(&mutex_);
      stopping_ = true;
      for (int fd : open_) ::shutdown(fd, SHUT_RDWR);
    }
    ::shutdown(listen_fd_, SHUT_RDWR);
    acceptor_.join();
    for (std::thread& thread : connections_) thread.join();
    ::close(listen_fd_);
  }

  int port() const override { return port_; }
  std::string address() const override {
    return fmt::format("127.0.0.1:{}", port_);
  }
  std::vector<Request> requests() const override {
    MutexLock lock(&mutex_);
    return requests_;
  }

 private:
  void Accept() {
    while (true) {
      const int fd = ::accept(listen_fd_, nullptr, nullptr);
      MutexLock lock(&mutex_);
      if (fd < 0 || stopping_) {
        if (fd >= 0) ::close(fd);
        return;
      }
      open_.insert(fd);
      const int number = static_cast<int>(connections_.size()) + 1;
      connections_.emplace_back([this, fd, number] { Serve(fd, number); });
    }
  }

  void Serve(int fd, int number) {
    {
      Stream stream(fd, context_.get());
      std::string buffer;
      while (stream.good() && ServeOne(&stream, number, &buffer)) {
      }
    }
    MutexLock lock(&mutex_);
    open_.erase(fd);
    ::close(fd);
  }

  bool ServeOne(Stream* stream, int number, std::string* buffer) {
    size_t end;
    while ((end = buffer->find("\r\n\r\n")) == std::string::npos) {
      char data[4096];
      const int n = stream->Read(data, sizeof(data));
      if (n <= 0) return false;
      buffer->append(data, static_cast<size_t>(n));
    }
    Request request = ParseRequest(buffer->substr(0, end + 2));
    request.connection = number;
    buffer->erase(0, end + 4);
    const Response response = handler_(request);
    {
      MutexLock lock(&mutex_);
      requests_.push_back(request);
    }
    if (response.never) {
      char data[64];
      while (stream->Read(data, sizeof(data)) > 0) {
      }
      return false;
    }
    return Answer(response, stream);
  }

  static bool Answer(const Response& response, Stream* stream) {
    std::string head =
        fmt::format("HTTP/1.1 {} {}\r\n", response.code, response.reason);
    for (const auto& [name, value] : response.headers) {
      head += name + ": " + value + "\r\n";
    }
    if (!response.endless) {
      head += fmt::format("Content-Length: {}\r\n\r\n", response.body.size());
      return stream->Write(head + response.body);
    }
    if (!stream->Write(head + "\r\n")) return false;
    while (stream->Write(response.body)) {
    }
    return false;
  }

  const Handler handler_;
  SslCtx context_;
  int listen_fd_ = -1;
  int port_ = 0;
  std::thread acceptor_;

  mutable Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::set<int> open_ ABSL_GUARDED_BY(mutex_);
  std::vector<Request> requests_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::thread> connections_;  // by Accept only, then the destructor
};

}  // namespace

std::unique_ptr<HttpTestServer> HttpTestServer::Start(Handler handler) {
  return std::make_unique<Server>(std::move(handler), std::nullopt);
}

std::unique_ptr<HttpTestServer> HttpTestServer::StartTls(Handler handler,
                                                         Tls tls) {
  return std::make_unique<Server>(std::move(handler), std::move(tls));
}

}  // namespace varve
