#pragma once

#include <absl/status/status.h>

#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "ingest/protobuf_wire.h"
#include "ingest/write_request.h"
#include "storage/sample.h"
#include "storage/status_macros.h"

// What the walks over remote write 1.0 and 2.0 have in common.

namespace varve {

// What things weigh in samples, see kWriteRequestItemsMax.
inline constexpr int64_t kSeriesItems = 4, kExemplarItems = 6,
                         kHistogramItems = 16, kMetadataItems = 8;

/// ResourceExhausted when the samples of `request` and `items` that are not
/// samples are more than kWriteRequestItemsMax.
absl::Status CheckWriteItems(const WriteRequest& request, int64_t items);

/// A Sample message; start timestamps are of 2.0 only.
struct WireSample {
  double value = 0;
  int64_t timestamp_ms = 0;
  int64_t start_timestamp_ms = kNoStartTimestamp;
};

/// Any order of fields, unknown ones skipped. False: malformed.
bool ReadAnySample(std::string_view bytes, WireSample* out);

/// Fast for the layout that every sender produces: value, then time.
inline bool ReadSample(std::string_view bytes, WireSample* out) {
  constexpr char kValueTag = (1 << 3) | 1, kTimestampTag = (2 << 3) | 0;
  constexpr size_t kValueBytes = 9;
  if (bytes.size() < kValueBytes + 2 || bytes[0] != kValueTag ||
      bytes[kValueBytes] != kTimestampTag) {
    return ReadAnySample(bytes, out);
  }
  uint64_t bits;
  std::memcpy(&bits, bytes.data() + 1, sizeof(bits));
  WireReader reader(bytes.substr(kValueBytes + 1));
  uint64_t timestamp;
  if (!reader.Varint(&timestamp) || !reader.done()) {
    return ReadAnySample(bytes, out);
  }
  *out = {std::bit_cast<double>(bits), static_cast<int64_t>(timestamp),
          kNoStartTimestamp};
  return true;
}

/// Appends a Histogram message to `out`, as one of the series that comes next.
/// DataLoss: it is no protobuf.
absl::Status AppendHistogram(std::string_view bytes, WriteRequest* out);

/// Appends metadata that can be shown; what cannot is left out, not refused,
/// since metadata is advice. False if it was left out. `type` is a number of
/// the protobuf enum.
bool AppendMetadata(std::string_view family, uint64_t type,
                    std::string_view unit, std::string_view help,
                    WriteRequest* out);

}  // namespace varve
