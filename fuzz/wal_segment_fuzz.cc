#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "storage/check.h"
#include "storage/status_macros.h"
#include "storage/wal.h"
#include "storage/wal_format.h"
#include "tests/support/memory_file_system.h"

// Any bytes as log segments, behind good headers or not: reading ends well and
// gives whole records, and reading what the first reading left gives the same
// records again. The input's first byte: bit 0 puts a good segment header in
// front, bit 1 makes it a good record, bit 2 adds a good segment after it.

namespace {

using varve::MemoryFileSystem;
using varve::WalRecordType;

constexpr char kDirectory[] = "/wal";

void Put(MemoryFileSystem* fs, uint64_t segment, std::string_view bytes) {
  auto file = fs->OpenWritable(
      std::string(kDirectory) + "/" + varve::wal_format::SegmentName(segment),
      varve::FileSystem::WriteMode::kCreateOrTruncate);
  VARVE_CHECK(file.ok());
  VARVE_CHECK((*file)->Append(bytes).ok());
  VARVE_CHECK((*file)->Sync().ok() && (*file)->Close().ok());
}

void AddRecord(uint64_t segment, std::string_view payload, std::string* out) {
  varve::wal_format::PutRecordHeader(out, segment, out->size(),
                                     WalRecordType::kCommit, payload);
  out->append(payload);
}

/// nullopt when the log cannot be read at all.
std::optional<std::vector<std::string>> Read(MemoryFileSystem* fs) {
  varve::WalOptions options;
  options.directory = kDirectory;
  options.fs = fs;
  varve::WalReadReport report;
  std::vector<std::string> records;
  const absl::Status status = varve::ReadWal(
      options, &report, [&](uint64_t, WalRecordType, std::string_view payload) {
        records.emplace_back(payload);
        return absl::OkStatus();
      });
  if (!status.ok()) {
    VARVE_CHECK(!varve::Message(status).empty());
    return std::nullopt;
  }
  VARVE_CHECK(static_cast<size_t>(report.records) == records.size());
  return records;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const uint8_t flags = data[0];
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1,
                               size - 1);
  MemoryFileSystem fs;
  VARVE_CHECK(fs.CreateDir(kDirectory).ok());
  std::string segment;
  if ((flags & 1) != 0) varve::wal_format::PutSegmentHeader(&segment, 1);
  if ((flags & 2) != 0) {
    AddRecord(1, bytes.substr(0, bytes.size() / 2), &segment);
    segment.append(bytes.substr(bytes.size() / 2));
  } else {
    segment.append(bytes);
  }
  Put(&fs, 1, segment);
  if ((flags & 4) != 0) {
    std::string second;
    varve::wal_format::PutSegmentHeader(&second, 2);
    AddRecord(2, "behind the damage", &second);
    Put(&fs, 2, second);
  }
  const auto first = Read(&fs);
  const auto again = Read(&fs);
  VARVE_CHECK(first.has_value() == again.has_value());
  if (!first.has_value()) return 0;
  VARVE_CHECK(*first == *again);
  if ((flags & 3) == 3) VARVE_CHECK(!first->empty());
  if ((flags & 4) != 0) {
    VARVE_CHECK(!first->empty() && first->back() == "behind the damage");
  }
  return 0;
}
