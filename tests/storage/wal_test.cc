#include "storage/wal.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <random>
#include <thread>

#include "storage/coding.h"
#include "storage/crc32c.h"
#include "storage/wal_format.h"
#include "tests/support/fault_file_system.h"
#include "tests/support/memory_file_system.h"
#include "tests/support/seed.h"

namespace varve {
namespace {

using Records = std::vector<std::string>;

WalOptions OptionsOn(FileSystem* fs) {
  WalOptions options;
  options.directory = "/wal";
  options.fs = fs;
  options.fsync = FsyncMode::kAlways;
  return options;
}

/// Everything in the log as "type:payload".
Records Read(const WalOptions& options, WalReadReport* report) {
  Records out;
  const absl::Status status = ReadWal(
      options, report,
      [&](uint64_t, WalRecordType type, std::string_view payload) {
        out.push_back(fmt::format("{}:{}", static_cast<int>(type), payload));
        return absl::OkStatus();
      });
  EXPECT_TRUE(status.ok()) << status;
  return out;
}

Records Read(FileSystem* fs, WalReadReport* report) {
  return Read(OptionsOn(fs), report);
}

std::unique_ptr<Wal> OpenWal(const WalOptions& options) {
  WalReadReport report;
  Read(options, &report);
  auto wal = Wal::Open(options, report);
  EXPECT_TRUE(wal.ok()) << wal.status();
  return std::move(*wal);
}

std::string Bytes(FileSystem* fs, const std::string& path) {
  return *ReadFile(fs, path, 1 << 30);
}

void Put(FileSystem* fs, const std::string& path, std::string_view bytes) {
  auto file = fs->OpenWritable(path, FileSystem::WriteMode::kCreateOrTruncate);
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE((*file)->Append(bytes).ok());
}

TEST(Wal, KeepsRecordsInOrderOverSegments) {
  MemoryFileSystem fs;
  WalOptions options = OptionsOn(&fs);
  options.segment_bytes = 200;
  Records expected;
  for (int round = 0; round < 3; ++round) {
    auto wal = OpenWal(options);
    for (int i = 0; i < 20; ++i) {
      const std::string series = fmt::format("s{}.{}", round, i);
      const std::string commit =
          fmt::format("c{}.{} {}", round, i, std::string(i * 3, 'x'));
      ASSERT_TRUE(wal->LogSeries(series).ok());
      ASSERT_TRUE(wal->LogCommit(commit).ok());
      expected.push_back("1:" + series);
      expected.push_back("2:" + commit);
    }
    WalReadReport report;
    EXPECT_EQ(Read(&fs, &report), expected);
    EXPECT_EQ(report.corruptions, 0);
    EXPECT_GT(report.segment_bytes.size(), 3u * (round + 1));
    EXPECT_EQ(wal->stats().segments,
              static_cast<int64_t>(report.segment_bytes.size()));
  }
}

TEST(Wal, RotationSeparatesRecords) {
  MemoryFileSystem fs;
  auto wal = OpenWal(OptionsOn(&fs));
  const uint64_t before = *wal->LogCommit("a");
  const uint64_t p = *wal->Rotate();
  EXPECT_GT(p, before);
  EXPECT_EQ(*wal->LogCommit("b"), p);
  EXPECT_EQ(*wal->Rotate(), p + 1);
  EXPECT_EQ(*wal->Rotate(), p + 1);  // nothing was written meanwhile
}

TEST(Wal, ACheckpointReplacesOldSegments) {
  MemoryFileSystem fs;
  auto wal = OpenWal(OptionsOn(&fs));
  ASSERT_TRUE(wal->LogCommit("old").ok());
  const uint64_t p = *wal->Rotate();
  ASSERT_TRUE(wal->LogCommit("new").ok());
  // An older version's counterpart, which it replaces as well.
  std::string series_file;
  wal_format::PutSegmentHeader(&series_file, p);
  wal_format::PutRecordHeader(&series_file, p, series_file.size(),
                              WalRecordType::kSeries, "series");
  Put(&fs, "/wal/" + wal_format::SeriesFileName(p), series_file + "series");
  WalReadReport report;
  EXPECT_EQ(Read(&fs, &report), (Records{"1:series", "2:new"}));
  EXPECT_EQ(report.checkpoint, p);

  const auto bytes = wal->WriteCheckpoint(p, [](const Wal::AddRecord& add) {
    return add(WalRecordType::kHeadSeries, "state");
  });
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  EXPECT_EQ(*bytes, Bytes(&fs, "/wal/checkpoint-00000002").size());
  // Also when the deletion did not happen.
  const Records expected = {"4:state", "7:\x01", "2:new"};
  EXPECT_EQ(Read(&fs, &report), expected);
  EXPECT_GT(wal->BytesFrom(1), wal->BytesFrom(p));
  ASSERT_TRUE(wal->DeleteBefore(p).ok());
  EXPECT_EQ(wal->segment_min(), p);
  EXPECT_EQ(wal->BytesFrom(1), wal->BytesFrom(p));
  EXPECT_EQ(Read(&fs, &report), expected);
  EXPECT_EQ(report.corruptions, 0);
  EXPECT_EQ(fs.List("/wal")->size(), 3u);  // with NEWEST
}

TEST(Wal, ADamagedCheckpointCostsWhatIsDamaged) {
  MemoryFileSystem fs;
  auto wal = OpenWal(OptionsOn(&fs));
  ASSERT_TRUE(wal->WriteCheckpoint(
                     1,
                     [](const Wal::AddRecord& add) {
                       for (const std::string_view text : {"a", "b", "c"}) {
                         if (absl::Status s =
                                 add(WalRecordType::kHeadSeries, text);
                             !s.ok()) {
                           return s;
                         }
                       }
                       return absl::OkStatus();
                     })
                  .ok());
  const std::string path = "/wal/checkpoint-00000001";
  const std::string good = Bytes(&fs, path);
  WalReadReport report;
  const Records all = Read(&fs, &report);
  ASSERT_EQ(all.size(), 4u);
  for (size_t i = 0; i < good.size(); ++i) {
    SCOPED_TRACE(i);
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x40);
    Put(&fs, path, bad);
    const Records found = Read(&fs, &report);
    EXPECT_EQ(report.corruptions, 1);
    EXPECT_EQ(found.size(), i < 24 ? 4u : 3u);
    Put(&fs, path, good.substr(0, i));
    Read(&fs, &report);
    EXPECT_EQ(report.corruptions, 1);
  }
}

/// A small log of one segment, and where its records end.
struct SmallLog {
  std::string bytes;
  Records records;
  std::vector<size_t> ends;
};

SmallLog MakeSmallLog() {
  SmallLog log;
  MemoryFileSystem fs;
  auto wal = OpenWal(OptionsOn(&fs));
  log.ends.push_back(24);
  for (int i = 0; i < 6; ++i) {
    const std::string payload = fmt::format("{}{}", i, std::string(i * 7, 'p'));
    EXPECT_TRUE(wal->LogCommit(payload).ok());
    log.records.push_back("2:" + payload);
    log.ends.push_back(Bytes(&fs, "/wal/00000001").size());
  }
  log.bytes = Bytes(&fs, "/wal/00000001");
  return log;
}

TEST(Wal, ATornTailOfEveryLengthIsCut) {
  const SmallLog log = MakeSmallLog();
  for (size_t size = 0; size <= log.bytes.size(); ++size) {
    for (const bool zeros : {false, true}) {
      MemoryFileSystem fs;
      ASSERT_TRUE(fs.CreateDir("/wal").ok());
      std::string bytes = log.bytes.substr(0, size);
      if (zeros) bytes.append(40, '\0');
      Put(&fs, "/wal/00000001", bytes);
      Records expected;
      size_t end = 0;
      for (size_t i = 0; i < log.ends.size(); ++i) {
        if (log.ends[i] > size) break;
        end = log.ends[i];
        if (i > 0) expected.push_back(log.records[i - 1]);
      }
      WalReadReport report;
      ASSERT_EQ(Read(&fs, &report), expected) << size;
      EXPECT_EQ(report.corruptions, 0);
      EXPECT_EQ(fs.Stat("/wal/00000001")->size, end) << size;
      ASSERT_EQ(Read(&fs, &report), expected) << size;
      // And the log goes on.
      ASSERT_TRUE(OpenWal(OptionsOn(&fs))->LogCommit("more").ok());
      expected.push_back("2:more");
      ASSERT_EQ(Read(&fs, &report), expected) << size;
      EXPECT_EQ(report.corruptions, 0);
    }
  }
}

TEST(Wal, ABadByteAnywhereCostsOneRecord) {
  const SmallLog log = MakeSmallLog();
  for (size_t at = 0; at < log.bytes.size(); ++at) {
    for (const int flip : {0x01, 0x80, 0xff}) {
      MemoryFileSystem fs;
      ASSERT_TRUE(fs.CreateDir("/wal").ok());
      std::string bytes = log.bytes;
      bytes[at] = static_cast<char>(bytes[at] ^ flip);
      Put(&fs, "/wal/00000001", bytes);
      // A later segment, so that nothing here is a torn tail.
      Put(&fs, "/wal/00000002", "");
      Records expected = log.records;
      if (at >= 24) {
        size_t i = 1;
        while (log.ends[i] <= at) ++i;
        expected.erase(expected.begin() + static_cast<ptrdiff_t>(i) - 1);
      }
      WalReadReport report;
      ASSERT_EQ(Read(&fs, &report), expected) << at;
      EXPECT_EQ(report.corruptions, 1) << at;
      EXPECT_EQ(Bytes(&fs, "/wal/00000001"), bytes);
    }
  }
}

TEST(Wal, ARecordInsideAPayloadIsNone) {
  // The victim holds a whole log in a payload; its own header is destroyed.
  const SmallLog inner = MakeSmallLog();
  MemoryFileSystem fs;
  {
    auto wal = OpenWal(OptionsOn(&fs));
    ASSERT_TRUE(wal->LogCommit(inner.bytes).ok());
    ASSERT_TRUE(wal->LogCommit("after").ok());
  }
  std::string bytes = Bytes(&fs, "/wal/00000001");
  bytes[24] ^= 0x55;
  Put(&fs, "/wal/00000001", bytes);
  WalReadReport report;
  EXPECT_EQ(Read(&fs, &report), Records{"2:after"});
  EXPECT_EQ(report.corruptions, 1);
}

TEST(Wal, RefusesANewerVersion) {
  SmallLog log = MakeSmallLog();
  MemoryFileSystem fs;
  ASSERT_TRUE(fs.CreateDir("/wal").ok());
  log.bytes[8] = 2;
  // Its check must be right, or it is only damage: taken from the format.
  const uint32_t crc = Crc32c(std::string_view(log.bytes).substr(0, 20));
  StoreFixed(log.bytes.data() + 20, crc);
  Put(&fs, "/wal/00000001", log.bytes);
  WalReadReport report;
  const absl::Status status =
      ReadWal(OptionsOn(&fs), &report,
              [](auto, auto, auto) { return absl::OkStatus(); });
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
}

TEST(Wal, AFullDiskLeavesAWellFormedLogAndLosesNoSeries) {
  for (uint64_t room = 0; room < 120; ++room) {
    MemoryFileSystem disk;
    FaultFileSystem fs(&disk);
    auto wal = OpenWal(OptionsOn(&fs));
    ASSERT_TRUE(wal->LogCommit("first").ok());
    fs.SetFreeBytes(room);
    ASSERT_TRUE(wal->LogSeries("series").ok());
    const auto failed = wal->LogCommit(std::string(100, 'x'));
    Records expected = {"2:first"};
    ASSERT_EQ(failed.status().code(), absl::StatusCode::kResourceExhausted);
    WalReadReport report;
    ASSERT_EQ(Read(&disk, &report), expected);
    fs.SetFreeBytes(std::nullopt);
    ASSERT_TRUE(wal->LogCommit("second").ok());
    expected.push_back("1:series");
    expected.push_back("2:second");
    ASSERT_EQ(Read(&disk, &report), expected);
    ASSERT_EQ(report.corruptions, 0);
  }
}

TEST(Wal, EveryFailingCallLeavesAcknowledgedRecords) {
  // In mode always, the disk forgets what was not synced.
  for (int64_t n = 1; n < 80; ++n) {
    MemoryFileSystem disk;
    FaultFileSystem fs(&disk);
    WalOptions options = OptionsOn(&fs);
    options.segment_bytes = 100;
    auto wal = OpenWal(options);
    fs.FailCall(n, absl::UnavailableError("pulled"));
    Records acknowledged;
    for (int i = 0; i < 20; ++i) {
      const std::string payload = fmt::format("{} {}", i, std::string(30, 'y'));
      if (wal->LogCommit(payload).ok()) acknowledged.push_back("2:" + payload);
    }
    ASSERT_GE(acknowledged.size(), 18u) << n;
    auto image = disk.CrashImage();
    WalReadReport report;
    const Records found = Read(image.get(), &report);
    // A commit that failed may be there all the same, between the others.
    auto at = found.begin();
    for (const std::string& record : acknowledged) {
      at = std::find(at, found.end(), record);
      ASSERT_NE(at, found.end()) << record << " with failing call " << n;
    }
  }
}

TEST(Wal, GroupCommitAcknowledgesOnlyWhatIsDurable) {
  MemoryFileSystem disk;
  auto wal = OpenWal(OptionsOn(&disk));
  constexpr int kThreads = 4;
  constexpr int kEach = 200;
  std::atomic<int> acknowledged{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        ASSERT_TRUE(wal->LogCommit(fmt::format("{}.{}", t, i)).ok());
        ++acknowledged;
      }
    });
  }
  for (int i = 0; i < 20; ++i) {
    const int before = acknowledged.load();
    auto image = disk.CrashImage();
    WalReadReport report;
    EXPECT_GE(static_cast<int>(Read(image.get(), &report).size()), before);
  }
  for (auto& thread : threads) thread.join();
  WalReadReport report;
  EXPECT_EQ(Read(&disk, &report).size(), size_t{kThreads * kEach});
  EXPECT_LE(wal->stats().fsyncs, kThreads * kEach);
}

TEST(Wal, IntervalModeSyncsAfterASecond) {
  MemoryFileSystem disk;
  WalOptions options = OptionsOn(&disk);
  options.fsync = FsyncMode::kInterval;
  auto wal = OpenWal(options);
  ASSERT_TRUE(wal->LogCommit("a").ok());
  WalReadReport report;
  EXPECT_EQ(Read(disk.CrashImage().get(), &report), Records());
  EXPECT_EQ(Read(disk.KillImage().get(), &report), Records{"2:a"});
  ASSERT_TRUE(wal->Sync().ok());
  EXPECT_EQ(Read(disk.CrashImage().get(), &report), Records{"2:a"});
}

TEST(Wal, GoesOnWithoutReservedRoom) {
  MemoryFileSystem memory;
  ASSERT_TRUE(memory.CreateDir("/wal").ok());
  FaultFileSystem fault(&memory);
  fault.FailAll(absl::ResourceExhaustedError("no space left"),
                FaultFileSystem::kReserve);
  auto wal = OpenWal(OptionsOn(&fault));
  const std::string payload(1 << 20, 'x');
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(wal->LogCommit(payload).ok());
  // Asked for once per step, not with every write.
  const int64_t asked = fault.calls(FaultFileSystem::kReserve);
  EXPECT_GE(asked, 2);
  EXPECT_LE(asked, 4);
  ASSERT_TRUE(wal->Close().ok());
  WalReadReport report;
  EXPECT_EQ(Read(&memory, &report).size(), 10u);
}

}  // namespace
}  // namespace varve
