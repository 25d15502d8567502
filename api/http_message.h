#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/varve.h"

namespace varve {

/// Says when the client of a request has gone away. Thread-safe.
class HttpDisconnect {
 public:
  /// `callback` runs once: when the client goes, or now if it has gone. Only
  /// the last one set counts. It must be short and must not call back here.
  void Set(std::function<void()> callback);
  /// After this the callback neither runs nor will run.
  void Clear() { Set(nullptr); }
  /// For the server: the client is gone.
  void Fire();

 private:
  Mutex mutex_;
  bool fired_ ABSL_GUARDED_BY(mutex_) = false;
  std::function<void()> callback_ ABSL_GUARDED_BY(mutex_);
};

using HttpPairs = std::vector<std::pair<std::string, std::string>>;

/// A whole request. Thread-compatible.
struct WebRequest {
  std::string method;
  std::string path;  ///< percent-decoded, without the query
  /// Of the form body, then of the URL, as Go's http.Request.Form.
  HttpPairs params;
  /// Why some of the parameters could not be read; "" if all could.
  std::string params_error;
  HttpPairs headers;
  std::string body;
  std::string client;      ///< address without port
  int64_t arrived_ns = 0;  ///< Clock::MonotonicNs() when it was complete
  std::shared_ptr<HttpDisconnect> disconnect;

  /// The first value, or "". Names of headers in any case.
  std::string_view Header(std::string_view name) const;
  std::string_view Param(std::string_view name) const;
  bool HasParam(std::string_view name) const;
  std::vector<std::string> Params(std::string_view name) const;
};

struct WebResponse {
  int status = 200;
  HttpPairs headers;  ///< without Content-Length, Connection, Date
  std::string body;
  /// If set, gives the rest of the body: appends a piece to its argument and
  /// returns whether there is more. Called on the request's lane.
  std::function<bool(std::string*)> more;

  WebResponse& Set(std::string name, std::string value) {
    headers.emplace_back(std::move(name), std::move(value));
    return *this;
  }
};

/// Text with Go's headers for an error that no handler wrote.
WebResponse PlainError(int status, std::string_view text);
std::string_view HttpReason(int status);

/// nullopt when a `%` is not followed by two hex digits.
std::optional<std::string> PercentDecode(std::string_view text,
                                         bool plus_is_space);
/// Appends the pairs of `a=1&b=2` to `out`; pairs that cannot be read are left
/// out, and the first of them is named in `error`.
void ParseForm(std::string_view text, HttpPairs* out, std::string* error);

/// Fills the parameters of a request: of its body, if that is a form, then of
/// `query`, the URL's. A form may be compressed, Content-Encoding: gzip; what
/// it unpacks to may be `form_bytes_max` long, else ResourceExhausted.
/// Unimplemented for other encodings, InvalidArgument for damaged bytes; what
/// is wrong with single parameters goes to `params_error`.
absl::Status ReadParams(std::string_view query, size_t form_bytes_max,
                        WebRequest* request);

/// Case-insensitive comparison of header names and tokens.
bool EqualsIgnoreCase(std::string_view a, std::string_view b);
/// Whether an Accept-Encoding takes gzip.
bool AcceptsGzip(std::string_view accept_encoding);

/// Compresses a body in pieces. Single-thread.
class GzipStream {
 public:
  GzipStream();
  ~GzipStream();
  GzipStream(const GzipStream&) = delete;
  GzipStream& operator=(const GzipStream&) = delete;

  /// Appends to `out` what `data` compresses to so far; with `last`, all.
  void Append(std::string_view data, bool last, std::string* out);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace varve
