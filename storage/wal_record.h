#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "storage/labels.h"
#include "storage/write_batch.h"

namespace varve {

// The payloads of the log's records, see storage/wal.md. Every record decodes
// by itself, given the series records; values are not coded against earlier
// records, because then replay would have to repeat every rejection.

/// Appends one series to the payload of a kSeries record.
void EncodeSeries(SeriesRef ref, const Labels& labels, std::string* payload);
/// Calls `f` for each; DataLoss when the payload is malformed (then `f` was
/// called for those before the fault).
absl::Status DecodeSeries(
    std::string_view payload,
    const std::function<void(SeriesRef ref, Labels labels)>& f);

/// Replaces `payload` by that of a kCommit (or kState) record.
void EncodeCommit(const WriteBatch& batch, std::string* payload);
/// Replaces `batch`. Nothing that stands in a malformed payload is given.
absl::Status DecodeCommit(std::string_view payload, WriteBatch* batch);

}  // namespace varve
