#pragma once

#include <memory>
#include <string>

#include "api/http_message.h"

namespace varve {

/// The bytes of an answer, made piece by piece: First(), and Next() until
/// `last`. Single-thread.
struct HttpAnswer {
  std::string header;  ///< with the empty line; before the first piece
  std::string piece;   ///< what is written now, framing included
  bool last = true;    ///< no piece after this one
  bool keep_alive = true;
  bool http11 = true;

  /// Bodies of at least `gzip_bytes_min` are compressed if the client takes it.
  void First(const WebRequest& request, size_t gzip_bytes_min,
             WebResponse* response);
  void Next(WebResponse* response);

 private:
  void WriteHeader(const WebResponse& response);

  bool chunked_ = false;
  std::unique_ptr<GzipStream> gzip_;
};

}  // namespace varve
