#include "api/http_server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <future>
#include <optional>
#include <thread>

namespace varve {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// A plain socket to the server, so that tests control every byte.
class Client {
 public:
  explicit Client(int port) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in to = {};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(port));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ =
        ::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof(to)) == 0;
    timeval limit = {20, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  }
  ~Client() { Close(); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void Close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  bool connected() const { return connected_; }
  bool Send(std::string_view text) {
    while (!text.empty()) {
      const ssize_t n = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      text.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }
  /// Until `end` has been seen, or the connection ends.
  std::string ReadUntil(std::string_view end) {
    while (in_.find(end) == std::string::npos && Fill()) {
    }
    const size_t at = in_.find(end);
    if (at == std::string::npos) return std::exchange(in_, "");
    std::string out = in_.substr(0, at + end.size());
    in_.erase(0, at + end.size());
    return out;
  }
  std::string ReadAll() {
    while (Fill()) {
    }
    return std::exchange(in_, "");
  }
  /// One answer with a Content-Length.
  std::string ReadAnswer() {
    std::string head = ReadUntil("\r\n\r\n");
    const size_t at = head.find("Content-Length: ");
    if (at == std::string::npos) return head;
    const auto length = static_cast<size_t>(std::atoi(head.c_str() + at + 16));
    while (in_.size() < length && Fill()) {
    }
    head += in_.substr(0, length);
    in_.erase(0, length);
    return head;
  }

 private:
  bool Fill() {
    char buffer[65536];
    const ssize_t n = ::recv(fd_, buffer, sizeof(buffer), 0);
    if (n <= 0) return false;
    in_.append(buffer, static_cast<size_t>(n));
    return true;
  }
  int fd_;
  bool connected_ = false;
  std::string in_;
};

class TestHandler final : public HttpHandler {
 public:
  int LaneOf(const WebRequest& request) const override {
    return request.path == "/inline" ? kInline : 0;
  }
  WebResponse Overloaded(const WebRequest&) override {
    return PlainError(503, "overloaded");
  }
  WebResponse Handle(WebRequest& request) override {
    WebResponse response;
    if (request.path == "/block") {
      std::promise<void> gone;
      request.disconnect->Set([&] { gone.set_value(); });
      blocked.fetch_add(1);
      gone.get_future().wait();
      request.disconnect->Clear();
      cancelled.fetch_add(1);
    } else if (request.path == "/wait") {
      blocked.fetch_add(1);
      open_.wait();
      response.body = "waited";
    } else if (request.path == "/stream") {
      response.more = [n = 0](std::string* out) mutable {
        out->append(100000, static_cast<char>('a' + n));
        return ++n < 20;
      };
    } else if (request.path == "/throw") {
      throw std::runtime_error("thrown");
    } else if (request.path == "/large") {
      response.body.assign(100000, 'x');
    } else {
      response.body =
          fmt::format("{} {} body={} q={}", request.method, request.path,
                      request.body.size(), request.Param("q"));
    }
    return response;
  }

  /// Lets the waiting requests finish, and those to come. Again: no effect.
  void Open() {
    if (!std::exchange(opened_, true)) gate_.set_value();
  }

  std::atomic<int> blocked{0};
  std::atomic<int> cancelled{0};

 private:
  std::promise<void> gate_;
  std::shared_future<void> open_ = gate_.get_future().share();
  bool opened_ = false;
};

bool Eventually(const std::function<bool()>& condition) {
  for (int i = 0; i < 2000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

class HttpServerTest : public testing::Test {
 protected:
  HttpServerTest() {
    options_.lanes = {{.threads_max = 2, .queue_max = 3}};
    options_.body_bytes_max = 100000;
    options_.header_bytes_max = 8192;
  }
  ~HttpServerTest() override { handler_.Open(); }  // or the server would wait
  void Start() {
    auto server = HttpServer::Start(options_, &handler_);
    ASSERT_TRUE(server.ok()) << Message(server.status());
    server_ = *std::move(server);
    port_ = server_->ports().at(0);
  }
  std::string Get(std::string_view path, std::string_view headers = "") {
    Client c(port_);
    c.Send(
        fmt::format("GET {} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{}\r\n",
                    path, headers));
    return c.ReadAll();
  }

  HttpServerOptions options_;
  TestHandler handler_;
  std::unique_ptr<HttpServer> server_;
  int port_ = 0;
};

TEST_F(HttpServerTest, AnswersAndKeepsTheConnection) {
  Start();
  Client c(port_);
  c.Send("GET /a%20b?q=1%2B1 HTTP/1.1\r\nHost: x\r\n\r\n");
  std::string answer = c.ReadAnswer();
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answer, HasSubstr("\r\nDate: "));
  EXPECT_THAT(answer, Not(HasSubstr("Connection:")));
  EXPECT_THAT(answer, EndsWith("GET /a b body=0 q=1+1"));
  c.Send(
      "POST /p?q=2 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
      "Content-Type: application/x-www-form-urlencoded\r\n\r\nq=1");
  EXPECT_THAT(c.ReadAnswer(), EndsWith("POST /p body=3 q=1"));
  c.Send(
      "POST /p HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
  EXPECT_THAT(c.ReadAnswer(), EndsWith("POST /p body=5 q="));
  c.Send("GET /inline HTTP/1.0\r\n\r\n");
  answer = c.ReadAll();
  EXPECT_THAT(answer, HasSubstr("Connection: close\r\n"));
  EXPECT_THAT(answer, EndsWith("GET /inline body=0 q="));
}

TEST_F(HttpServerTest, PipelinedRequestsAreAnsweredInOrder) {
  Start();
  Client c(port_);
  std::string requests;
  for (int i = 0; i < 50; ++i) {
    requests += fmt::format("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", i);
  }
  c.Send(requests);
  for (int i = 0; i < 50; ++i) {
    EXPECT_THAT(c.ReadAnswer(), EndsWith(fmt::format("GET /{} body=0 q=", i)));
  }
}

TEST_F(HttpServerTest, HeadHasNoBody) {
  Start();
  Client c(port_);
  c.Send(
      "HEAD /large HTTP/1.1\r\nHost: x\r\n\r\n"
      "GET /x HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(c.ReadUntil("\r\n\r\n"), StartsWith("HTTP/1.1 200 OK"));
  EXPECT_THAT(c.ReadAnswer(), EndsWith("GET /x body=0 q="));
}

TEST_F(HttpServerTest, LimitsAreNamedWithTheRightStatus) {
  Start();
  EXPECT_THAT(Get("/" + std::string(10000, 'x')),
              StartsWith("HTTP/1.1 431 Request Header Fields Too Large"));
  Client c(port_);
  // The answer comes although the client goes on sending.
  c.Send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n");
  c.Send(std::string(10000000, 'x'));
  const std::string answer = c.ReadAll();
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 413 "));
  EXPECT_THAT(answer, HasSubstr("10000000 bytes is longer than 100000 bytes"));
  Client chunked(port_);
  chunked.Send(
      "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (int i = 0; i < 20; ++i) {
    chunked.Send("2000\r\n" + std::string(0x2000, 'y') + "\r\n");
  }
  EXPECT_THAT(chunked.ReadAll(), StartsWith("HTTP/1.1 413 "));
  EXPECT_THAT(Get("/fine"), StartsWith("HTTP/1.1 200"));
}

TEST_F(HttpServerTest, BodiesTogetherAreBounded) {
  options_.bodies_bytes_max = 150000;
  Start();
  std::optional<Client> holder;
  // Both anew each time, since the server may have read them in either order.
  EXPECT_TRUE(Eventually([&] {
    holder.emplace(port_);
    holder->Send(
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\n\r\n12");
    Client c(port_);
    c.Send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\n\r\n");
    c.Send(std::string(90000, 'x'));
    return c.ReadAnswer().starts_with("HTTP/1.1 503 ");
  }));
  holder->Close();
  EXPECT_TRUE(Eventually([&] {
    Client c(port_);
    c.Send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\n\r\n");
    c.Send(std::string(90000, 'x'));
    return c.ReadAnswer().starts_with("HTTP/1.1 200 ");
  }));
}

TEST_F(HttpServerTest, GarbageIsRefused) {
  Start();
  for (const std::string garbage :
       {"\x16\x03\x01\x02 TLS hello\r\n\r\n", "GET\r\n\r\n",
        "GET / HTTP/1.1\r\nbad header\r\n\r\n", "GET / HTTP/9.1\r\n\r\n",
        "GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n"}) {
    Client c(port_);
    c.Send(garbage);
    EXPECT_THAT(c.ReadAnswer(), StartsWith("HTTP/1.1 ")) << garbage;
  }
  EXPECT_THAT(Get("/fine"), StartsWith("HTTP/1.1 200"));
}

TEST_F(HttpServerTest, ExpectContinue) {
  Start();
  Client c(port_);
  c.Send(
      "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
      "Expect: 100-continue\r\n\r\n");
  EXPECT_EQ(c.ReadUntil("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  c.Send("ab");
  EXPECT_THAT(c.ReadAnswer(), EndsWith("POST / body=2 q="));
}

TEST_F(HttpServerTest, StreamsInChunks) {
  Start();
  const std::string answer = Get("/stream");
  EXPECT_THAT(answer, HasSubstr("Transfer-Encoding: chunked\r\n"));
  for (char c = 'a'; c < 'a' + 20; ++c) {
    EXPECT_GE(std::count(answer.begin(), answer.end(), c), 100000);
    EXPECT_LT(std::count(answer.begin(), answer.end(), c), 100100);
  }
  EXPECT_THAT(answer, EndsWith("\r\n0\r\n\r\n"));
  Client old(port_);
  old.Send("GET /stream HTTP/1.0\r\n\r\n");
  EXPECT_THAT(old.ReadAnswer(), HasSubstr("Content-Length: 2000000\r\n"));
}

TEST_F(HttpServerTest, CompressesWhenItIsWorthIt) {
  Start();
  EXPECT_THAT(Get("/large", "Accept-Encoding: gzip\r\n"),
              HasSubstr("Content-Encoding: gzip\r\n"));
  EXPECT_THAT(Get("/stream", "Accept-Encoding: gzip\r\n"),
              HasSubstr("Content-Encoding: gzip\r\n"));
  EXPECT_THAT(Get("/large"), Not(HasSubstr("Content-Encoding")));
  EXPECT_THAT(Get("/small", "Accept-Encoding: gzip\r\n"),
              Not(HasSubstr("Content-Encoding")));
}

TEST_F(HttpServerTest, ABusyLaneHoldsUpNobodyElse) {
  Start();
  std::vector<std::unique_ptr<Client>> clients;
  for (size_t i = 1; i <= 5; ++i) {  // two run, three wait
    clients.push_back(std::make_unique<Client>(port_));
    clients.back()->Send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
    ASSERT_TRUE(Eventually([&] {
      const auto s = server_->Stats();
      const size_t running = std::min<size_t>(i, 2);
      return s.lane_running[0] == running && s.lane_queued[0] == i - running;
    }));
  }
  EXPECT_THAT(Get("/inline"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(Get("/x"), HasSubstr("503"));
  handler_.Open();
  for (const auto& c : clients) {
    EXPECT_THAT(c->ReadAnswer(), EndsWith("waited"));
  }
}

TEST_F(HttpServerTest, AClientThatGoesCancels) {
  Start();
  Client c(port_);
  c.Send("GET /block HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(Eventually([&] { return handler_.blocked == 1; }));
  c.Close();
  EXPECT_TRUE(Eventually([&] { return handler_.cancelled == 1; }));
  EXPECT_TRUE(Eventually([&] { return server_->Stats().connections == 0; }));
}

TEST_F(HttpServerTest, ThousandsOfIdleConnectionsHurtNobody) {
  options_.connections_max = 50;
  Start();
  std::vector<std::unique_ptr<Client>> idle;
  for (int i = 0; i < 500; ++i) {
    idle.push_back(std::make_unique<Client>(port_));
    if (i % 2 == 0) idle.back()->Send("GET /half HTTP/1.1\r\nHo");
  }
  EXPECT_THAT(Get("/fine"), StartsWith("HTTP/1.1 200"));
  EXPECT_TRUE(Eventually([&] { return server_->Stats().connections <= 51; }));
  EXPECT_GE(server_->Stats().evicted, 400);
}

std::string UploadHead(size_t bytes) {
  return fmt::format(
      "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", bytes);
}

TEST_F(HttpServerTest, StalledUploadsMakeRoom) {
  options_.connections_max = 20;
  options_.upload_stall_ms = 10;
  Start();
  std::vector<std::unique_ptr<Client>> stalled;
  for (int i = 0; i < 200; ++i) {
    stalled.push_back(std::make_unique<Client>(port_));
    stalled.back()->Send(UploadHead(90000) + "12");
  }
  for (int i = 0; i < 5; ++i) {
    EXPECT_THAT(Get("/fine"), StartsWith("HTTP/1.1 200"));
  }
  EXPECT_GE(server_->Stats().evicted, 180);
}

TEST_F(HttpServerTest, UploadsThatDoNotStallAreLeftAlone) {
  options_.connections_max = 2;
  options_.upload_stall_ms = 1'000'000;
  Start();
  Client a(port_), b(port_);
  for (Client* c : {&a, &b}) {
    c->Send(
        "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n"
        "Expect: 100-continue\r\n\r\n");
    EXPECT_THAT(c->ReadUntil("\r\n\r\n"), StartsWith("HTTP/1.1 100 "));
    c->Send("12");
  }
  std::vector<std::unique_ptr<Client>> idle;
  for (int i = 0; i < 3; ++i) idle.push_back(std::make_unique<Client>(port_));
  EXPECT_THAT(Get("/fine"), StartsWith("HTTP/1.1 200"));
  for (Client* c : {&a, &b}) {
    c->Send("34");
    EXPECT_THAT(c->ReadAnswer(), EndsWith("body=4 q="));
  }
}

TEST_F(HttpServerTest, SlowUploadsGetA408) {
  options_.upload_grace_ms = 30;
  Start();
  Client c(port_);
  c.Send(UploadHead(90000) + "12");
  const std::string answer = c.ReadAll();
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 408 Request Timeout\r\n"));
  EXPECT_THAT(answer, HasSubstr("the request body came too slowly: 2 bytes"));
  EXPECT_EQ(server_->Stats().bad_requests, 1);
}

TEST(BodyTime, WhatArrivesPaysForMoreTime) {
  HttpServerOptions o;
  o.upload_grace_ms = 3000;
  o.upload_rate_min = 4096;
  o.read_timeout_ms = 60000;
  EXPECT_EQ(BodyTimeMs(o, 0), 3000);
  EXPECT_EQ(BodyTimeMs(o, 2048), 3500);
  EXPECT_EQ(BodyTimeMs(o, 10 * 4096), 13000);
  EXPECT_EQ(BodyTimeMs(o, 57 * 4096), 60000);
  EXPECT_EQ(BodyTimeMs(o, uint64_t{1} << 62), 60000);
  o.upload_rate_min = 0;
  EXPECT_EQ(BodyTimeMs(o, 1), 4000);
}

TEST_F(HttpServerTest, AnnouncedBytesCostOthersNothing) {
  options_.body_bytes_max = 64 << 20;
  options_.bodies_bytes_max = 64 << 20;
  Start();
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 20; ++i) {
    clients.push_back(std::make_unique<Client>(port_));
    clients.back()->Send(UploadHead(64 << 20) + "12");
  }
  Client c(port_);
  c.Send(UploadHead(90000) + std::string(90000, 'x'));
  EXPECT_THAT(c.ReadAnswer(), EndsWith("body=90000 q="));
}

std::string Gzip(std::string_view text) {
  std::string out;
  GzipStream().Append(text, true, &out);
  return out;
}

TEST_F(HttpServerTest, FormsMayBeCompressed) {
  options_.form_bytes_max = 50000;
  Start();
  const auto post = [&](std::string_view encoding, std::string_view body,
                        std::string_view type =
                            "application/x-www-form-urlencoded") {
    Client c(port_);
    c.Send(
        fmt::format("POST /x?q=url HTTP/1.1\r\nHost: x\r\nContent-Type: {}\r\n"
                    "Content-Encoding: {}\r\nContent-Length: {}\r\n\r\n{}",
                    type, encoding, body.size(), body));
    return c.ReadAnswer();
  };
  const std::string packed = Gzip("q=a%20b");
  EXPECT_THAT(post("gzip", packed), EndsWith("q=a b"));
  EXPECT_THAT(post("X-GZIP", packed), EndsWith("q=a b"));
  EXPECT_THAT(post("gzip", Gzip("q=a") + Gzip("%20b")), EndsWith("q=a b"));
  EXPECT_THAT(post("identity", "q=c"), EndsWith("q=c"));
  EXPECT_THAT(post("br", "q=c"), StartsWith("HTTP/1.1 415 "));
  EXPECT_THAT(post("br", "q=c"), HasSubstr("Content-Encoding \"br\""));
  EXPECT_THAT(post("gzip", "q=c"), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(post("gzip", packed.substr(0, packed.size() - 1)),
              HasSubstr("no gzip file"));
  EXPECT_THAT(post("gzip", Gzip("q=" + std::string(50000, 'x'))),
              StartsWith("HTTP/1.1 413 "));
  // What is no form is the handler's: remote write has encodings of its own.
  EXPECT_THAT(post("snappy", "12345", "application/x-protobuf"),
              EndsWith("body=5 q=url"));
}

TEST_F(HttpServerTest, SlowHeadersEnd) {
  options_.header_timeout_ms = 50;
  Start();
  Client c(port_);
  c.Send("GET / HTT");
  EXPECT_EQ(c.ReadAll(), "");
}

TEST_F(HttpServerTest, IdleConnectionsEnd) {
  options_.read_timeout_ms = 50;
  Start();
  Client c(port_);
  EXPECT_EQ(c.ReadAll(), "");
}

TEST_F(HttpServerTest, HandlersMayThrow) {
  Start();
  const std::string answer = Get("/throw");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 500 "));
  EXPECT_THAT(answer, EndsWith("thrown\n"));
}

TEST_F(HttpServerTest, StopLetsRunningRequestsFinish) {
  Start();
  Client idle(port_);
  Client c(port_);
  c.Send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(Eventually([&] { return handler_.blocked == 1; }));
  std::thread stop([&] { server_->Stop(60000); });
  EXPECT_EQ(idle.ReadAll(), "");
  EXPECT_TRUE(Eventually([&] { return !Client(port_).connected(); }));
  handler_.Open();
  const std::string answer = c.ReadAll();
  EXPECT_THAT(answer, HasSubstr("Connection: close"));
  EXPECT_THAT(answer, EndsWith("waited"));
  stop.join();
}

TEST_F(HttpServerTest, StopCancelsWhatDoesNotFinish) {
  Start();
  Client c(port_);
  c.Send("GET /block HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(Eventually([&] { return handler_.blocked == 1; }));
  server_->Stop(20);
  EXPECT_EQ(handler_.cancelled, 1);
}

TEST_F(HttpServerTest, AddressInUseIsNamed) {
  Start();
  HttpServerOptions second = options_;
  second.addresses = {fmt::format("127.0.0.1:{}", port_)};
  const auto other = HttpServer::Start(second, &handler_);
  EXPECT_EQ(Message(other.status()),
            fmt::format("cannot listen on 127.0.0.1:{}: Address already in use",
                        port_));
  second.addresses = {"localhost"};
  EXPECT_EQ(Message(HttpServer::Start(second, &handler_).status()),
            "listen address \"localhost\" has no port");
}

}  // namespace
}  // namespace varve
