#include "storage/wal_format.h"

#include <charconv>

#include "storage/coding.h"
#include "storage/crc32c.h"

namespace varve::wal_format {
namespace {

constexpr std::string_view kCheckpointPrefix = "checkpoint-";
constexpr std::string_view kSeriesPrefix = "series-";

uint32_t PayloadCrc(WalRecordType type, std::string_view payload) {
  const char head[2] = {static_cast<char>(type), 0};
  return Crc32c(payload, Crc32c(std::string_view(head, 2)));
}

/// The check of a record header covers the place where it stands, so that
/// bytes that only look like a record (a label value can) are none.
uint16_t HeaderCheck(std::string_view ten_bytes, uint64_t segment,
                     uint64_t offset) {
  char place[16];
  StoreFixed(place, segment);
  StoreFixed(place + 8, offset);
  return static_cast<uint16_t>(
      Crc32c(ten_bytes, Crc32c(std::string_view(place, sizeof(place)))));
}

void PutFileHeader(std::string_view magic, uint32_t version, uint64_t segment,
                   std::string* out) {
  const size_t start = out->size();
  out->append(magic);
  PutFixed32(out, version);
  PutFixed64(out, segment);
  PutFixed32(out, Crc32c(std::string_view(*out).substr(start)));
}

std::optional<uint32_t> ReadFileHeader(std::string_view magic,
                                       std::string_view bytes,
                                       uint64_t segment) {
  if (bytes.size() < kSegmentHeaderBytes || !bytes.starts_with(magic) ||
      Crc32c(bytes.substr(0, 20)) != LoadFixed32(bytes.data() + 20) ||
      LoadFixed64(bytes.data() + 12) != segment) {
    return std::nullopt;
  }
  return LoadFixed32(bytes.data() + 8);
}

std::optional<uint64_t> ParseNumber(std::string_view text) {
  uint64_t number = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() ||
      text.size() < 8 || number == 0) {
    return std::nullopt;
  }
  return number;
}

}  // namespace

void PutSegmentHeader(std::string* out, uint64_t segment) {
  PutFileHeader(kMagic, kVersion, segment, out);
}

std::optional<uint32_t> ReadSegmentHeader(std::string_view bytes,
                                          uint64_t segment) {
  return ReadFileHeader(kMagic, bytes, segment);
}

void PutCheckpointHeader(std::string* out, uint64_t segment) {
  PutFileHeader(kCheckpointMagic, kCheckpointVersion, segment, out);
}

std::optional<uint32_t> ReadCheckpointHeader(std::string_view bytes,
                                             uint64_t segment) {
  return ReadFileHeader(kCheckpointMagic, bytes, segment);
}

std::string NewestFile(uint64_t segment) {
  std::string out;
  PutFileHeader(kNewestMagic, kNewestVersion, segment, &out);
  return out;
}

std::optional<Newest> ReadNewest(std::string_view bytes) {
  if (bytes.size() != kSegmentHeaderBytes) return std::nullopt;
  const uint64_t segment = LoadFixed64(bytes.data() + 12);
  const auto version = ReadFileHeader(kNewestMagic, bytes, segment);
  if (!version) return std::nullopt;
  return Newest{*version, segment};
}

void PutRecordHeader(std::string* out, uint64_t segment, uint64_t offset,
                     WalRecordType type, std::string_view payload) {
  const size_t start = out->size();
  PutFixed32(out, static_cast<uint32_t>(payload.size()));
  PutFixed32(out, PayloadCrc(type, payload));
  PutU8(out, static_cast<uint8_t>(type));
  PutU8(out, 0);
  const auto ten_bytes = std::string_view(*out).substr(start);
  PutFixed16(out, HeaderCheck(ten_bytes, segment, offset));
}

std::optional<RecordHeader> ReadRecordHeader(std::string_view bytes,
                                             uint64_t segment,
                                             uint64_t offset) {
  if (bytes.size() < kRecordHeaderBytes) return std::nullopt;
  const auto type = static_cast<uint8_t>(bytes[8]);
  const RecordHeader header{LoadFixed32(bytes.data()),
                            LoadFixed32(bytes.data() + 4),
                            static_cast<WalRecordType>(type)};
  // The cheap checks first: a search for the next record comes here for every
  // byte.
  if (type < 1 || type > static_cast<uint8_t>(WalRecordType::kEnd) ||
      bytes[9] != 0 || header.payload_bytes > kWalRecordBytesMax ||
      LoadFixed16(bytes.data() + 10) !=
          HeaderCheck(bytes.substr(0, 10), segment, offset)) {
    return std::nullopt;
  }
  return header;
}

bool PayloadIsIntact(const RecordHeader& header, std::string_view payload) {
  return PayloadCrc(header.type, payload) == header.crc;
}

std::string SegmentName(uint64_t segment) {
  return fmt::format("{:08}", segment);
}

std::string CheckpointName(uint64_t segment) {
  return fmt::format("{}{:08}", kCheckpointPrefix, segment);
}

std::string SeriesFileName(uint64_t segment) {
  return fmt::format("{}{:08}", kSeriesPrefix, segment);
}

std::optional<uint64_t> ParseSegmentName(std::string_view name) {
  return ParseNumber(name);
}

std::optional<uint64_t> ParseCheckpointName(std::string_view name) {
  if (!name.starts_with(kCheckpointPrefix)) return std::nullopt;
  return ParseNumber(name.substr(kCheckpointPrefix.size()));
}

std::optional<uint64_t> ParseSeriesFileName(std::string_view name) {
  if (!name.starts_with(kSeriesPrefix)) return std::nullopt;
  return ParseNumber(name.substr(kSeriesPrefix.size()));
}

}  // namespace varve::wal_format
