#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "storage/wal.h"

namespace varve::wal_format {

// The bytes of storage/wal.md, shared by the reading and the writing end.

inline constexpr std::string_view kMagic = "VARVEWAL";
inline constexpr uint32_t kVersion = 1;
inline constexpr std::string_view kCheckpointMagic = "VARVECKP";
inline constexpr uint32_t kCheckpointVersion = 1;
inline constexpr std::string_view kNewestMagic = "VARVENEW";
inline constexpr uint32_t kNewestVersion = 1;
/// The file that says which segment is the newest.
inline constexpr std::string_view kNewestName = "NEWEST";
inline constexpr size_t kSegmentHeaderBytes = 24;
inline constexpr size_t kRecordHeaderBytes = 12;

void PutSegmentHeader(std::string* out, uint64_t segment);
/// The version, or nullopt when these bytes are no header of this segment.
std::optional<uint32_t> ReadSegmentHeader(std::string_view bytes,
                                          uint64_t segment);

void PutCheckpointHeader(std::string* out, uint64_t segment);
std::optional<uint32_t> ReadCheckpointHeader(std::string_view bytes,
                                             uint64_t segment);

/// The bytes of the file kNewestName.
std::string NewestFile(uint64_t segment);
struct Newest {
  uint32_t version;
  uint64_t segment;
};
/// nullopt when the bytes are no such file.
std::optional<Newest> ReadNewest(std::string_view bytes);

/// The header of a record that will stand at `offset` of `segment`.
void PutRecordHeader(std::string* out, uint64_t segment, uint64_t offset,
                     WalRecordType type, std::string_view payload);

struct RecordHeader {
  uint32_t payload_bytes;
  uint32_t crc;
  WalRecordType type;
};
/// nullopt when no header of a record stands at this place.
std::optional<RecordHeader> ReadRecordHeader(std::string_view bytes,
                                             uint64_t segment, uint64_t offset);
bool PayloadIsIntact(const RecordHeader& header, std::string_view payload);

std::string SegmentName(uint64_t segment);
std::string CheckpointName(uint64_t segment);
/// What versions before checkpoints wrote in their stead.
std::string SeriesFileName(uint64_t segment);
/// The number in a file's name; nullopt for names of other kinds.
std::optional<uint64_t> ParseSegmentName(std::string_view name);
std::optional<uint64_t> ParseCheckpointName(std::string_view name);
std::optional<uint64_t> ParseSeriesFileName(std::string_view name);

}  // namespace varve::wal_format
