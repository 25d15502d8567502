#include "api/http_message.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>

namespace varve {
namespace {

char Lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = Lower(c);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) {
    text.remove_prefix(1);
  }
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) {
    text.remove_suffix(1);
  }
  return text;
}

// Cuts the part before `separator` off the front of `text`.
std::string_view CutFront(std::string_view* text, char separator) {
  const size_t at = text->find(separator);
  const std::string_view front = text->substr(0, at);
  text->remove_prefix(at == std::string_view::npos ? text->size() : at + 1);
  return front;
}

/// All members of a gzip file.
absl::StatusOr<std::string> Gunzip(std::string_view packed, size_t bytes_max) {
  z_stream z = {};
  VARVE_CHECK(inflateInit2(&z, 15 + 16) == Z_OK);  // + 16: gzip, not zlib
  // zlib does not write through next_in; its C interface lacks the const.
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  z.avail_in = static_cast<uInt>(packed.size());
  std::string out;
  char buffer[16384];
  int code = Z_OK;
  while (code == Z_OK && out.size() <= bytes_max) {
    z.next_out = reinterpret_cast<Bytef*>(buffer);
    z.avail_out = sizeof(buffer);
    code = inflate(&z, Z_NO_FLUSH);
    out.append(buffer, sizeof(buffer) - z.avail_out);
    if (code == Z_STREAM_END && z.avail_in > 0) code = inflateReset(&z);
  }
  inflateEnd(&z);
  if (out.size() > bytes_max) {
    return ResourceExhausted("the form is longer than {} bytes when unpacked",
                             bytes_max);
  }
  if (code == Z_STREAM_END) return out;
  return InvalidArgument("the body is no gzip file, or a part of one only");
}

}  // namespace

void HttpDisconnect::Set(std::function<void()> callback) {
  MutexLock lock(&mutex_);
  callback_ = std::move(callback);
  if (fired_ && callback_) callback_();
}

void HttpDisconnect::Fire() {
  MutexLock lock(&mutex_);
  if (fired_) return;
  fired_ = true;
  if (callback_) callback_();
}

std::string_view WebRequest::Header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (EqualsIgnoreCase(key, name)) return value;
  }
  return {};
}

std::string_view WebRequest::Param(std::string_view name) const {
  for (const auto& [key, value] : params) {
    if (key == name) return value;
  }
  return {};
}

bool WebRequest::HasParam(std::string_view name) const {
  return std::any_of(params.begin(), params.end(),
                     [&](const auto& p) { return p.first == name; });
}

std::vector<std::string> WebRequest::Params(std::string_view name) const {
  std::vector<std::string> out;
  for (const auto& [key, value] : params) {
    if (key == name) out.push_back(value);
  }
  return out;
}

WebResponse PlainError(int status, std::string_view text) {
  WebResponse response;
  response.status = status;
  response.Set("Content-Type", "text/plain; charset=utf-8")
      .Set("X-Content-Type-Options", "nosniff");
  response.body = fmt::format("{}\n", text);
  return response;
}

std::string_view HttpReason(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 204:
      return "No Content";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 406:
      return "Not Acceptable";
    case 408:
      return "Request Timeout";
    case 411:
      return "Length Required";
    case 413:
      return "Request Entity Too Large";
    case 415:
      return "Unsupported Media Type";
    case 422:
      return "Unprocessable Entity";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 499:
      return "Client Closed Request";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "";
  }
}

std::optional<std::string> PercentDecode(std::string_view text,
                                         bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus_is_space) {
      out.push_back(' ');
    } else if (text[i] != '%') {
      out.push_back(text[i]);
    } else {
      if (i + 2 >= text.size()) return std::nullopt;
      const int high = HexDigit(text[i + 1]);
      const int low = HexDigit(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      out.push_back(static_cast<char>(high * 16 + low));
      i += 2;
    }
  }
  return out;
}

void ParseForm(std::string_view text, HttpPairs* out, std::string* error) {
  const auto fail = [error](std::string what) {
    if (error->empty()) *error = std::move(what);
  };
  while (!text.empty()) {
    std::string_view pair = CutFront(&text, '&');
    if (pair.empty()) continue;
    if (pair.find(';') != std::string_view::npos) {
      fail("invalid semicolon separator in query");
      continue;
    }
    const std::string_view raw_key = CutFront(&pair, '=');
    auto key = PercentDecode(raw_key, true);
    auto value = PercentDecode(pair, true);
    if (key && value) {
      out->emplace_back(*std::move(key), *std::move(value));
    } else {
      const std::string_view bad = key ? pair : raw_key;
      size_t at = bad.find('%');
      while (at + 2 < bad.size() && HexDigit(bad[at + 1]) >= 0 &&
             HexDigit(bad[at + 2]) >= 0) {
        at = bad.find('%', at + 1);
      }
      fail(fmt::format("invalid URL escape {}", Quote(bad.substr(at, 3))));
    }
  }
}

absl::Status ReadParams(std::string_view query, size_t form_bytes_max,
                        WebRequest* request) {
  const std::string_view type = request->Header("Content-Type");
  const bool form = (request->method == "POST" || request->method == "PUT") &&
                    EqualsIgnoreCase(Trim(type.substr(0, type.find(';'))),
                                     "application/x-www-form-urlencoded");
  const std::string_view encoding = Trim(request->Header("Content-Encoding"));
  if (form && (EqualsIgnoreCase(encoding, "gzip") ||
               EqualsIgnoreCase(encoding, "x-gzip"))) {
    VARVE_ASSIGN_OR_RETURN(request->body,
                           Gunzip(request->body, form_bytes_max));
  } else if (form && !encoding.empty() &&
             !EqualsIgnoreCase(encoding, "identity")) {
    return Unimplemented(
        "Content-Encoding {} of a form is not supported; gzip and identity are",
        Quote(encoding));
  }
  if (form) ParseForm(request->body, &request->params, &request->params_error);
  ParseForm(query, &request->params, &request->params_error);
  return absl::OkStatus();
}

bool EqualsIgnoreCase(std::string_view a, std::string_view b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(),
                    [](char x, char y) { return Lower(x) == Lower(y); });
}

bool AcceptsGzip(std::string_view accept_encoding) {
  while (!accept_encoding.empty()) {
    std::string_view item = CutFront(&accept_encoding, ',');
    const std::string_view coding = Trim(CutFront(&item, ';'));
    if (!EqualsIgnoreCase(coding, "gzip")) continue;
    const std::string_view weight = Trim(item);
    return !(weight.starts_with("q=0") &&
             weight.find_first_not_of("0.", 2) == std::string_view::npos);
  }
  return false;
}

struct GzipStream::State {
  z_stream z = {};
};

GzipStream::GzipStream() : state_(std::make_unique<State>()) {
  // Level 1: JSON shrinks to a tenth already, at a third of level 6's time.
  // 15 + 16: the largest window, gzip's header.
  const int status =
      deflateInit2(&state_->z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  VARVE_CHECK(status == Z_OK);
}

GzipStream::~GzipStream() { deflateEnd(&state_->z); }

void GzipStream::Append(std::string_view data, bool last, std::string* out) {
  z_stream& z = state_->z;
  // zlib does not write through next_in; its C interface lacks the const.
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
  z.avail_in = static_cast<uInt>(data.size());
  char buffer[16384];
  do {
    z.next_out = reinterpret_cast<Bytef*>(buffer);
    z.avail_out = sizeof(buffer);
    deflate(&z, last ? Z_FINISH : Z_NO_FLUSH);
    out->append(buffer, sizeof(buffer) - z.avail_out);
  } while (z.avail_out == 0);
}

}  // namespace varve
