// Directories that were damaged in every way: after a repair they verify clean
// and serve what survived, and never a wrong value.

#include "storage/repair.h"

#include <gtest/gtest.h>

#include "storage/manifest.h"
#include "storage/row_store.h"
#include "storage/status_macros.h"
#include "storage/verify.h"
#include "tests/support/damaged_disk.h"
#include "tests/support/seed.h"

namespace varve {
namespace {

struct Repaired {
  absl::StatusOr<RepairSummary> summary = absl::InternalError("");
  std::string lines;
};

Repaired Repair(SampleDisk* disk, FileSystem* fs) {
  Repaired out;
  RepairOptions options;
  options.directory = "/db";
  options.fs = fs;
  options.clock = &disk->clock;
  options.on_action = [&](std::string_view text) {
    out.lines += std::string(text) + "\n";
  };
  out.summary = RepairDirectory(options);
  return out;
}

std::string VerifyLines(FileSystem* fs) {
  std::string lines;
  VerifyOptions options;
  options.directory = "/db";
  options.fs = fs;
  options.on_finding = [&](const Finding& f) {
    if (f.damage) lines += f.file + ": " + f.text + "\n";
  };
  const auto summary = VerifyDirectory(options);
  return summary.ok() ? lines : summary.status().ToString();
}

int64_t Count(const SourceContent& content) {
  int64_t n = 0;
  for (const auto& [series, samples] : content) {
    n += static_cast<int64_t>(samples.size());
  }
  return n;
}

/// Repairs, expects a clean directory, and gives what it serves; -1 when the
/// directory says that it is of a newer version.
int64_t RepairAndRead(SampleDisk* disk, FileSystem* fs) {
  const std::string before = VerifyLines(fs);
  const Repaired repaired = Repair(disk, fs);
  if (absl::IsFailedPrecondition(repaired.summary.status())) return -1;
  EXPECT_TRUE(repaired.summary.ok()) << repaired.summary.status();
  if (!repaired.summary.ok()) return 0;
  SCOPED_TRACE("found: " + before + "\ndone: " + repaired.lines);
  EXPECT_EQ(VerifyLines(fs), "");
  EXPECT_TRUE(before.empty() || repaired.summary->actions > 0);
  auto db = Db::Open(disk->Options(fs));
  EXPECT_TRUE(db.ok()) << db.status();
  if (!db.ok()) return 0;
  EXPECT_EQ((*db)->Stats().blocks_damaged, 0);
  const SourceContent content = ReadContent((*db)->source());
  for (const auto& [series, samples] : content) {
    const auto known = disk->content.find(series);
    EXPECT_NE(known, disk->content.end()) << series;
    if (known == disk->content.end()) continue;
    for (const auto& [t, text] : samples) {
      const auto at = known->second.find(t);
      EXPECT_TRUE(at != known->second.end() && at->second == text)
          << series << " " << t << " " << text;
    }
  }
  return Count(content);
}

TEST(Repair, LeavesAGoodDirectoryAlone) {
  SampleDisk disk;
  const Repaired repaired = Repair(&disk, disk.fs.get());
  ASSERT_TRUE(repaired.summary.ok()) << repaired.summary.status();
  EXPECT_EQ(repaired.summary->actions, 0) << repaired.lines;
  EXPECT_FALSE(*disk.fs->Exists("/db/quarantine"));
  EXPECT_EQ(RepairAndRead(&disk, disk.fs.get()), Count(disk.content));
}

TEST(Repair, ADirectoryInUseIsRefused) {
  SampleDisk disk;
  auto db = Db::Open(disk.Options(disk.fs.get()));
  EXPECT_TRUE(absl::IsFailedPrecondition(
      Repair(&disk, disk.fs.get()).summary.status()));
}

TEST(Repair, MendsDamageOfEveryFile) {
  const uint64_t seed = TestSeed();
  std::mt19937_64 random(seed);
  SampleDisk disk;
  const int64_t all = Count(disk.content);
  int64_t kept = 0;
  int64_t rounds = 0;
  for (const std::string& path : disk.Files()) {
    for (int i = 0; i < 6; ++i) {
      auto image = disk.fs->KillImage();
      const std::string what = DamageFile(image.get(), path, &random);
      SCOPED_TRACE(what);
      const int64_t n = RepairAndRead(&disk, image.get());
      if (HasFailure()) FAIL() << "seed " << seed;
      if (n < 0) continue;
      kept += n;
      ++rounds;
    }
  }
  // One damaged place costs a little, not the database.
  EXPECT_GT(kept, rounds * all * 3 / 4);
}

TEST(Repair, MendsManyDamagesAtOnce) {
  const uint64_t seed = TestSeed();
  std::mt19937_64 random(seed);
  SampleDisk disk;
  const std::vector<std::string> files = disk.Files();
  for (int round = 0; round < 25; ++round) {
    auto image = disk.fs->KillImage();
    std::string what;
    for (int i = 0; i < 4; ++i) {
      const std::string& path = files[random() % files.size()];
      if (!*image->Exists(path)) continue;
      what += DamageFile(image.get(), path, &random) + "\n";
    }
    SCOPED_TRACE(what);
    RepairAndRead(&disk, image.get());
    if (HasFailure()) FAIL() << "seed " << seed;
  }
}

TEST(Repair, ALostManifestCostsNothing) {
  for (const bool started : {false, true}) {
    SampleDisk disk;
    const auto files = disk.fs->List("/db/index");
    for (const FileInfo& file : *files) {
      if (file.name.ends_with(".sst")) continue;
      ASSERT_TRUE(disk.fs->Remove("/db/index/" + file.name).ok());
    }
    // A start with it changes nothing for the worse.
    if (started) {
      const auto db = Db::Open(disk.Options(disk.fs.get()));
      EXPECT_NE(Message(db.status()).find("varve repair"), std::string::npos)
          << db.status();
    }
    EXPECT_EQ(RepairAndRead(&disk, disk.fs.get()), Count(disk.content));
    EXPECT_TRUE(*disk.fs->Exists("/db/quarantine/1/index"));
    // From now on starts clean up again, and all goes on.
    ASSERT_TRUE(
        WriteFileAtomically(disk.fs.get(), "/db/blocks/d1-p7.block", "x").ok());
    auto db = Db::Open(disk.Options(disk.fs.get()));
    ASSERT_TRUE(db.ok());
    EXPECT_FALSE(*disk.fs->Exists("/db/blocks/d1-p7.block"));
    EXPECT_TRUE((*db)->Flush().ok());
    EXPECT_EQ(ReadContent((*db)->source()), disk.content);
  }
}

/// A directory in which some series of blocks and of the log are deleted.
void DeleteSome(SampleDisk* disk) {
  auto db = Db::Open(disk->Options(disk->fs.get()));
  ASSERT_TRUE(db.ok()) << db.status();
  const Selectors selectors{
      {*Matcher::Create(MatchType::kRegex, "s", "3|5|7")}};
  const TimeRange range{SampleDisk::kNow + 5 * SampleDisk::kMinute,
                        SampleDisk::kNow + 45 * SampleDisk::kMinute};
  ASSERT_TRUE((*db)->DeleteSeries(selectors, range).ok());
  const SourceContent left = ReadContent((*db)->source());
  ASSERT_LT(Count(left), Count(disk->content));
  disk->content = left;
  ASSERT_GT((*db)->Stats().deletions_pending, 0);
  ASSERT_TRUE((*db)->Close().ok());
}

void AddManifestRow(FileSystem* fs, std::string key, std::string value) {
  RowStoreOptions options;
  options.directory = "/db/index";
  options.fs = fs;
  auto rows = RowStore::Open(options);
  ASSERT_TRUE(rows.ok()) << rows.status();
  RowStore::Batch batch;
  batch.puts.emplace_back(std::move(key), std::move(value));
  ASSERT_TRUE((*rows)->WriteManifest(batch).ok());
}

TEST(Repair, KeepsDeletions) {
  // A row of the manifest that means nothing, a deletion's and another.
  for (const std::string& key :
       {std::string("d\0\0\0\0\0\0\0\x63", 9), std::string("m\x01", 2)}) {
    SampleDisk disk;
    DeleteSome(&disk);
    AddManifestRow(disk.fs.get(), key, "\x01");
    EXPECT_NE(VerifyLines(disk.fs.get()), "");
    const auto db = Db::Open(disk.Options(disk.fs.get()));
    EXPECT_TRUE(absl::IsDataLoss(db.status())) << db.status();
    EXPECT_NE(Message(db.status()).find("varve repair"), std::string::npos);
    EXPECT_EQ(RepairAndRead(&disk, disk.fs.get()), Count(disk.content));
  }
}

TEST(Repair, SaysThatDeletionsMayBeLost) {
  SampleDisk disk;
  DeleteSome(&disk);
  const auto files = disk.fs->List("/db/index");
  for (const FileInfo& file : *files) {
    if (file.name.ends_with(".sst")) continue;
    ASSERT_TRUE(disk.fs->Remove("/db/index/" + file.name).ok());
  }
  const Repaired repaired = Repair(&disk, disk.fs.get());
  ASSERT_TRUE(repaired.summary.ok()) << repaired.summary.status();
  EXPECT_NE(repaired.lines.find("delete them again"), std::string::npos)
      << repaired.lines;
}

/// So many samples that a block has pages, and the loss of one leaves others.
void AddMuch(SampleDisk* disk, std::mt19937_64* random) {
  auto db = Db::Open(disk->Options(disk->fs.get()));
  ASSERT_TRUE(db.ok()) << db.status();
  for (int i = 0; i < 300; ++i) {
    auto appender = (*db)->BeginAppend();
    const auto ref = appender->Resolve(Labels{{"__name__", "much"},
                                              {"i", std::to_string(i)},
                                              {"s", std::to_string(i % 10)}});
    ASSERT_TRUE(ref.ok());
    for (int64_t n = 200; n > 0; --n) {
      appender->batch().Add(*ref, disk->clock.NowMs() - 100 * n,
                            1.0 / static_cast<double>((*random)()));
    }
    ASSERT_TRUE(appender->Commit().ok());
  }
  ASSERT_TRUE((*db)->Flush().ok());
  disk->content = ReadContent((*db)->source());
  ASSERT_TRUE((*db)->Close().ok());
}

TEST(Repair, ABlockMadeAnewHoldsNothingDeleted) {
  std::mt19937_64 random(TestSeed());
  SampleDisk disk;
  AddMuch(&disk, &random);
  DeleteSome(&disk);
  std::string path;
  std::string bytes;
  for (const std::string& name : disk.Files()) {
    if (!name.ends_with(".block")) continue;
    std::string read = *ReadFile(disk.fs.get(), name, 1 << 30);
    if (read.size() < bytes.size()) continue;
    path = name;
    bytes = std::move(read);
  }
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  ASSERT_TRUE(WriteFileAtomically(disk.fs.get(), path, bytes).ok());
  const auto copy = disk.fs->KillImage();
  EXPECT_EQ(Repair(&disk, copy.get()).summary->blocks_rewritten, 1);
  EXPECT_GT(RepairAndRead(&disk, disk.fs.get()), 0);
}

TEST(Repair, KeepsTheSeriesOfABlockWhosePagesAreGood) {
  SampleDisk disk;
  std::string path;
  for (const std::string& name : disk.Files()) {
    if (path.empty() && name.ends_with(".block")) path = name;
  }
  std::string bytes = *ReadFile(disk.fs.get(), path, 1 << 30);
  bytes[40] = static_cast<char>(bytes[40] ^ 1);  // the only page of the data
  ASSERT_TRUE(WriteFileAtomically(disk.fs.get(), path, bytes).ok());
  const Repaired repaired = Repair(&disk, disk.fs.get());
  ASSERT_TRUE(repaired.summary.ok());
  EXPECT_EQ(repaired.summary->blocks_lost, 1) << repaired.lines;
  EXPECT_GT(repaired.summary->samples_lost, 0);
  EXPECT_EQ(
      *ReadFile(disk.fs.get(), "/db/quarantine/1" + path.substr(3), 1 << 30),
      bytes);
  EXPECT_EQ(VerifyLines(disk.fs.get()), "");
}

}  // namespace
}  // namespace varve
