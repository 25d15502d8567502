// Kills varve with SIGKILL at random moments under remote-write load, 20 times
// in a row on the same directory, and finds every acknowledged sample
// afterwards, bit for bit.
//
//   VARVE_BIN=build/release/varve kill_test   (VARVE_TEST_SEED,
//   VARVE_TEST_KILLS)

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <simdjson.h>
#include <snappy.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

extern char** environ;

namespace {

constexpr int kSenders = 4;
constexpr int kSeriesPerSender = 500;
constexpr int kTimesPerRequest = 4;
constexpr int64_t kStartMs = 1'700'000'000'000;
constexpr int64_t kStepMs = 1000;
constexpr int64_t kVerifyTimes = 900;  // timestamps in one query

/// The value of a sample is a function of its place, with all 52 bits in use.
double ValueAt(int sender, int series, int64_t tick) {
  uint64_t x = static_cast<uint64_t>(tick) * 1'000'003 +
               static_cast<uint64_t>(sender * kSeriesPerSender + series);
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccdULL;
  x ^= x >> 33;
  // Half of the series count up, as counters do; the others are random bits.
  if (series % 2 == 0) return static_cast<double>(tick * (series + 1));
  return std::bit_cast<double>((x & 0x000fffffffffffffULL) |
                               0x3ff0000000000000ULL);
}

// ------------------------------------------------------------- protobuf

void PutVarint(std::string* out, uint64_t v) {
  for (; v >= 0x80; v >>= 7) out->push_back(static_cast<char>(v | 0x80));
  out->push_back(static_cast<char>(v));
}
void PutBlob(std::string* out, int field, const std::string& bytes) {
  PutVarint(out, static_cast<uint64_t>(field) << 3 | 2);
  PutVarint(out, bytes.size());
  *out += bytes;
}
std::string Label(const std::string& name, const std::string& value) {
  std::string label;
  PutBlob(&label, 1, name);
  PutBlob(&label, 2, value);
  return label;
}

std::string RequestBody(int sender, int64_t tick) {
  std::string body;
  for (int s = 0; s < kSeriesPerSender; ++s) {
    std::string series;
    PutBlob(&series, 1, Label("__name__", "kill_test"));
    PutBlob(&series, 1, Label("sender", std::to_string(sender)));
    PutBlob(&series, 1, Label("series", std::to_string(s)));
    for (int i = 0; i < kTimesPerRequest; ++i) {
      std::string sample = "\x09";  // field 1, fixed64
      const auto bits = std::bit_cast<uint64_t>(ValueAt(sender, s, tick + i));
      for (int b = 0; b < 8; ++b) {
        sample.push_back(static_cast<char>(bits >> (8 * b)));
      }
      sample.push_back('\x10');
      PutVarint(&sample,
                static_cast<uint64_t>(kStartMs + (tick + i) * kStepMs));
      PutBlob(&series, 2, sample);
    }
    PutBlob(&body, 1, series);
  }
  std::string compressed;
  snappy::Compress(body.data(), body.size(), &compressed);
  return compressed;
}

// ----------------------------------------------------------------- HTTP

/// One keep-alive connection. Every failure gives nullopt: the server is gone.
class Connection {
 public:
  explicit Connection(int port) : port_(port) {}
  ~Connection() { Close(); }

  struct Answer {
    int status = 0;
    std::string body;
  };

  std::optional<Answer> Call(const std::string& method, const std::string& path,
                             const std::string& headers,
                             const std::string& body) {
    if (fd_ < 0 && !Connect()) return std::nullopt;
    const std::string request =
        method + " " + path + " HTTP/1.1\r\nHost: 127.0.0.1\r\n" + headers +
        "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
    if (!SendAll(request)) return Fail();
    return ReadAnswer();
  }

 private:
  bool Connect() {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port_));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const timeval timeout{60, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    if (::connect(fd_, reinterpret_cast<sockaddr*>(&address),
                  sizeof(address)) == 0) {
      return true;
    }
    Close();
    return false;
  }
  void Close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  std::optional<Answer> Fail() {
    Close();
    return std::nullopt;
  }
  bool SendAll(const std::string& bytes) {
    for (size_t at = 0; at < bytes.size();) {
      const ssize_t n =
          ::send(fd_, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
      if (n <= 0) return false;
      at += static_cast<size_t>(n);
    }
    return true;
  }
  bool Fill(std::string* in) {
    char buffer[1 << 16];
    const ssize_t n = ::recv(fd_, buffer, sizeof(buffer), 0);
    if (n <= 0) return false;
    in->append(buffer, static_cast<size_t>(n));
    return true;
  }
  std::optional<Answer> ReadAnswer() {
    std::string in;
    size_t head;
    while ((head = in.find("\r\n\r\n")) == std::string::npos) {
      if (!Fill(&in)) return Fail();
    }
    Answer answer;
    answer.status = std::atoi(in.substr(9, 3).c_str());
    std::string headers = in.substr(0, head);
    for (char& c : headers) c = static_cast<char>(std::tolower(c));
    std::string rest = in.substr(head + 4);
    if (const size_t at = headers.find("content-length:");
        at != std::string::npos) {
      const size_t length =
          std::strtoull(headers.c_str() + at + 15, nullptr, 10);
      while (rest.size() < length) {
        if (!Fill(&rest)) return Fail();
      }
      answer.body = std::move(rest);
    } else if (headers.find("chunked") != std::string::npos) {
      if (!ReadChunks(std::move(rest), &answer.body)) return Fail();
    }
    return answer;
  }
  bool ReadChunks(std::string in, std::string* body) {
    for (;;) {
      size_t line;
      while ((line = in.find("\r\n")) == std::string::npos) {
        if (!Fill(&in)) return false;
      }
      const size_t size = std::strtoull(in.c_str(), nullptr, 16);
      while (in.size() < line + 2 + size + 2) {
        if (!Fill(&in)) return false;
      }
      body->append(in, line + 2, size);
      in.erase(0, line + 2 + size + 2);
      if (size == 0) return true;
    }
  }

  const int port_;
  int fd_ = -1;
};

// Outside the range from which the system takes the ports of outgoing
// connections, or one of those could be there before the server is.
int FreePort() {
  std::random_device random;
  for (int i = 0; i < 100; ++i) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int port = 10000 + static_cast<int>(random() % 22000);
    address.sin_port = htons(static_cast<uint16_t>(port));
    const bool free =
        ::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
    ::close(fd);
    if (free) return port;
  }
  ADD_FAILURE() << "no free port in 100 attempts";
  return 0;
}

// --------------------------------------------------------------- server

class Varve {
 public:
  Varve(const std::string& directory, const std::string& binary)
      : port_(FreePort()) {
    const std::vector<std::string> arguments = {
        binary, "--storage.tsdb.path=" + directory + "/data",
        "--storage.tsdb.retention.time=100y",
        "--web.listen-address=127.0.0.1:" + std::to_string(port_),
        "--config.file=" + directory + "/varve.yml"};
    std::vector<char*> argv;
    for (const std::string& a : arguments) {
      argv.push_back(const_cast<char*>(a.c_str()));
    }
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    const std::string log = directory + "/varve.log";
    posix_spawn_file_actions_addopen(&actions, 1, log.c_str(),
                                     O_WRONLY | O_CREAT | O_APPEND, 0644);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    if (posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ) !=
        0) {
      pid_ = -1;
    }
    posix_spawn_file_actions_destroy(&actions);
  }
  ~Varve() { Kill(); }

  bool WaitReady() {
    const auto deadline =
        std::chrono::steady_clock::now() + std::chrono::seconds(120);
    while (std::chrono::steady_clock::now() < deadline) {
      if (::waitpid(pid_, nullptr, WNOHANG) == pid_) {
        pid_ = -1;
        return false;
      }
      Connection c(port_);
      const auto answer = c.Call("GET", "/-/ready", "", "");
      if (answer && answer->status == 200) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }
  void Kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  int port() const { return port_; }

 private:
  const int port_;
  pid_t pid_ = -1;
};

// ----------------------------------------------------------------- test

struct Sender {
  int number = 0;
  int64_t acknowledged = 0;  // ticks [0, acknowledged) are acknowledged
  std::string refusal;       // an answer that is neither success nor silence

  /// Sends until the server is gone.
  void Run(int port) {
    Connection connection(port);
    for (;;) {
      const auto answer =
          connection.Call("POST", "/api/v1/write",
                          "Content-Type: application/x-protobuf\r\n"
                          "Content-Encoding: snappy\r\n"
                          "X-Prometheus-Remote-Write-Version: 0.1.0\r\n",
                          RequestBody(number, acknowledged));
      if (!answer) return;
      if (answer->status / 100 != 2) {
        refusal = std::to_string(answer->status) + " " + answer->body;
        return;
      }
      acknowledged += kTimesPerRequest;
    }
  }
};

/// Asks for ticks [from, to) of a sender's series; returns how many samples
/// were there with exactly the right bits.
int64_t CountExact(Connection* connection, int sender, int64_t from,
                   int64_t to) {
  const int64_t end_s = (kStartMs + (to - 1) * kStepMs) / 1000;
  std::ostringstream form;
  form << "time=" << end_s << "&query=kill_test%7Bsender%3D%22" << sender
       << "%22%7D%5B" << (to - from) << "s%5D";
  const auto answer = connection->Call(
      "POST", "/api/v1/query",
      "Content-Type: application/x-www-form-urlencoded\r\n", form.str());
  if (!answer || answer->status != 200) {
    ADD_FAILURE() << (answer ? answer->body.substr(0, 500) : "no answer");
    return -1;
  }
  simdjson::dom::parser parser;
  int64_t exact = 0;
  for (simdjson::dom::element series :
       parser.parse(answer->body)["data"]["result"].get_array()) {
    const std::string_view name = series["metric"]["series"];
    const int number = std::atoi(std::string(name).c_str());
    for (simdjson::dom::array point : series["values"].get_array()) {
      const double seconds = point.at(0);
      const std::string_view text = point.at(1);
      const int64_t tick = (std::llround(seconds * 1000) - kStartMs) / kStepMs;
      const double value = std::strtod(std::string(text).c_str(), nullptr);
      exact += std::bit_cast<uint64_t>(value) ==
               std::bit_cast<uint64_t>(ValueAt(sender, number, tick));
    }
  }
  return exact;
}

void ExpectAll(int port, const Sender& sender, int64_t from) {
  Connection connection(port);
  for (int64_t at = from; at < sender.acknowledged; at += kVerifyTimes) {
    const int64_t to = std::min(at + kVerifyTimes, sender.acknowledged);
    ASSERT_EQ(CountExact(&connection, sender.number, at, to),
              (to - at) * kSeriesPerSender)
        << "sender " << sender.number << ", ticks " << at << " to " << to;
  }
}

int FromEnvironment(const char* name, int otherwise) {
  const char* text = std::getenv(name);
  return text ? std::atoi(text) : otherwise;
}

TEST(Kill, LosesNothingAcknowledged) {
  const char* binary = std::getenv("VARVE_BIN");
  ASSERT_NE(binary, nullptr) << "set VARVE_BIN";
  const int seed = FromEnvironment("VARVE_TEST_SEED",
                                   static_cast<int>(std::random_device()()));
  const int kills = FromEnvironment("VARVE_TEST_KILLS", 20);
  std::printf("VARVE_TEST_SEED=%d\n", seed);
  std::mt19937 random(static_cast<unsigned>(seed));

  const std::string directory = (std::filesystem::temp_directory_path() /
                                 ("varve-kill-" + std::to_string(::getpid())))
                                    .string();
  std::filesystem::create_directories(directory);
  std::ofstream(directory + "/varve.yml") << "global: {}\n";

  std::vector<Sender> senders(kSenders);
  for (int i = 0; i < kSenders; ++i) senders[i].number = i;
  std::vector<int64_t> verified(kSenders, 0);
  for (int round = 0; round < kills && !HasFailure(); ++round) {
    Varve varve(directory, binary);
    ASSERT_TRUE(varve.WaitReady()) << "see " << directory << "/varve.log";
    for (int i = 0; i < kSenders; ++i) {
      ExpectAll(varve.port(), senders[i], verified[i]);
      verified[i] = senders[i].acknowledged;
    }
    std::vector<std::thread> threads;
    for (Sender& sender : senders) {
      threads.emplace_back([&] { sender.Run(varve.port()); });
    }
    std::this_thread::sleep_for(std::chrono::microseconds(
        std::uniform_int_distribution<>(20'000, 700'000)(random)));
    varve.Kill();
    for (std::thread& thread : threads) thread.join();
    for (const Sender& sender : senders) EXPECT_EQ(sender.refusal, "");
  }
  if (!HasFailure()) {
    Varve varve(directory, binary);
    ASSERT_TRUE(varve.WaitReady()) << "see " << directory << "/varve.log";
    int64_t samples = 0;
    for (const Sender& sender : senders) {
      ExpectAll(varve.port(), sender, 0);
      samples += sender.acknowledged * kSeriesPerSender;
    }
    std::printf("%d kills, %lld samples acknowledged and found\n", kills,
                static_cast<long long>(samples));
    EXPECT_GT(samples, 0);
  }
  if (!HasFailure()) std::filesystem::remove_all(directory);
}

}  // namespace
