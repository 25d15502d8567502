#include "api/http_session.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/socket.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <chrono>
#include <ctime>
#include <exception>
#include <optional>
#include <utility>

namespace varve {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using tcp = asio::ip::tcp;
using boost::system::error_code;

// A streamed answer is made and written in pieces of about this size.
constexpr size_t kPieceBytes = 256 * 1024;
// A body of unknown length may be so long.
constexpr uint64_t kChunkedBodyMax = uint64_t{16} << 20;
// What a client still sends after a final answer is read and dropped up to
// here, since closing at once would destroy the answer on its way.
constexpr size_t kLingerBytesMax = size_t{256} << 20;
constexpr auto kLingerTime = std::chrono::seconds(5);

// The HTTP date of now; one rendering per second and thread.
std::string_view HttpDate() {
  thread_local std::time_t rendered = -1;
  thread_local std::string text;
  const std::time_t now = std::time(nullptr);
  if (now != rendered) {
    rendered = now;
    text = fmt::format("{:%a, %d %b %Y %H:%M:%S} GMT", fmt::gmtime(now));
  }
  return text;
}

std::string_view View(beast::string_view text) {
  return {text.data(), text.size()};
}

class Session final : public HttpSession {
 public:
  Session(tcp::socket socket, HttpSessionOwner* owner)
      : stream_(std::move(socket)), owner_(owner) {
    error_code error;
    const tcp::endpoint peer = stream_.socket().remote_endpoint(error);
    if (!error) client_ = peer.address().to_string();
    stream_.socket().set_option(tcp::no_delay(true), error);
  }
  ~Session() override {
    ReleaseBody();
    owner_->Closed(this);
  }

  void Start() override {
    asio::dispatch(stream_.get_executor(),
                   [self = Self()] { self->AwaitRequest(); });
  }
  void CloseIfIdle() override;
  void Abort() override;

 private:
  using Parser = http::request_parser<http::string_body>;

  // One request and its answer; the lane's thread and the strand take turns.
  struct Exchange {
    WebRequest request;
    WebResponse response;
    std::string header;
    std::string piece;  // what is written now, framing included
    std::unique_ptr<GzipStream> gzip;
    int lane = HttpHandler::kInline;
    bool keep_alive = true;
    bool http11 = true;
    bool chunked = false;
    bool last = true;     // no piece after this one
    bool linger = false;  // the client is still sending
  };
  using ExchangePtr = std::shared_ptr<Exchange>;

  std::shared_ptr<Session> Self() {
    return std::static_pointer_cast<Session>(shared_from_this());
  }
  void ExpiresAfter(int64_t ms) {
    stream_.expires_after(std::chrono::milliseconds(ms));
  }

  // Reading, in this order.
  void AwaitRequest();
  void ReadHeader();
  void HeaderRead(error_code error);
  bool CheckBody(std::optional<uint64_t> length);
  void ReadBody();
  void BodyRead(error_code error);
  void Refuse(int status, std::string_view text);
  void RefuseFor(error_code error);
  void Dispatch();
  ExchangePtr TakeRequest();

  // On the lane.
  void Answer(const ExchangePtr& exchange);
  void MakeFirstPiece(Exchange* exchange);
  void MakeNextPiece(Exchange* exchange);

  // Writing, on the strand.
  void Write(const ExchangePtr& exchange);
  void Written(const ExchangePtr& exchange, error_code error);
  void Linger();
  void Close();

  void Watch();
  void Readable();
  void ReleaseBody() { owner_->ReleaseBody(std::exchange(reserved_, 0)); }

  beast::tcp_stream stream_;
  HttpSessionOwner* const owner_;
  std::string client_;
  beast::flat_buffer buffer_;
  std::optional<Parser> parser_;
  uint64_t reserved_ = 0;
  bool idle_ = false;
  bool watching_ = false;
  size_t lingered_ = 0;

  Mutex mutex_;
  std::shared_ptr<HttpDisconnect> disconnect_ ABSL_GUARDED_BY(mutex_);
};

// ------------------------------------------------------------------- reading

void Session::AwaitRequest() {
  idle_ = true;
  owner_->SetIdle(this, true);
  if (owner_->stopping()) return Close();
  if (buffer_.size() > 0) return ReadHeader();  // pipelined
  ExpiresAfter(owner_->options().read_timeout_ms);
  stream_.async_read_some(buffer_.prepare(4096),
                          [self = Self()](error_code error, size_t bytes) {
                            if (error) return self->Close();
                            self->buffer_.commit(bytes);
                            self->ReadHeader();
                          });
}

void Session::ReadHeader() {
  parser_.emplace();
  parser_->header_limit(owner_->options().header_bytes_max);
  parser_->body_limit(boost::none);  // CheckBody
  ExpiresAfter(owner_->options().header_timeout_ms);
  http::async_read_header(
      stream_, buffer_, *parser_,
      [self = Self()](error_code error, size_t) { self->HeaderRead(error); });
}

void Session::HeaderRead(error_code error) {
  if (error) return RefuseFor(error);
  idle_ = false;
  owner_->SetIdle(this, false);
  std::optional<uint64_t> length = 0;
  if (parser_->chunked()) {
    length = std::nullopt;
  } else if (const auto n = parser_->content_length()) {
    length = *n;
  }
  if (!CheckBody(length)) return;
  if (EqualsIgnoreCase(View(parser_->get()[http::field::expect]),
                       "100-continue") &&
      !parser_->is_done()) {
    static constexpr std::string_view kContinue =
        "HTTP/1.1 100 Continue\r\n\r\n";
    ExpiresAfter(owner_->options().write_timeout_ms);
    asio::async_write(stream_, asio::buffer(kContinue),
                      [self = Self()](error_code write_error, size_t) {
                        if (write_error) return self->Close();
                        self->ReadBody();
                      });
    return;
  }
  ReadBody();
}

// Answers and returns false when the body may not be read.
bool Session::CheckBody(std::optional<uint64_t> length) {
  const uint64_t max = owner_->options().body_bytes_max;
  const uint64_t reserve = length.value_or(std::min(max, kChunkedBodyMax));
  if (reserve > max) {
    Refuse(413, fmt::format("request body of {} bytes is longer than {} bytes",
                            reserve, max));
    return false;
  }
  if (!owner_->ReserveBody(reserve)) {
    Refuse(503, "too many large requests at once");
    return false;
  }
  reserved_ = reserve;
  parser_->body_limit(reserve);
  return true;
}

void Session::ReadBody() {
  if (parser_->is_done()) return Dispatch();
  ExpiresAfter(owner_->options().read_timeout_ms);
  http::async_read(
      stream_, buffer_, *parser_,
      [self = Self()](error_code error, size_t) { self->BodyRead(error); });
}

void Session::BodyRead(error_code error) {
  if (error) return RefuseFor(error);
  Dispatch();
}

void Session::RefuseFor(error_code error) {
  if (error == http::error::header_limit) {
    return Refuse(431, "Request Header Fields Too Large");
  }
  if (error == http::error::body_limit) {
    return Refuse(
        413, fmt::format("request body is longer than {} bytes", reserved_));
  }
  if (error == http::error::bad_version) {
    return Refuse(505, "HTTP Version Not Supported");
  }
  const bool malformed =
      error.category() ==
      http::make_error_code(http::error::bad_method).category();
  if (!malformed || error == http::error::end_of_stream ||
      error == http::error::partial_message) {
    return Close();
  }
  Refuse(400, fmt::format("400 Bad Request: {}", error.message()));
}

// An answer before any handler saw the request; the connection ends with it.
void Session::Refuse(int status, std::string_view text) {
  owner_->CountBadRequest();
  idle_ = false;
  owner_->SetIdle(this, false);
  auto exchange = std::make_shared<Exchange>();
  exchange->response = PlainError(status, text);
  exchange->keep_alive = false;
  exchange->linger = true;
  MakeFirstPiece(exchange.get());
  Write(exchange);
}

Session::ExchangePtr Session::TakeRequest() {
  auto exchange = std::make_shared<Exchange>();
  exchange->keep_alive = parser_->keep_alive();
  http::request<http::string_body> message = parser_->release();
  parser_.reset();
  exchange->http11 = message.version() >= 11;
  WebRequest& request = exchange->request;
  request.method = std::string(View(message.method_string()));
  request.client = client_;
  request.arrived_ns = owner_->options().clock->MonotonicNs();
  request.body = std::move(message.body());
  for (const auto& field : message) {
    request.headers.emplace_back(View(field.name_string()),
                                 View(field.value()));
  }
  request.disconnect = std::make_shared<HttpDisconnect>();
  std::string_view target = View(message.target());
  if (const size_t scheme = target.find("://");  // absolute form, for proxies
      scheme != std::string_view::npos && !target.starts_with('/')) {
    const size_t slash = target.find('/', scheme + 3);
    target = slash == std::string_view::npos ? "/" : target.substr(slash);
  }
  const size_t question = target.find('?');
  auto path = PercentDecode(target.substr(0, question), false);
  if (!path) return nullptr;
  request.path = *std::move(path);
  const std::string_view type =
      std::string_view(request.Header("Content-Type"));
  const std::string_view media = type.substr(0, type.find(';'));
  if ((request.method == "POST" || request.method == "PUT") &&
      EqualsIgnoreCase(media, "application/x-www-form-urlencoded")) {
    ParseForm(request.body, &request.params, &request.params_error);
  }
  if (question != std::string_view::npos) {
    ParseForm(target.substr(question + 1), &request.params,
              &request.params_error);
  }
  return exchange;
}

void Session::Dispatch() {
  stream_.expires_never();
  ExchangePtr exchange = TakeRequest();
  if (!exchange) return Refuse(400, "400 Bad Request: invalid URL escape");
  {
    MutexLock lock(&mutex_);
    disconnect_ = exchange->request.disconnect;
  }
  exchange->lane = owner_->handler()->LaneOf(exchange->request);
  if (exchange->lane == HttpHandler::kInline) return Answer(exchange);
  Watch();
  const bool taken =
      owner_->lane(exchange->lane)->Submit(client_, [self = Self(), exchange] {
        self->Answer(exchange);
      });
  if (taken) return;
  exchange->response = owner_->handler()->Overloaded(exchange->request);
  MakeFirstPiece(exchange.get());
  Write(exchange);
}

// ------------------------------------------------------------------ watching

// While a request is being served, the connection becoming readable means that
// the client has gone, or that it has pipelined its next request.
void Session::Watch() {
  if (watching_ || buffer_.size() > 0) return;
  watching_ = true;
  stream_.socket().async_wait(
      tcp::socket::wait_read,
      asio::bind_executor(stream_.get_executor(),
                          [self = Self()](error_code error) {
                            self->watching_ = false;
                            if (!error) self->Readable();
                          }));
}

void Session::Readable() {
  std::shared_ptr<HttpDisconnect> disconnect;
  {
    MutexLock lock(&mutex_);
    disconnect = disconnect_;
  }
  if (!disconnect) return;  // between requests; the pending read sees it
  char byte = 0;
  const ssize_t n = ::recv(stream_.socket().native_handle(), &byte, 1,
                           MSG_PEEK | MSG_DONTWAIT);
  if (n > 0) return;
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return Watch();
  disconnect->Fire();
}

void Session::CloseIfIdle() {
  asio::post(stream_.get_executor(), [self = Self()] {
    if (self->idle_) self->Close();
  });
}

void Session::Abort() {
  {
    MutexLock lock(&mutex_);
    if (disconnect_) disconnect_->Fire();
  }
  asio::post(stream_.get_executor(), [self = Self()] { self->Close(); });
}

// ----------------------------------------------------------------- answering

void Session::Answer(const ExchangePtr& exchange) {
  // Our code does not throw, but allocations and libraries may.
  try {
    exchange->response = owner_->handler()->Handle(exchange->request);
  } catch (const std::exception& e) {
    exchange->response = PlainError(500, e.what());
  }
  exchange->request.body = std::string();
  MakeFirstPiece(exchange.get());
  asio::dispatch(stream_.get_executor(),
                 [self = Self(), exchange] { self->Write(exchange); });
}

std::string HeaderText(const WebResponse& response) {
  std::string out = fmt::format("HTTP/1.1 {} {}\r\n", response.status,
                                HttpReason(response.status));
  for (const auto& [name, value] : response.headers) {
    fmt::format_to(std::back_inserter(out), "{}: {}\r\n", name, value);
  }
  fmt::format_to(std::back_inserter(out), "Date: {}\r\n", HttpDate());
  return out;
}

void Session::MakeFirstPiece(Exchange* exchange) {
  WebResponse& response = exchange->response;
  std::string& body = response.body;
  bool more = response.more != nullptr;
  while (more && (body.size() < kPieceBytes || !exchange->http11)) {
    more = response.more(&body);
  }
  exchange->last = !more;
  exchange->chunked = more;
  const bool bodiless = response.status == 204 || response.status == 304;
  if (body.size() >= owner_->options().gzip_bytes_min && !bodiless &&
      AcceptsGzip(exchange->request.Header("Accept-Encoding"))) {
    exchange->gzip = std::make_unique<GzipStream>();
    std::string packed;
    exchange->gzip->Append(body, exchange->last, &packed);
    body = std::move(packed);
    response.Set("Content-Encoding", "gzip");
  }
  exchange->header = HeaderText(response);
  std::string& header = exchange->header;
  if (exchange->chunked) {
    header.append("Transfer-Encoding: chunked\r\n");
  } else if (!bodiless) {
    fmt::format_to(std::back_inserter(header), "Content-Length: {}\r\n",
                   body.size());
  }
  if (owner_->stopping()) exchange->keep_alive = false;
  if (!exchange->keep_alive) {
    header.append("Connection: close\r\n");
  } else if (!exchange->http11) {
    header.append("Connection: keep-alive\r\n");
  }
  header.append("\r\n");
  if (exchange->request.method == "HEAD") {
    body.clear();
    exchange->last = true;
  } else if (exchange->chunked && !body.empty()) {
    body = fmt::format("{:x}\r\n{}\r\n", body.size(), body);
  }
  exchange->piece = std::move(body);
}

void Session::MakeNextPiece(Exchange* exchange) {
  std::string body;
  bool more = true;
  while (more && body.size() < kPieceBytes) {
    more = exchange->response.more(&body);
  }
  if (exchange->gzip) {
    std::string packed;
    exchange->gzip->Append(body, !more, &packed);
    body = std::move(packed);
  }
  exchange->piece.clear();
  if (!body.empty()) {
    exchange->piece = fmt::format("{:x}\r\n{}\r\n", body.size(), body);
  }
  if (!more) exchange->piece.append("0\r\n\r\n");
  exchange->last = !more;
}

// ------------------------------------------------------------------- writing

void Session::Write(const ExchangePtr& exchange) {
  if (exchange->last) {
    ReleaseBody();
    MutexLock lock(&mutex_);
    disconnect_ = nullptr;
  }
  const size_t bytes = exchange->header.size() + exchange->piece.size();
  ExpiresAfter(owner_->options().write_timeout_ms +
               static_cast<int64_t>(bytes >> 16) * 1000);
  const std::array<asio::const_buffer, 2> buffers = {
      asio::buffer(exchange->header), asio::buffer(exchange->piece)};
  asio::async_write(stream_, buffers,
                    [self = Self(), exchange](error_code error, size_t) {
                      self->Written(exchange, error);
                    });
}

void Session::Written(const ExchangePtr& exchange, error_code error) {
  if (error) {
    if (exchange->request.disconnect) exchange->request.disconnect->Fire();
    return Close();
  }
  if (!exchange->last) {
    stream_.expires_never();
    exchange->header.clear();
    const bool taken =
        owner_->lane(exchange->lane)
            ->Submit(client_, [self = Self(), exchange] {
              self->MakeNextPiece(exchange.get());
              asio::dispatch(self->stream_.get_executor(),
                             [self, exchange] { self->Write(exchange); });
            });
    // Nothing can be said any more: the client sees an unfinished body.
    if (!taken) Close();
    return;
  }
  if (exchange->keep_alive) return AwaitRequest();
  if (!exchange->linger) return Close();
  error_code ignored;
  stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
  stream_.expires_after(kLingerTime);
  Linger();
}

// Reads what the client still sends, so that our answer is not lost to a reset.
void Session::Linger() {
  buffer_.clear();
  stream_.async_read_some(buffer_.prepare(65536),
                          [self = Self()](error_code error, size_t bytes) {
                            self->lingered_ += bytes;
                            if (error || self->lingered_ > kLingerBytesMax)
                              return self->Close();
                            self->Linger();
                          });
}

void Session::Close() {
  error_code ignored;
  stream_.socket().shutdown(tcp::socket::shutdown_both, ignored);
  stream_.close();
  owner_->SetIdle(this, false);
}

}  // namespace

std::shared_ptr<HttpSession> HttpSession::Create(tcp::socket socket,
                                                 HttpSessionOwner* owner) {
  return std::make_shared<Session>(std::move(socket), owner);
}

}  // namespace varve
