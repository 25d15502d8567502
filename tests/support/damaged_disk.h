#pragma once

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "storage/db.h"
#include "tests/support/manual_clock.h"
#include "tests/support/memory_file_system.h"
#include "tests/support/source_content.h"

namespace varve {

/// A data directory /db of every kind of file (blocks, index, manifest, ended
/// and open log segments, a checkpoint), made for tests that damage it.
struct SampleDisk {
  static constexpr int64_t kMinute = 60'000;
  static constexpr int64_t kNow = int64_t{470'000} * 60 * kMinute;

  ManualClock clock{kNow};
  std::unique_ptr<MemoryFileSystem> fs = std::make_unique<MemoryFileSystem>();
  SourceContent content;

  SampleDisk();
  DbOptions Options(FileSystem* on) {
    DbOptions options;
    options.directory = "/db";
    options.fs = on;
    options.clock = &clock;
    options.background = false;
    options.window_ms = 10 * kMinute;
    options.wal_segment_bytes = 700;
    options.checkpoint_on_close = false;
    return options;
  }
  /// Paths of all files but LOCK, sorted.
  std::vector<std::string> Files() const;
  std::string LastSegment() const {
    std::string last;
    for (const std::string& path : Files()) {
      if (path.starts_with("/db/wal/0")) last = path;
    }
    return last;
  }
};

inline SampleDisk::SampleDisk() {
  auto db = Db::Open(Options(fs.get()));
  EXPECT_TRUE(db.ok()) << db.status();
  for (int i = 0; i < 37; ++i) {
    clock.Advance(kMinute);
    auto appender = (*db)->BeginAppend();
    for (int s = 0; s < 12; ++s) {
      const auto ref =
          appender->Resolve(Labels{{"__name__", "m"},
                                   {"s", std::to_string(s)},
                                   {"era", std::to_string(i / 9)}});
      EXPECT_TRUE(ref.ok());
      appender->batch().Add(*ref, clock.NowMs() + s, 0.1 * i + s);
    }
    EXPECT_TRUE(appender->Commit().ok());
    appender.reset();
    EXPECT_TRUE((*db)->Maintain().ok());
  }
  // What no checkpoint has, over a few segments, some of it new or late.
  for (int i = 0; i < 12; ++i) {
    clock.Advance(10'000);
    auto appender = (*db)->BeginAppend();
    for (int s = 0; s < 12; ++s) {
      const auto ref = appender->Resolve(
          Labels{{"__name__", "n"}, {"s", std::to_string(s + i)}});
      EXPECT_TRUE(ref.ok());
      appender->batch().Add(*ref, clock.NowMs() - s * 15'000, 0.3 * i);
    }
    EXPECT_TRUE(appender->Commit().ok());
  }
  content = ReadContent((*db)->source());
  EXPECT_TRUE((*db)->Close().ok());
}

inline void ListFiles(FileSystem* fs, const std::string& directory,
                      std::vector<std::string>* out) {
  const auto files = fs->List(directory);
  if (!files.ok()) return;
  for (const FileInfo& file : *files) {
    const std::string path = directory + "/" + file.name;
    if (file.is_directory) {
      ListFiles(fs, path, out);
    } else if (file.name != "LOCK") {
      out->push_back(path);
    }
  }
}

inline std::vector<std::string> SampleDisk::Files() const {
  std::vector<std::string> out;
  ListFiles(fs.get(), "/db", &out);
  std::sort(out.begin(), out.end());
  return out;
}

/// Changes a file: a bit, some bytes, the end cut off, zeros at the end, or
/// the file gone. Says what it did.
inline std::string DamageFile(FileSystem* fs, const std::string& path,
                              std::mt19937_64* random) {
  std::string bytes = *ReadFile(fs, path, uint64_t{1} << 30);
  const size_t at = bytes.empty() ? 0 : (*random)() % bytes.size();
  std::string what;
  switch (bytes.empty() ? 9 : (*random)() % 10) {
    case 0:
      what = fmt::format("cut at {} of {}", at, bytes.size());
      bytes.resize(at);
      break;
    case 1:
      what = fmt::format("a hole of zeros at {}", at);
      for (size_t i = at; i < std::min(bytes.size(), at + 64); ++i)
        bytes[i] = 0;
      break;
    case 2:
      what = fmt::format("noise at {}", at);
      for (size_t i = at; i < std::min(bytes.size(), at + 16); ++i) {
        bytes[i] = static_cast<char>((*random)());
      }
      break;
    case 9:
      EXPECT_TRUE(fs->Remove(path).ok());
      return path + ": removed";
    default:
      what = fmt::format("a bit of the byte {}", at);
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << ((*random)() % 8)));
  }
  EXPECT_TRUE(WriteFileAtomically(fs, path, bytes).ok());
  return path + ": " + what;
}

}  // namespace varve
