#include "api/fetch.h"

#include <utility>

#include "ingest/http_client.h"

namespace varve {

FetchAnswer Fetch(std::string url, int64_t timeout_ms) {
  const std::unique_ptr<HttpClient> client = HttpClient::Create();
  FetchAnswer answer;
  HttpRequest request;
  request.url = std::move(url);
  request.timeout_ms = timeout_ms;
  client->Start(std::move(request), [&answer](HttpResponse r) {
    answer = {std::move(r.status), r.code, std::move(r.body)};
  });
  while (client->active() > 0) client->Poll(/*wait_ms=*/1000);
  return answer;
}

}  // namespace varve
