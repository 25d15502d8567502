#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "storage/check.h"
#include "storage/head.h"
#include "storage/head_checkpoint.h"
#include "storage/head_replay.h"
#include "storage/status_macros.h"
#include "storage/wal_format.h"
#include "tests/support/memory_file_system.h"

// Any bytes as a checkpoint, with the right CRCs or not: loading it ends well,
// and what it gave can be queried and sealed. The input's first byte: 0 the
// rest is the whole file; 4 to 7 it is the payload of a record of that type,
// after one with two series.

namespace {

using namespace varve;

constexpr char kDirectory[] = "/wal";
constexpr int64_t kWindowMs = 7'200'000;

void AddRecord(WalRecordType type, std::string_view payload,
               std::string* file) {
  wal_format::PutRecordHeader(file, 1, file->size(), type, payload);
  file->append(payload);
}

/// Two series with nothing but labels, under the refs 0 and 1.
constexpr std::string_view kTwoSeries(
    "\x02\x01"
    "a\x01"
    "b\x01"
    "a\x01"
    "c\x02\x00\x01\x00\x00\x00\x01\x01\x00",
    18);

std::string FileOf(uint8_t kind, std::string_view bytes) {
  std::string file;
  if (kind == 0) return std::string(bytes);
  wal_format::PutCheckpointHeader(&file, 1);
  AddRecord(WalRecordType::kHeadSeries, kTwoSeries, &file);
  AddRecord(static_cast<WalRecordType>(4 + kind % 4), bytes, &file);
  return file;
}

void ReadAll(Head* head) {
  QueryContext context;
  const auto set = head->Select(context, {}, SelectHints());
  VARVE_CHECK(set.ok());
  SampleColumns batch;
  while (*(*set)->Next()) {
    const auto cursor = (*set)->Cursor();
    while (*cursor->Next(&batch)) VARVE_CHECK(batch.size() > 0);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1,
                               size - 1);
  MemoryFileSystem fs;
  VARVE_CHECK(fs.CreateDir(kDirectory).ok());
  auto file = fs.OpenWritable(
      std::string(kDirectory) + "/" + wal_format::CheckpointName(1),
      FileSystem::WriteMode::kCreateOrTruncate);
  VARVE_CHECK(file.ok() && (*file)->Append(FileOf(data[0], bytes)).ok());
  WalOptions options;
  options.directory = kDirectory;
  options.fs = &fs;
  Head head(kWindowMs);
  ReplayReport report;
  const absl::Status status = ReplayWal(options, {}, {}, 0, &head, &report);
  if (!status.ok()) {
    VARVE_CHECK(!Message(status).empty());
    return 0;
  }
  if (data[0] != 0) VARVE_CHECK(head.table().size() >= 2);
  ReadAll(&head);
  // It can go on, and be written and sealed.
  WriteBatch batch;
  for (SeriesRef ref = 0; ref < std::min<SeriesRef>(head.table().limit(), 64);
       ++ref) {
    if (!head.table().PairsOf(ref).empty()) batch.Add(ref, 1'000'000, 1);
  }
  WriteResult result;
  head.Apply(batch, &result);
  VARVE_CHECK(WriteHeadCheckpoint(head, [](WalRecordType, std::string_view) {
                return absl::OkStatus();
              }).ok());
  ReadAll(&head);
  return 0;
}
