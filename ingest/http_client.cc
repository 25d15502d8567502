#include "ingest/http_client.h"

#include <curl/curl.h>
#include <zlib.h>

#include <deque>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "storage/check.h"
#include "storage/file_system.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

constexpr uint64_t kSecretBytesMax = uint64_t{1} << 20;
constexpr uint64_t kCertificateBytesMax = uint64_t{16} << 20;
constexpr long kRedirectsMax = 10;
constexpr long kIdleConnectionsMax = 4096;
constexpr size_t kHeaderBytesMax = size_t{1} << 20;

std::string_view TrimSpace(std::string_view text) {
  const size_t from = text.find_first_not_of(" \t\r\n");
  if (from == std::string_view::npos) return {};
  return text.substr(from, text.find_last_not_of(" \t\r\n") + 1 - from);
}

// A secret that stands in the configuration or in a file.
absl::StatusOr<std::string> TextOrFile(const std::string& text,
                                       const std::string& file) {
  if (file.empty()) return text;
  VARVE_ASSIGN_OR_RETURN(const std::string read,
                         ReadFile(FileSystem::Posix(), file, kSecretBytesMax));
  return std::string(TrimSpace(read));
}

// The same without trimming, for PEM.
absl::StatusOr<std::string> PemOrFile(const std::string& text,
                                      const std::string& file) {
  if (file.empty()) return text;
  return ReadFile(FileSystem::Posix(), file, kCertificateBytesMax);
}

long TlsVersion(std::string_view name) {
  if (name == "TLS10") return CURL_SSLVERSION_TLSv1_0;
  if (name == "TLS11") return CURL_SSLVERSION_TLSv1_1;
  if (name == "TLS13") return CURL_SSLVERSION_TLSv1_3;
  return CURL_SSLVERSION_TLSv1_2;
}

long TlsVersionMax(std::string_view name) {
  if (name.empty()) return CURL_SSLVERSION_MAX_DEFAULT;
  if (name == "TLS10") return CURL_SSLVERSION_MAX_TLSv1_0;
  if (name == "TLS11") return CURL_SSLVERSION_MAX_TLSv1_1;
  if (name == "TLS12") return CURL_SSLVERSION_MAX_TLSv1_2;
  return CURL_SSLVERSION_MAX_TLSv1_3;
}

// scheme://host:port and what follows.
struct UrlParts {
  std::string scheme;
  std::string host;  // with brackets if it is an IPv6 address
  std::string port;
  std::string rest;
};

UrlParts SplitUrl(const std::string& url) {
  UrlParts parts;
  const size_t scheme = url.find("://");
  if (scheme == std::string::npos) return parts;
  parts.scheme = url.substr(0, scheme);
  const size_t from = scheme + 3;
  const size_t slash = std::min(url.find_first_of("/?", from), url.size());
  const std::string authority = url.substr(from, slash - from);
  parts.rest = url.substr(slash);
  const size_t colon = authority.rfind(':');
  const bool has_port = colon != std::string::npos &&
                        authority.find(']', colon) == std::string::npos;
  parts.host = authority.substr(0, has_port ? colon : std::string::npos);
  parts.port = has_port ? authority.substr(colon + 1)
                        : (parts.scheme == "https" ? "443" : "80");
  return parts;
}

// Inflates a gzip body piece by piece. curl could do it, but takes a body that
// is cut off for a whole one.
class GzipReader {
 public:
  GzipReader() {
    good_ = inflateInit2(&stream_, 15 + 16) == Z_OK;  // + 16: gzip, not zlib
  }
  ~GzipReader() { inflateEnd(&stream_); }
  GzipReader(const GzipReader&) = delete;
  GzipReader& operator=(const GzipReader&) = delete;

  // Appends what `data` means; stops when `out` reaches `bytes_max`. False:
  // not gzip.
  bool Read(std::string_view data, uint64_t bytes_max, std::string* out) {
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
    stream_.avail_in = static_cast<uInt>(data.size());
    while (good_ && stream_.avail_in > 0 && out->size() < bytes_max) {
      // A file may be several gzip members one after another.
      if (ended_) good_ = inflateReset(&stream_) == Z_OK;
      ended_ = false;
      InflateSome(out);
    }
    return good_;
  }

  bool complete() const { return good_ && ended_; }

 private:
  static constexpr size_t kPieceBytes = size_t{64} << 10;

  void InflateSome(std::string* out) {
    const size_t before = out->size();
    out->resize(before + kPieceBytes);
    stream_.next_out = reinterpret_cast<Bytef*>(out->data() + before);
    stream_.avail_out = static_cast<uInt>(kPieceBytes);
    const int code = inflate(&stream_, Z_NO_FLUSH);
    out->resize(before + kPieceBytes - stream_.avail_out);
    ended_ = code == Z_STREAM_END;
    good_ = code == Z_OK || code == Z_STREAM_END ||
            (code == Z_BUF_ERROR && stream_.avail_in == 0);
  }

  z_stream stream_ = {};
  bool good_ = false;
  bool ended_ = false;
};

// One request under way. curl keeps pointers into it.
struct Transfer {
  HttpRequest request;
  HttpClient::Done done;
  HttpResponse response;
  CURL* easy = nullptr;
  curl_slist* headers = nullptr;
  curl_slist* connect_to = nullptr;
  char error[CURL_ERROR_SIZE] = {};
  bool too_long = false;
  bool bad_gzip = false;
  std::unique_ptr<GzipReader> gzip;  // set by Content-Encoding
  size_t header_bytes = 0;

  ~Transfer() {
    curl_slist_free_all(headers);
    curl_slist_free_all(connect_to);
  }
};

size_t OnBody(char* data, size_t size, size_t count, void* user) {
  auto* t = static_cast<Transfer*>(user);
  const size_t bytes = size * count;
  std::string& body = t->response.body;
  const uint64_t bytes_max = t->request.body_bytes_max;
  if (t->gzip != nullptr) {
    t->bad_gzip = !t->gzip->Read({data, bytes}, bytes_max, &body);
    t->too_long = body.size() >= bytes_max;
  } else {
    t->too_long = body.size() + bytes >= bytes_max;
    if (!t->too_long) body.append(data, bytes);
  }
  // 0: curl gives up with CURLE_WRITE_ERROR.
  return t->bad_gzip || t->too_long ? 0 : bytes;
}

bool IsGzipEncoding(std::string_view line) {
  constexpr std::string_view kName = "content-encoding:";
  if (line.size() < kName.size()) return false;
  for (size_t i = 0; i < kName.size(); ++i) {
    const char c = line[i];
    const char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    if (lower != kName[i]) return false;
  }
  return TrimSpace(line.substr(kName.size())) == "gzip";
}

size_t OnHeader(char* data, size_t size, size_t count, void* user) {
  auto* t = static_cast<Transfer*>(user);
  const std::string_view line(data, size * count);
  t->header_bytes += line.size();
  if (t->header_bytes > kHeaderBytesMax) {
    t->too_long = true;
    return 0;
  }
  if (line.starts_with("HTTP/")) {  // also of each response before a redirect
    const size_t code = line.find(' ');
    const size_t reason = line.find(' ', code + 1);
    t->response.reason =
        code == std::string_view::npos || reason == std::string_view::npos
            ? ""
            : std::string(TrimSpace(line.substr(reason)));
    t->response.body.clear();
    t->gzip = nullptr;
  } else if (IsGzipEncoding(line)) {
    t->gzip = std::make_unique<GzipReader>();
  }
  return line.size();
}

void AddHeader(Transfer* t, const std::string& line) {
  t->headers = curl_slist_append(t->headers, line.c_str());
}

absl::Status SetHeaders(Transfer* t) {
  for (const std::string& line : t->request.headers) AddHeader(t, line);
  for (const HttpHeaderConfig& header : t->request.config.headers) {
    for (const std::string& v : header.values) {
      AddHeader(t, header.name + ": " + v);
    }
    for (const std::string& v : header.secrets) {
      AddHeader(t, header.name + ": " + v);
    }
    for (const std::string& file : header.files) {
      VARVE_ASSIGN_OR_RETURN(const std::string v, TextOrFile("", file));
      if (v.find_first_of("\r\n") != std::string::npos) {
        return InvalidArgument("{} holds more than one line", file);
      }
      AddHeader(t, header.name + ": " + v);
    }
  }
  return absl::OkStatus();
}

absl::Status SetAuth(Transfer* t) {
  const HttpClientConfig& config = t->request.config;
  if (config.basic_auth) {
    const BasicAuth& auth = *config.basic_auth;
    VARVE_ASSIGN_OR_RETURN(const std::string username,
                           TextOrFile(auth.username, auth.username_file));
    VARVE_ASSIGN_OR_RETURN(const std::string password,
                           TextOrFile(auth.password, auth.password_file));
    curl_easy_setopt(t->easy, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
    curl_easy_setopt(t->easy, CURLOPT_USERNAME, username.c_str());
    curl_easy_setopt(t->easy, CURLOPT_PASSWORD, password.c_str());
  }
  if (config.authorization) {
    const Authorization& auth = *config.authorization;
    VARVE_ASSIGN_OR_RETURN(const std::string credentials,
                           TextOrFile(auth.credentials, auth.credentials_file));
    if (credentials.find_first_of("\r\n") != std::string::npos) {
      return InvalidArgument("credentials hold more than one line");
    }
    // curl keeps this header from other hosts when it follows a redirect.
    AddHeader(t, "Authorization: " + auth.type + " " + credentials);
  }
  return absl::OkStatus();
}

void SetBlob(CURL* easy, CURLoption option, const std::string& bytes) {
  curl_blob blob = {const_cast<char*>(bytes.data()), bytes.size(),
                    CURL_BLOB_COPY};
  curl_easy_setopt(easy, option, &blob);
}

// Certificates are handed over as bytes: curl compares them when it looks for a
// connection to reuse, so rotated ones get a new connection.
absl::Status SetTls(Transfer* t) {
  const TlsConfig& tls = t->request.config.tls;
  VARVE_ASSIGN_OR_RETURN(const std::string ca, PemOrFile(tls.ca, tls.ca_file));
  if (!ca.empty()) SetBlob(t->easy, CURLOPT_CAINFO_BLOB, ca);
  VARVE_ASSIGN_OR_RETURN(const std::string cert,
                         PemOrFile(tls.cert, tls.cert_file));
  VARVE_ASSIGN_OR_RETURN(const std::string key,
                         PemOrFile(tls.key, tls.key_file));
  if (!cert.empty()) {
    SetBlob(t->easy, CURLOPT_SSLCERT_BLOB, cert);
    SetBlob(t->easy, CURLOPT_SSLKEY_BLOB, key);
  }
  if (tls.insecure_skip_verify) {
    curl_easy_setopt(t->easy, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(t->easy, CURLOPT_SSL_VERIFYHOST, 0L);
  }
  curl_easy_setopt(
      t->easy, CURLOPT_SSLVERSION,
      TlsVersion(tls.min_version) | TlsVersionMax(tls.max_version));
  return absl::OkStatus();
}

// curl takes the name for SNI and verification from the URL. So another
// server_name means: a URL with that name, connected to the real address.
void SetUrl(Transfer* t) {
  const std::string& url = t->request.url;
  const std::string& name = t->request.config.tls.server_name;
  const UrlParts parts = SplitUrl(url);
  if (name.empty() || parts.scheme != "https") {
    curl_easy_setopt(t->easy, CURLOPT_URL, url.c_str());
    return;
  }
  const std::string named = "https://" + name + ":" + parts.port + parts.rest;
  curl_easy_setopt(t->easy, CURLOPT_URL, named.c_str());
  const std::string route =
      name + ":" + parts.port + ":" + parts.host + ":" + parts.port;
  t->connect_to = curl_slist_append(nullptr, route.c_str());
  curl_easy_setopt(t->easy, CURLOPT_CONNECT_TO, t->connect_to);
  AddHeader(t, "Host: " + parts.host + ":" + parts.port);
}

absl::Status Prepare(Transfer* t) {
  CURL* easy = t->easy;
  const HttpRequest& request = t->request;
  curl_easy_setopt(easy, CURLOPT_PRIVATE, t);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, t->error);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_PROXY, "");  // not that of the environment
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS,
                   static_cast<long>(request.timeout_ms));
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION,
                   request.config.follow_redirects ? 1L : 0L);
  curl_easy_setopt(easy, CURLOPT_MAXREDIRS, kRedirectsMax);
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
                   request.config.enable_http2 ? CURL_HTTP_VERSION_2TLS
                                               : CURL_HTTP_VERSION_1_1);
  AddHeader(t, request.compression ? "Accept-Encoding: gzip"
                                   : "Accept-Encoding: identity");
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, OnBody);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, t);
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, OnHeader);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, t);
  SetUrl(t);
  VARVE_RETURN_IF_ERROR(SetHeaders(t));
  VARVE_RETURN_IF_ERROR(SetAuth(t));
  VARVE_RETURN_IF_ERROR(SetTls(t));
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, t->headers);
  return absl::OkStatus();
}

absl::Status StatusOf(const Transfer& t, CURLcode code) {
  const std::string get = "Get \"" + t.request.url + "\": ";
  if (t.bad_gzip ||
      (code == CURLE_OK && t.gzip != nullptr && !t.gzip->complete())) {
    return Unavailable("{}the body is no valid gzip, or is cut off", get);
  }
  if (code == CURLE_OK) return absl::OkStatus();
  if (t.too_long) return ResourceExhausted("body size limit exceeded");
  if (code == CURLE_OPERATION_TIMEDOUT) {
    return absl::DeadlineExceededError(get + "context deadline exceeded");
  }
  return Unavailable("{}{}", get,
                     t.error[0] != '\0' ? t.error : curl_easy_strerror(code));
}

class CurlClient final : public HttpClient {
 public:
  CurlClient() {
    static const CURLcode global = curl_global_init(CURL_GLOBAL_DEFAULT);
    VARVE_CHECK(global == CURLE_OK);
    multi_ = curl_multi_init();
    VARVE_CHECK(multi_ != nullptr);
    curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, kIdleConnectionsMax);
  }

  ~CurlClient() override {
    for (auto& [easy, transfer] : transfers_) {
      curl_multi_remove_handle(multi_, easy);
      curl_easy_cleanup(easy);
    }
    for (CURL* easy : idle_) curl_easy_cleanup(easy);
    curl_multi_cleanup(multi_);
  }

  void Start(HttpRequest request, Done done) override {
    auto t = std::make_unique<Transfer>();
    t->request = std::move(request);
    t->done = std::move(done);
    t->easy = TakeHandle();
    if (absl::Status status = Prepare(t.get()); !status.ok()) {
      t->response.status = InvalidArgument("{}", Message(status));
      refused_.push_back(std::move(t));
      return;
    }
    CURL* easy = t->easy;
    transfers_.emplace(easy, std::move(t));
    curl_multi_add_handle(multi_, easy);
  }

  void Poll(int wait_ms) override {
    FinishRefused();
    int running = 0;
    curl_multi_perform(multi_, &running);
    if (!FinishDone()) {
      curl_multi_poll(multi_, nullptr, 0, wait_ms, nullptr);
      curl_multi_perform(multi_, &running);
      FinishDone();
    }
  }

  void Wakeup() override { curl_multi_wakeup(multi_); }

  size_t active() const override { return transfers_.size() + refused_.size(); }

 private:
  CURL* TakeHandle() {
    if (idle_.empty()) {
      CURL* easy = curl_easy_init();
      VARVE_CHECK(easy != nullptr);
      return easy;
    }
    CURL* easy = idle_.back();
    idle_.pop_back();
    curl_easy_reset(easy);
    return easy;
  }

  // The handle goes back before `done` runs, which may start the next request.
  void Finish(std::unique_ptr<Transfer> t) {
    idle_.push_back(t->easy);
    t->done(std::move(t->response));
  }

  void FinishRefused() {
    while (!refused_.empty()) {
      std::unique_ptr<Transfer> t = std::move(refused_.front());
      refused_.pop_front();
      Finish(std::move(t));
    }
  }

  bool FinishDone() {
    bool any = false;
    int left = 0;
    while (CURLMsg* message = curl_multi_info_read(multi_, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      any = true;
      CURL* easy = message->easy_handle;
      const CURLcode code = message->data.result;  // before the next call
      auto node = transfers_.extract(easy);
      VARVE_CHECK(!node.empty());
      std::unique_ptr<Transfer> t = std::move(node.mapped());
      t->response.status = StatusOf(*t, code);
      long http_code = 0;
      curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &http_code);
      t->response.code = static_cast<int>(http_code);
      char* type = nullptr;
      curl_easy_getinfo(easy, CURLINFO_CONTENT_TYPE, &type);
      if (type != nullptr) t->response.content_type = type;
      curl_multi_remove_handle(multi_, easy);
      Finish(std::move(t));
    }
    return any;
  }

  CURLM* multi_;
  std::unordered_map<CURL*, std::unique_ptr<Transfer>> transfers_;
  std::deque<std::unique_ptr<Transfer>> refused_;
  std::vector<CURL*> idle_;
};

}  // namespace

std::unique_ptr<HttpClient> HttpClient::Create() {
  return std::make_unique<CurlClient>();
}

}  // namespace varve
