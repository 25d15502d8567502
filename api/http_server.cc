#include "api/http_server.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <chrono>
#include <list>
#include <thread>
#include <unordered_map>
#include <utility>

#include "api/http_lane.h"
#include "api/http_session.h"

namespace varve {

int64_t BodyTimeMs(const HttpServerOptions& options, uint64_t received) {
  const double rate =
      static_cast<double>(std::max<int64_t>(1, options.upload_rate_min));
  const double earned_ms = 1000 * (static_cast<double>(received) / rate);
  return static_cast<int64_t>(
      std::min(static_cast<double>(options.read_timeout_ms),
               static_cast<double>(options.upload_grace_ms) + earned_ms));
}

namespace {

namespace asio = boost::asio;
using tcp = asio::ip::tcp;
using boost::system::error_code;

constexpr auto kAcceptRetry = std::chrono::milliseconds(100);
constexpr auto kRoomRetry = std::chrono::milliseconds(50);

// A listening socket that accepts for ever.
struct Listener {
  explicit Listener(asio::io_context& io) : acceptor(io), retry(io) {}
  tcp::acceptor acceptor;
  asio::steady_timer retry;
  std::string address;
};

struct HostPort {
  std::string host;
  std::string port;
};

absl::StatusOr<HostPort> SplitAddress(const std::string& address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon + 1 == address.size()) {
    return InvalidArgument("listen address {} has no port", Quote(address));
  }
  HostPort out{address.substr(0, colon), address.substr(colon + 1)};
  if (out.host.starts_with('[') && out.host.ends_with(']')) {
    out.host = out.host.substr(1, out.host.size() - 2);
  }
  return out;
}

class ServerImpl final : public HttpServer, public HttpSessionOwner {
 public:
  ServerImpl(const HttpServerOptions& options, HttpHandler* handler)
      : options_(options),
        handler_(handler),
        io_(std::make_unique<asio::io_context>(options.io_threads)) {
    for (const HttpLaneOptions& lane : options.lanes) {
      lanes_.push_back(
          std::make_unique<HttpLane>(lane.threads_max, lane.queue_max));
    }
  }
  ~ServerImpl() override { Stop(0); }

  absl::Status Listen();
  void Run();

  std::vector<int> ports() const override { return ports_; }
  HttpServerStats Stats() const override;
  void Stop(int64_t grace_ms) override;

  // HttpSessionOwner.
  const HttpServerOptions& options() const override { return options_; }
  HttpHandler* handler() override { return handler_; }
  HttpLane* lane(int index) override {
    return lanes_.at(static_cast<size_t>(index)).get();
  }
  bool stopping() const override {
    return stopping_.load(std::memory_order_relaxed);
  }
  bool ReserveBody(uint64_t bytes) override;
  void ReleaseBody(uint64_t bytes) override;
  void CountBadRequest() override { bad_requests_.fetch_add(1); }
  void SetPhase(HttpSession* session, HttpPhase phase) override;
  void Closed(HttpSession* session) override;

 private:
  absl::Status ListenOn(const std::string& address);
  void Accept(Listener* listener);
  void Accepted(Listener* listener, error_code error, tcp::socket socket);
  void AcceptSoon(Listener* listener);
  void AcceptWhenThereIsRoom(Listener* listener);
  bool MakeRoom() { return Evict(HttpPhase::kIdle) || EvictStalled(); }
  bool EvictStalled();
  bool Evict(HttpPhase phase);

  const HttpServerOptions options_;
  HttpHandler* const handler_;
  std::unique_ptr<asio::io_context> io_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::vector<int> ports_;
  std::vector<std::unique_ptr<HttpLane>> lanes_;
  std::vector<std::thread> threads_;
  std::atomic<bool> stopping_{false};
  std::atomic<int64_t> accepted_{0};
  std::atomic<int64_t> evicted_{0};
  std::atomic<int64_t> bad_requests_{0};
  std::atomic<uint64_t> body_bytes_{0};

  mutable Mutex mutex_;
  CondVar empty_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  // Every open session; its place among those that wait for their client, if
  // it is one: the one that has waited longest comes first.
  using WaitList = std::list<HttpSession*>;
  WaitList idle_ ABSL_GUARDED_BY(mutex_);
  WaitList uploading_ ABSL_GUARDED_BY(mutex_);
  struct Known {
    std::weak_ptr<HttpSession> session;
    HttpPhase phase = HttpPhase::kServing;
    std::chrono::steady_clock::time_point since;  // of the last progress
    WaitList::iterator place;
  };
  WaitList* ListOf(HttpPhase phase) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return phase == HttpPhase::kIdle ? &idle_ : &uploading_;
  }
  std::unordered_map<HttpSession*, Known> sessions_ ABSL_GUARDED_BY(mutex_);
  std::vector<Listener*> paused_ ABSL_GUARDED_BY(mutex_);
};

absl::Status ServerImpl::Listen() {
  if (options_.addresses.empty()) {
    return InvalidArgument("no address to listen on");
  }
  for (const std::string& address : options_.addresses) {
    VARVE_RETURN_IF_ERROR(ListenOn(address));
  }
  return absl::OkStatus();
}

absl::Status ServerImpl::ListenOn(const std::string& address) {
  VARVE_ASSIGN_OR_RETURN(HostPort at, SplitAddress(address));
  const bool any = at.host.empty();
  error_code error;
  tcp::resolver resolver(*io_);
  const auto found = resolver.resolve(any ? "::" : at.host, at.port,
                                      tcp::resolver::passive, error);
  if (error || found.empty()) {
    return Unavailable("cannot listen on {}: {}", address, error.message());
  }
  auto listener = std::make_unique<Listener>(*io_);
  listener->address = address;
  tcp::endpoint endpoint = found.begin()->endpoint();
  tcp::acceptor& acceptor = listener->acceptor;
  acceptor.open(endpoint.protocol(), error);
  if (error && any) {  // a machine without IPv6
    endpoint = tcp::endpoint(tcp::v4(), endpoint.port());
    acceptor.open(endpoint.protocol(), error);
  }
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error && any && endpoint.protocol() == tcp::v6()) {
    acceptor.set_option(asio::ip::v6_only(false), error);
  }
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(4096, error);
  if (error) {
    return Unavailable("cannot listen on {}: {}", address, error.message());
  }
  ports_.push_back(acceptor.local_endpoint().port());
  listeners_.push_back(std::move(listener));
  return absl::OkStatus();
}

void ServerImpl::Run() {
  for (const auto& listener : listeners_) Accept(listener.get());
  for (int i = 0; i < std::max(1, options_.io_threads); ++i) {
    threads_.emplace_back([this] { io_->run(); });
  }
}

void ServerImpl::Accept(Listener* listener) {
  if (stopping()) return;
  listener->acceptor.async_accept(
      asio::make_strand(*io_),
      [this, listener](error_code error, tcp::socket socket) {
        Accepted(listener, error, std::move(socket));
      });
}

// Out of descriptors, most likely: makes room and tries again.
void ServerImpl::AcceptSoon(Listener* listener) {
  MakeRoom();
  listener->retry.expires_after(kAcceptRetry);
  listener->retry.async_wait([this, listener](error_code error) {
    if (!error) Accept(listener);
  });
}

void ServerImpl::Accepted(Listener* listener, error_code error,
                          tcp::socket socket) {
  if (stopping() || error == asio::error::operation_aborted) return;
  if (error) {
    options_.logger.Warn("http", "accept on {}: {}", listener->address,
                         error.message());
    return AcceptSoon(listener);
  }
  accepted_.fetch_add(1);
  auto session = HttpSession::Create(std::move(socket), this);
  bool full = false;
  {
    MutexLock lock(&mutex_);
    sessions_[session.get()].session = session;
    full = sessions_.size() > static_cast<size_t>(options_.connections_max);
  }
  // Before it starts, or the newcomer itself might be taken for an idle one.
  const bool room = !full || MakeRoom();
  session->Start();
  if (!room) return AcceptWhenThereIsRoom(listener);
  Accept(listener);
}

// A session that ends makes room, and so does one that stalls for long enough.
void ServerImpl::AcceptWhenThereIsRoom(Listener* listener) {
  MutexLock lock(&mutex_);
  if (sessions_.size() <= static_cast<size_t>(options_.connections_max)) {
    asio::post(*io_, [this, listener] { Accept(listener); });
    return;
  }
  paused_.push_back(listener);  // Closed() goes on, or the timer
  listener->retry.expires_after(kRoomRetry);
  listener->retry.async_wait([this, listener](error_code error) {
    if (error || stopping()) return;
    const bool room = MakeRoom();
    {
      MutexLock again(&mutex_);
      if (std::erase(paused_, listener) == 0) return;  // Closed() was quicker
    }
    if (room) return Accept(listener);
    AcceptWhenThereIsRoom(listener);
  });
}

bool ServerImpl::EvictStalled() {
  {
    MutexLock lock(&mutex_);
    if (uploading_.empty()) return false;
    const auto stalled =
        std::chrono::steady_clock::now() - sessions_[uploading_.front()].since;
    if (stalled < std::chrono::milliseconds(options_.upload_stall_ms)) {
      return false;
    }
  }
  return Evict(HttpPhase::kUploading);
}

// Closes the one that has been waiting in this phase for the longest time.
bool ServerImpl::Evict(HttpPhase phase) {
  std::shared_ptr<HttpSession> victim;
  {
    MutexLock lock(&mutex_);
    WaitList* list = ListOf(phase);
    while (!victim && !list->empty()) {
      Known& known = sessions_[list->front()];
      victim = known.session.lock();
      known.phase = HttpPhase::kServing;
      list->pop_front();
    }
  }
  if (!victim) return false;
  evicted_.fetch_add(1);
  victim->CloseIf(phase);
  return true;
}

void ServerImpl::SetPhase(HttpSession* session, HttpPhase phase) {
  MutexLock lock(&mutex_);
  const auto it = sessions_.find(session);
  if (it == sessions_.end()) return;
  Known& known = it->second;
  if (known.phase != HttpPhase::kServing) {
    ListOf(known.phase)->erase(known.place);
  }
  known.phase = phase;
  if (phase == HttpPhase::kServing) return;
  known.since = std::chrono::steady_clock::now();
  WaitList* list = ListOf(phase);
  known.place = list->insert(list->end(), session);
}

void ServerImpl::Closed(HttpSession* session) {
  std::vector<Listener*> resume;
  {
    MutexLock lock(&mutex_);
    const auto it = sessions_.find(session);
    if (it == sessions_.end()) return;
    if (const HttpPhase phase = it->second.phase;
        phase != HttpPhase::kServing) {
      ListOf(phase)->erase(it->second.place);
    }
    sessions_.erase(it);
    if (sessions_.empty()) empty_.NotifyAll();
    resume.swap(paused_);
  }
  for (Listener* listener : resume) {
    asio::post(*io_, [this, listener] { Accept(listener); });
  }
}

bool ServerImpl::ReserveBody(uint64_t bytes) {
  const uint64_t now = body_bytes_.fetch_add(bytes) + bytes;
  if (now <= options_.bodies_bytes_max) return true;
  body_bytes_.fetch_sub(bytes);
  return false;
}

void ServerImpl::ReleaseBody(uint64_t bytes) { body_bytes_.fetch_sub(bytes); }

HttpServerStats ServerImpl::Stats() const {
  HttpServerStats stats;
  {
    MutexLock lock(&mutex_);
    stats.connections = static_cast<int64_t>(sessions_.size());
  }
  stats.accepted = accepted_.load();
  stats.evicted = evicted_.load();
  stats.bad_requests = bad_requests_.load();
  for (const auto& lane : lanes_) {
    stats.lane_queued.push_back(lane->queued());
    stats.lane_running.push_back(lane->running());
  }
  return stats;
}

void ServerImpl::Stop(int64_t grace_ms) {
  {
    MutexLock lock(&mutex_);
    if (stopped_) return;
    stopped_ = true;
  }
  stopping_.store(true);
  asio::post(*io_, [this] {
    for (const auto& listener : listeners_) {
      error_code ignored;
      listener->acceptor.close(ignored);
      MutexLock lock(&mutex_);
      listener->retry.cancel();
    }
  });
  while (Evict(HttpPhase::kIdle)) {
  }
  const auto end =
      std::chrono::steady_clock::now() + std::chrono::milliseconds(grace_ms);
  std::vector<std::shared_ptr<HttpSession>> left;
  {
    MutexLock lock(&mutex_);
    while (!sessions_.empty() && std::chrono::steady_clock::now() < end) {
      empty_.WaitFor(&mutex_, std::chrono::milliseconds(50));
    }
    for (const auto& [session, known] : sessions_) {
      if (auto s = known.session.lock()) left.push_back(std::move(s));
    }
  }
  for (const auto& session : left) session->Abort();
  left.clear();
  for (const auto& lane : lanes_) lane->Stop();
  io_->stop();
  for (std::thread& thread : threads_) thread.join();
  // What is still queued holds the last sessions; they say Closed() here.
  listeners_.clear();
  io_.reset();
}

}  // namespace

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(
    const HttpServerOptions& options, HttpHandler* handler) {
  auto server = std::make_unique<ServerImpl>(options, handler);
  VARVE_RETURN_IF_ERROR(server->Listen());
  server->Run();
  return server;
}

}  // namespace varve
