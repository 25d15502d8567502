#include "storage/record_reader.h"

#include <algorithm>

#include "storage/status_macros.h"
#include "storage/wal_format.h"

namespace varve {
namespace {

using wal_format::kRecordHeaderBytes;
using wal_format::kSegmentHeaderBytes;

constexpr size_t kReadBytes = size_t{1} << 20;

}  // namespace

absl::StatusOr<std::string_view> RecordReader::Peek(size_t bytes) {
  const uint64_t end = std::min(size_, at_ + bytes);
  if (end > window_at_ + window_.size()) {
    window_.erase(0, static_cast<size_t>(at_ - window_at_));
    window_at_ = at_;
    const size_t have = window_.size();
    const uint64_t to = std::min(size_, at_ + std::max(bytes, kReadBytes));
    window_.resize(static_cast<size_t>(to - window_at_));
    VARVE_RETURN_IF_ERROR(file_->ReadExactly(window_at_ + have,
                                             std::span(window_).subspan(have)));
  }
  return std::string_view(window_).substr(static_cast<size_t>(at_ - window_at_),
                                          static_cast<size_t>(end - at_));
}

absl::StatusOr<std::string_view> RecordReader::Header() {
  return Peek(kSegmentHeaderBytes);
}

void RecordReader::SkipHeader() { at_ = good_end_ = kSegmentHeaderBytes; }

absl::StatusOr<bool> RecordReader::Next(WalRecordType* type,
                                        std::string_view* payload) {
  bool lost = false;
  while (at_ < size_) {
    VARVE_ASSIGN_OR_RETURN(std::string_view bytes, Peek(kRecordHeaderBytes));
    const auto header = wal_format::ReadRecordHeader(bytes, number_, at_);
    if (!header || size_ - at_ - kRecordHeaderBytes < header->payload_bytes) {
      // Nothing says where the next record is: search for it.
      if (!lost) ++bad_;
      lost = true;
      ++at_;
      continue;
    }
    const size_t record_bytes = kRecordHeaderBytes + header->payload_bytes;
    VARVE_ASSIGN_OR_RETURN(bytes, Peek(record_bytes));
    at_ += record_bytes;
    *payload = bytes.substr(kRecordHeaderBytes);
    if (wal_format::PayloadIsIntact(*header, *payload)) {
      *type = header->type;
      good_end_ = at_;
      corruptions_ += bad_;
      bad_ = 0;
      return true;
    }
    // The header is right about its length: only this record is lost.
    ++bad_;
    lost = false;
  }
  return false;
}

}  // namespace varve
