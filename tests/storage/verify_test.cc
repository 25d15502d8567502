// Flips, cuts and swaps over every file of a data directory: each is found, or
// changes nothing that is read.

#include "storage/verify.h"

#include <gtest/gtest.h>

#include "storage/status_macros.h"
#include "storage/wal.h"
#include "tests/support/damaged_disk.h"
#include "tests/support/seed.h"

namespace varve {
namespace {

struct Verified {
  absl::StatusOr<VerifySummary> summary = absl::InternalError("");
  std::vector<std::string> lines;
};

Verified Verify(FileSystem* fs, const std::string& directory = "/db") {
  Verified out;
  VerifyOptions options;
  options.directory = directory;
  options.fs = fs;
  options.on_finding = [&](const Finding& f) {
    out.lines.push_back(
        fmt::format("{} {}: {}", f.damage ? "damage" : "note", f.file, f.text));
  };
  out.summary = VerifyDirectory(options);
  return out;
}

std::string Print(const Verified& v) {
  std::string text = v.summary.ok() ? "" : v.summary.status().ToString();
  for (const std::string& line : v.lines) text += "\n" + line;
  return text;
}

TEST(Verify, FindsNothingInAGoodDirectoryAndChangesNothing) {
  SampleDisk disk;
  std::map<std::string, std::string> before;
  for (const std::string& path : disk.Files()) {
    before[path] = *ReadFile(disk.fs.get(), path, 1 << 30);
  }
  const Verified v = Verify(disk.fs.get());
  ASSERT_TRUE(v.summary.ok()) << v.summary.status();
  EXPECT_EQ(v.lines, std::vector<std::string>());
  EXPECT_EQ(v.summary->damages, 0);
  EXPECT_GE(v.summary->blocks, 3);
  EXPECT_GT(v.summary->block_samples, 300);
  EXPECT_GT(v.summary->wal_samples, 50);
  std::map<std::string, std::string> after;
  for (const std::string& path : disk.Files()) {
    after[path] = *ReadFile(disk.fs.get(), path, 1 << 30);
  }
  EXPECT_EQ(before, after);
}

TEST(Verify, RefusesWhatIsInUseOrNotOurs) {
  SampleDisk disk;
  auto db = Db::Open(disk.Options(disk.fs.get()));
  ASSERT_TRUE(db.ok());
  Verified v = Verify(disk.fs.get());
  EXPECT_TRUE(absl::IsFailedPrecondition(v.summary.status()));
  EXPECT_NE(Message(v.summary.status()).find("snapshot"), std::string::npos);
  // A snapshot of it can be checked meanwhile.
  for (const bool skip_head : {false, true}) {
    const auto name = (*db)->Snapshot(skip_head);
    ASSERT_TRUE(name.ok());
    v = Verify(disk.fs.get(), "/db/snapshots/" + *name);
    ASSERT_TRUE(v.summary.ok()) << v.summary.status();
    EXPECT_EQ(v.summary->damages, 0) << Print(v);
  }
  ASSERT_TRUE(disk.fs->CreateDir("/other").ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(
      Verify(disk.fs.get(), "/other").summary.status()));
  EXPECT_FALSE(Verify(disk.fs.get(), "/nowhere").summary.ok());
}

/// What a Db serves of a damaged disk: nothing wrong, and everything when
/// nothing was found.
void ExpectFoundOrHarmless(SampleDisk* disk, FileSystem* fs,
                           const std::string& what) {
  SCOPED_TRACE(what);
  const Verified v = Verify(fs);
  if (!v.lines.empty()) {
    EXPECT_TRUE(v.summary.ok()) << v.summary.status();
    return;
  }
  if (!v.summary.ok()) {
    EXPECT_TRUE(absl::IsFailedPrecondition(v.summary.status()))
        << v.summary.status();
    return;
  }
  auto db = Db::Open(disk->Options(fs));
  ASSERT_TRUE(db.ok()) << db.status();
  // The end of the last segment may be missing: nothing says where it was.
  EXPECT_TRUE(
      ReadContent((*db)->source()) == disk->content ||
      (what.starts_with(disk->LastSegment()) && !what.ends_with("removed")));
  EXPECT_EQ((*db)->Stats().blocks_damaged, 0);
}

TEST(Verify, FindsDamageOfEveryFile) {
  const uint64_t seed = TestSeed();
  std::mt19937_64 random(seed);
  SampleDisk disk;
  const std::vector<std::string> files = disk.Files();
  for (const std::string& path : files) {
    for (int i = 0; i < 12; ++i) {
      auto image = disk.fs->KillImage();
      const std::string what = DamageFile(image.get(), path, &random);
      ExpectFoundOrHarmless(&disk, image.get(), what);
      if (HasFailure()) FAIL() << "seed " << seed;
    }
  }
}

TEST(Verify, FindsEveryFlippedBlockAndLogByte) {
  std::mt19937_64 random(TestSeed());
  SampleDisk disk;
  int found = 0;
  for (const std::string& path : disk.Files()) {
    if (path.find("/index/") != std::string::npos) continue;
    const std::string bytes = *ReadFile(disk.fs.get(), path, 1 << 30);
    for (size_t at = random() % 7; at < bytes.size(); at += 7) {
      auto image = disk.fs->KillImage();
      std::string changed = bytes;
      changed[at] = static_cast<char>(changed[at] ^ (1 << (random() % 8)));
      ASSERT_TRUE(WriteFileAtomically(image.get(), path, changed).ok());
      const Verified v = Verify(image.get());
      // "varve 2" in the marker is a version.
      EXPECT_TRUE(!v.lines.empty() || !v.summary.ok()) << path << " " << at;
      ++found;
    }
    if (HasFailure()) return;
  }
  EXPECT_GT(found, 500);
}

TEST(Verify, FindsSwappedFiles) {
  SampleDisk disk;
  const std::vector<std::string> files = disk.Files();
  int swaps = 0;
  for (size_t a = 0; a < files.size(); ++a) {
    for (size_t b = a + 1; b < files.size(); ++b) {
      const auto kind = [](const std::string& path) {
        const size_t dot = path.rfind('.');
        return path.substr(0, path.rfind('/')) +
               (dot == std::string::npos ? "" : path.substr(dot));
      };
      if (kind(files[a]) != kind(files[b])) continue;
      auto image = disk.fs->KillImage();
      ASSERT_TRUE(image->Rename(files[a], "/x").ok());
      ASSERT_TRUE(image->Rename(files[b], files[a]).ok());
      ASSERT_TRUE(image->Rename("/x", files[b]).ok());
      ++swaps;
      ExpectFoundOrHarmless(&disk, image.get(), files[a] + " for " + files[b]);
      if (HasFailure()) return;
    }
  }
  EXPECT_GT(swaps, 5);
}

bool Mentions(const Verified& v, std::string_view text) {
  return Print(v).find(text) != std::string::npos;
}

TEST(Verify, FindsAMissingEndOfTheLog) {
  SampleDisk disk;
  std::vector<std::string> log;
  for (const std::string& path : disk.Files()) {
    if (path.starts_with("/db/wal/") && !path.ends_with("NEWEST")) {
      log.push_back(path);
    }
  }
  ASSERT_GT(log.size(), 3u);
  ASSERT_TRUE(log[0].starts_with("/db/wal/0"));
  // The last one, the last two, ..., all segments; all and the checkpoint.
  auto image = disk.fs->KillImage();
  const std::string checkpoint = log.back();
  ASSERT_TRUE(checkpoint.starts_with("/db/wal/checkpoint-"));
  log.pop_back();
  log.insert(log.begin(), checkpoint);
  for (; !log.empty(); log.pop_back()) {
    ASSERT_TRUE(image->Remove(log.back()).ok());
    const Verified v = Verify(image.get());
    EXPECT_TRUE(v.summary.ok() && v.summary->damages == 1) << Print(v);
    EXPECT_TRUE(Mentions(v, "missing at the end of the log")) << Print(v);
    // A start says so too, and gives none of their numbers away.
    auto started = image->KillImage();
    auto db = Db::Open(disk.Options(started.get()));
    ASSERT_TRUE(db.ok()) << db.status();
    EXPECT_EQ((*db)->Stats().wal_corruptions, 1);
    auto appender = (*db)->BeginAppend();
    appender->batch().Add(*appender->Resolve(Labels{{"__name__", "m"}}),
                          disk.clock.NowMs(), 1);
    ASSERT_TRUE(appender->Commit().ok());
    appender.reset();
    db->reset();
    const uint64_t newest = *ReadNewestSegment(disk.fs.get(), "/db/wal");
    EXPECT_EQ(*ReadNewestSegment(started.get(), "/db/wal"), newest + 1);
    EXPECT_TRUE(*started->Exists(fmt::format("/db/wal/{:08}", newest + 1)));
  }
}

TEST(Verify, KnowsNothingOfTheEndOfAnOlderOrDamagedLog) {
  SampleDisk disk;
  const std::string newest = "/db/wal/NEWEST";
  ASSERT_TRUE(*disk.fs->Exists(newest));
  ASSERT_TRUE(disk.fs->Remove(newest).ok());
  Verified v = Verify(disk.fs.get());
  EXPECT_EQ(v.lines, std::vector<std::string>());
  ASSERT_TRUE(WriteFileAtomically(disk.fs.get(), newest, "what").ok());
  v = Verify(disk.fs.get());
  EXPECT_EQ(v.summary->damages, 0) << Print(v);
  EXPECT_TRUE(Mentions(v, "would not show")) << Print(v);
  for (int start = 0; start < 2; ++start) {
    auto db = Db::Open(disk.Options(disk.fs.get()));
    ASSERT_TRUE(db.ok()) << db.status();
    EXPECT_TRUE(ReadContent((*db)->source()) == disk.content);
    EXPECT_EQ((*db)->Stats().wal_corruptions, 0);
  }
}

TEST(Verify, ACleanStopAndASnapshotHaveAWholeLog) {
  SampleDisk disk;
  DbOptions options = disk.Options(disk.fs.get());
  options.checkpoint_on_close = true;
  auto db = Db::Open(options);
  ASSERT_TRUE(db.ok());
  const auto add = [&] {
    auto appender = (*db)->BeginAppend();
    appender->batch().Add(*appender->Resolve(Labels{{"__name__", "m"}}),
                          disk.clock.NowMs(), 1);
    ASSERT_TRUE(appender->Commit().ok());
  };
  add();
  // Writers go on while it is made.
  const auto name = (*db)->Snapshot(false);
  ASSERT_TRUE(name.ok());
  add();
  const Verified snapshot = Verify(disk.fs.get(), "/db/snapshots/" + *name);
  EXPECT_EQ(snapshot.lines, std::vector<std::string>());
  const std::string wal = "/db/snapshots/" + *name + "/wal";
  EXPECT_TRUE(*disk.fs->Exists(
      wal + "/" +
      fmt::format("{:08}", *ReadNewestSegment(disk.fs.get(), wal))));
  ASSERT_TRUE((*db)->Close().ok());
  EXPECT_EQ(Verify(disk.fs.get()).lines, std::vector<std::string>());
}

TEST(Verify, AManifestThatIsGoneKeepsTheBlocks) {
  SampleDisk disk;
  ASSERT_TRUE(RemoveRecursively(disk.fs.get(), "/db/index").ok());
  const size_t blocks = disk.fs->List("/db/blocks")->size();
  for (int start = 0; start < 3; ++start) {
    auto db = Db::Open(disk.Options(disk.fs.get()));
    ASSERT_TRUE(db.ok()) << db.status();
    EXPECT_EQ((*db)->Stats().blocks_damaged, static_cast<int64_t>(blocks));
    EXPECT_EQ(disk.fs->List("/db/blocks")->size(), blocks);
  }
  EXPECT_GT(Verify(disk.fs.get()).summary->damages, 0);
}

}  // namespace
}  // namespace varve
