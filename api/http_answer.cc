#include "api/http_answer.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <ctime>
#include <utility>

namespace varve {
namespace {

// A streamed answer is made and written in pieces of about this size.
constexpr size_t kPieceBytes = 256 * 1024;

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

bool Bodiless(const WebResponse& response) {
  return response.status == 204 || response.status == 304;
}

std::string Chunk(const std::string& bytes) {
  return fmt::format("{:x}\r\n{}\r\n", bytes.size(), bytes);
}

}  // namespace

void HttpAnswer::First(const WebRequest& request, size_t gzip_bytes_min,
                       WebResponse* response) {
  std::string& body = response->body;
  bool more = response->more != nullptr;
  while (more && (body.size() < kPieceBytes || !http11)) {
    more = response->more(&body);
  }
  last = !more;
  chunked_ = more;
  if (body.size() >= gzip_bytes_min && !Bodiless(*response) &&
      AcceptsGzip(request.Header("Accept-Encoding"))) {
    gzip_ = std::make_unique<GzipStream>();
    std::string packed;
    gzip_->Append(body, last, &packed);
    body = std::move(packed);
    response->Set("Content-Encoding", "gzip");
  }
  WriteHeader(*response);
  if (request.method == "HEAD") {
    body.clear();
    last = true;
  } else if (chunked_ && !body.empty()) {
    body = Chunk(body);
  }
  piece = std::move(body);
}

void HttpAnswer::WriteHeader(const WebResponse& response) {
  header = fmt::format("HTTP/1.1 {} {}\r\n", response.status,
                       HttpReason(response.status));
  const auto out = std::back_inserter(header);
  for (const auto& [name, value] : response.headers) {
    fmt::format_to(out, "{}: {}\r\n", name, value);
  }
  fmt::format_to(out, "Date: {}\r\n", HttpDate());
  if (chunked_) {
    header.append("Transfer-Encoding: chunked\r\n");
  } else if (!Bodiless(response)) {
    fmt::format_to(out, "Content-Length: {}\r\n", response.body.size());
  }
  if (!keep_alive) {
    header.append("Connection: close\r\n");
  } else if (!http11) {
    header.append("Connection: keep-alive\r\n");
  }
  header.append("\r\n");
}

void HttpAnswer::Next(WebResponse* response) {
  std::string body;
  bool more = true;
  while (more && body.size() < kPieceBytes) more = response->more(&body);
  if (gzip_) {
    std::string packed;
    gzip_->Append(body, !more, &packed);
    body = std::move(packed);
  }
  piece.clear();
  if (!body.empty()) piece = Chunk(body);
  if (!more) piece.append("0\r\n\r\n");
  last = !more;
}

}  // namespace varve
