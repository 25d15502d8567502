#include <cstdint>
#include <string>
#include <string_view>

#include "storage/check.h"
#include "storage/wal_record.h"

// Any bytes as the payload of a log record: refused, or a record that encodes
// and decodes to the same. The first byte chooses the kind.

namespace {

using varve::WriteBatch;

void CheckSeries(std::string_view payload) {
  std::string again;
  const absl::Status status = varve::DecodeSeries(
      payload, [&](varve::SeriesRef ref, const varve::Labels& labels) {
        varve::EncodeSeries(ref, labels, &again);
      });
  if (!status.ok()) return;
  std::string twice;
  VARVE_CHECK(varve::DecodeSeries(again, [&](varve::SeriesRef ref,
                                             const varve::Labels& labels) {
                varve::EncodeSeries(ref, labels, &twice);
              }).ok());
  VARVE_CHECK(twice == again);
}

void CheckCommit(std::string_view payload) {
  WriteBatch batch;
  if (!varve::DecodeCommit(payload, &batch).ok()) {
    VARVE_CHECK(batch.size() == 0 && batch.exemplars.empty() &&
                batch.metadata.empty());
    return;
  }
  VARVE_CHECK(batch.refs.size() == batch.timestamps.size());
  VARVE_CHECK(batch.refs.size() == batch.values.size());
  VARVE_CHECK(batch.start_timestamps.empty() ||
              batch.start_timestamps.size() == batch.refs.size());
  std::string again;
  varve::EncodeCommit(batch, &again);
  WriteBatch copy;
  VARVE_CHECK(varve::DecodeCommit(again, &copy).ok());
  VARVE_CHECK(copy.refs == batch.refs);
  VARVE_CHECK(copy.timestamps == batch.timestamps);
  VARVE_CHECK(copy.histograms.size() == batch.histograms.size());
  VARVE_CHECK(copy.exemplars.size() == batch.exemplars.size());
  VARVE_CHECK(copy.metadata.size() == batch.metadata.size());
  std::string twice;
  varve::EncodeCommit(copy, &twice);
  VARVE_CHECK(twice == again);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view payload(reinterpret_cast<const char*>(data) + 1,
                                 size - 1);
  if (data[0] % 2 == 0) {
    CheckSeries(payload);
  } else {
    CheckCommit(payload);
  }
  return 0;
}
