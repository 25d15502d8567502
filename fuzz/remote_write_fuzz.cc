#include <cstdint>
#include <string>
#include <string_view>

#include "ingest/remote_write.h"
#include "storage/check.h"
#include "tests/support/fake_appender.h"
#include "tests/support/write_message.h"

// Any body as a remote-write request of either version, as it stands and as the
// message inside good snappy (which mutation would hardly ever find). The
// answer fits what was stored, and the same request again is answered the same.

namespace {

class Target {
 public:
  explicit Target(std::string_view content_type)
      : content_type_(content_type) {}

  void Check(std::string_view body) {
    varve::RemoteWriteOptions options;
    options.begin_append = [this] { return store_.BeginAppend(); };
    options.decoded_bytes_max = size_t{1} << 20;
    varve::RemoteWriter writer(options);
    const varve::RemoteWriteResult result =
        writer.Write(content_type_, "", body);
    CheckAnswer(result);
    const varve::RemoteWriteStats stats = writer.Stats();
    if (store_.commits > 0) {
      VARVE_CHECK(result.samples_stored + result.histograms_stored +
                      result.samples_rejected ==
                  stats.samples);
    }
    // Now from the cache.
    const varve::RemoteWriteResult again =
        writer.Write(content_type_, "", body);
    VARVE_CHECK(again.http_status == result.http_status);
    VARVE_CHECK(again.samples_stored == result.samples_stored);
  }

 private:
  static void CheckAnswer(const varve::RemoteWriteResult& result) {
    switch (result.http_status) {
      case 204:
        VARVE_CHECK(result.text.empty() && result.samples_rejected == 0);
        break;
      case 400:
      case 413:
        VARVE_CHECK(!result.text.empty() && result.text.size() < 10000);
        break;
      default:
        VARVE_CHECK(false && "no such status for bad input");
    }
  }

  const std::string_view content_type_;
  varve::FakeStore store_;
};

constexpr std::string_view kContentTypes[] = {
    "", "application/x-protobuf;proto=io.prometheus.write.v2.Request"};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  for (const std::string_view type : kContentTypes) {
    Target(type).Check(bytes);
    if (size <= size_t{1} << 20) Target(type).Check(varve::Snappy(bytes));
  }
  return 0;
}
