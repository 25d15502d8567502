#include "api/http_session.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <chrono>
#include <exception>
#include <optional>
#include <utility>

#include "api/http_answer.h"

namespace varve {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using tcp = asio::ip::tcp;
using boost::system::error_code;
using SteadyTime = std::chrono::steady_clock::time_point;

// A body of unknown length may be so long.
constexpr uint64_t kChunkedBodyMax = uint64_t{16} << 20;
// Bodies are accounted for in steps of this.
constexpr uint64_t kReserveBytes = uint64_t{1} << 20;
// What a client still sends after a final answer is read and dropped up to
// here, since closing at once would destroy the answer on its way.
constexpr size_t kLingerBytesMax = size_t{256} << 20;
constexpr auto kLingerTime = std::chrono::seconds(5);

std::string_view View(beast::string_view text) {
  return {text.data(), text.size()};
}

class Session final : public HttpSession {
 public:
  Session(tcp::socket socket, HttpSessionOwner* owner)
      : stream_(std::move(socket)),
        owner_(owner),
        body_timer_(stream_.get_executor()) {
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
  void CloseIf(HttpPhase phase) override;
  void Abort() override;

 private:
  using Parser = http::request_parser<http::string_body>;

  // One request and its answer; the lane's thread and the strand take turns.
  struct Exchange {
    WebRequest request;
    std::string query;  // of the URL, as it came
    WebResponse response;
    HttpAnswer answer;
    int lane = HttpHandler::kInline;
    bool linger = false;  // the client is still sending
  };
  using ExchangePtr = std::shared_ptr<Exchange>;

  std::shared_ptr<Session> Self() {
    return std::static_pointer_cast<Session>(shared_from_this());
  }
  void SetPhase(HttpPhase phase) {
    phase_ = phase;
    owner_->SetPhase(this, phase);
  }
  void ExpiresAfter(int64_t ms) {
    stream_.expires_after(std::chrono::milliseconds(ms));
  }

  // Reading, in this order.
  void AwaitRequest();
  void ReadHeader();
  void HeaderRead(error_code error);
  bool CheckBody(std::optional<uint64_t> length);
  bool ReserveBody();
  void ReadBody();
  void ReadMore();
  void BodyRead(error_code error, size_t bytes);
  void SetBodyDeadline();
  void WatchDeadline();
  void Refuse(int status, std::string_view text);
  void RefuseFor(error_code error);
  void Dispatch();
  ExchangePtr TakeRequest();

  // On the lane.
  void Answer(const ExchangePtr& exchange);
  void MakeFirstPiece(Exchange* exchange);

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
  // The body that is being read: at most so long, so much of it is here, so
  // much was accounted for, and the rest must come at this rate.
  uint64_t body_max_ = 0;
  uint64_t received_ = 0;
  uint64_t reserved_ = 0;
  SteadyTime body_began_;
  SteadyTime body_deadline_;
  asio::steady_timer body_timer_;
  bool body_late_ = false;
  HttpPhase phase_ = HttpPhase::kServing;
  bool watching_ = false;
  size_t lingered_ = 0;

  Mutex mutex_;
  std::shared_ptr<HttpDisconnect> disconnect_ ABSL_GUARDED_BY(mutex_);
};

// ------------------------------------------------------------------- reading

void Session::AwaitRequest() {
  SetPhase(HttpPhase::kIdle);
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
  SetPhase(HttpPhase::kUploading);
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
  if (length.value_or(0) > max) {
    Refuse(413, fmt::format("request body of {} bytes is longer than {} bytes",
                            *length, max));
    return false;
  }
  body_max_ = length.value_or(std::min(max, kChunkedBodyMax));
  parser_->body_limit(body_max_);
  received_ = 0;
  return ReserveBody();
}

// Accounts for what is here and the next piece; what a client only announces
// costs others nothing. Answers and returns false when there is no room.
bool Session::ReserveBody() {
  const uint64_t wanted = std::min(body_max_, received_ + kReserveBytes);
  if (wanted <= reserved_) return true;
  if (!owner_->ReserveBody(wanted - reserved_)) {
    Refuse(503, "too many large requests at once");
    return false;
  }
  reserved_ = wanted;
  return true;
}

void Session::ReadBody() {
  if (parser_->is_done()) return Dispatch();
  stream_.expires_never();  // the deadline moves with what arrives
  body_late_ = false;
  body_began_ = std::chrono::steady_clock::now();
  SetBodyDeadline();
  WatchDeadline();
  ReadMore();
}

void Session::ReadMore() {
  http::async_read_some(stream_, buffer_, *parser_,
                        [self = Self()](error_code error, size_t bytes) {
                          self->BodyRead(error, bytes);
                        });
}

void Session::BodyRead(error_code error, size_t bytes) {
  if (body_late_) {
    return Refuse(408, fmt::format("the request body came too slowly: {} bytes "
                                   "had arrived when time was up",
                                   received_));
  }
  if (error) return RefuseFor(error);
  if (parser_->is_done()) return Dispatch();
  received_ += bytes;
  if (received_ + kReserveBytes / 2 > reserved_ && !ReserveBody()) return;
  SetPhase(HttpPhase::kUploading);
  SetBodyDeadline();
  ReadMore();
}

void Session::SetBodyDeadline() {
  body_deadline_ = body_began_ + std::chrono::milliseconds(
                                     BodyTimeMs(owner_->options(), received_));
}

// Ends the reading at the deadline; looks again when it has moved meanwhile.
void Session::WatchDeadline() {
  body_timer_.expires_at(body_deadline_);
  body_timer_.async_wait([self = Self()](error_code error) {
    if (error || self->phase_ != HttpPhase::kUploading) return;
    if (std::chrono::steady_clock::now() < self->body_deadline_) {
      return self->WatchDeadline();
    }
    self->body_late_ = true;
    self->stream_.cancel();
  });
}

void Session::RefuseFor(error_code error) {
  if (error == http::error::header_limit) {
    return Refuse(431, "Request Header Fields Too Large");
  }
  if (error == http::error::body_limit) {
    return Refuse(
        413, fmt::format("request body is longer than {} bytes", body_max_));
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
  body_timer_.cancel();
  SetPhase(HttpPhase::kServing);
  auto exchange = std::make_shared<Exchange>();
  exchange->response = PlainError(status, text);
  exchange->answer.keep_alive = false;
  exchange->linger = true;
  MakeFirstPiece(exchange.get());
  Write(exchange);
}

Session::ExchangePtr Session::TakeRequest() {
  auto exchange = std::make_shared<Exchange>();
  exchange->answer.keep_alive = parser_->keep_alive();
  http::request<http::string_body> message = parser_->release();
  parser_.reset();
  exchange->answer.http11 = message.version() >= 11;
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
  if (question != std::string_view::npos) {
    exchange->query = std::string(target.substr(question + 1));
  }
  return exchange;
}

void Session::Dispatch() {
  body_timer_.cancel();
  stream_.expires_never();
  SetPhase(HttpPhase::kServing);
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

void Session::CloseIf(HttpPhase phase) {
  asio::post(stream_.get_executor(), [self = Self(), phase] {
    if (self->phase_ == phase) self->Close();
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

// Why the parameters of a request could not be read.
WebResponse UnreadableForm(const absl::Status& status) {
  if (absl::IsResourceExhausted(status)) {
    return PlainError(413, Message(status));
  }
  if (absl::IsUnimplemented(status)) return PlainError(415, Message(status));
  return PlainError(400, Message(status));
}

void Session::Answer(const ExchangePtr& exchange) {
  // Our code does not throw, but allocations and libraries may.
  try {
    const absl::Status params = ReadParams(
        exchange->query, owner_->options().form_bytes_max, &exchange->request);
    if (params.ok()) {
      exchange->response = owner_->handler()->Handle(exchange->request);
    } else {
      owner_->CountBadRequest();
      exchange->response = UnreadableForm(params);
    }
  } catch (const std::exception& e) {
    exchange->response = PlainError(500, e.what());
  }
  exchange->request.body = std::string();
  MakeFirstPiece(exchange.get());
  asio::dispatch(stream_.get_executor(),
                 [self = Self(), exchange] { self->Write(exchange); });
}

void Session::MakeFirstPiece(Exchange* exchange) {
  if (owner_->stopping()) exchange->answer.keep_alive = false;
  exchange->answer.First(exchange->request, owner_->options().gzip_bytes_min,
                         &exchange->response);
}

// ------------------------------------------------------------------- writing

void Session::Write(const ExchangePtr& exchange) {
  if (exchange->answer.last) {
    ReleaseBody();
    MutexLock lock(&mutex_);
    disconnect_ = nullptr;
  }
  const size_t bytes =
      exchange->answer.header.size() + exchange->answer.piece.size();
  ExpiresAfter(owner_->options().write_timeout_ms +
               static_cast<int64_t>(bytes >> 16) * 1000);
  const std::array<asio::const_buffer, 2> buffers = {
      asio::buffer(exchange->answer.header),
      asio::buffer(exchange->answer.piece)};
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
  if (!exchange->answer.last) {
    stream_.expires_never();
    exchange->answer.header.clear();
    const bool taken =
        owner_->lane(exchange->lane)
            ->Submit(client_, [self = Self(), exchange] {
              exchange->answer.Next(&exchange->response);
              asio::dispatch(self->stream_.get_executor(),
                             [self, exchange] { self->Write(exchange); });
            });
    // Nothing can be said any more: the client sees an unfinished body.
    if (!taken) Close();
    return;
  }
  if (exchange->answer.keep_alive) return AwaitRequest();
  if (!exchange->linger) return Close();
  error_code ignored;
  stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
  stream_.expires_after(kLingerTime);
  SetPhase(HttpPhase::kIdle);
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
  body_timer_.cancel();
  SetPhase(HttpPhase::kServing);
}

}  // namespace

std::shared_ptr<HttpSession> HttpSession::Create(tcp::socket socket,
                                                 HttpSessionOwner* owner) {
  return std::make_shared<Session>(std::move(socket), owner);
}

}  // namespace varve
