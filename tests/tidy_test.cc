// Holds the house rules that a compiler does not: include direction, lengths,
// files that nothing builds, calls that are banned.

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace varve {
namespace {

namespace fs = std::filesystem;

struct Source {
  std::string path;  // from the root
  std::string folder;
  std::string text;
  std::vector<std::string> lines;
};

std::string ReadAll(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

std::vector<Source> Sources() {
  const fs::path root = VARVE_SOURCE_DIR;
  std::vector<Source> out;
  for (const char* folder : {"storage", "ingest", "query", "retention", "api",
                             "tools", "tests", "bench", "fuzz"}) {
    if (!fs::exists(root / folder)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
      const auto extension = entry.path().extension();
      if (extension != ".cc" && extension != ".h") continue;
      Source s{fs::relative(entry.path(), root).string(),
               folder,
               ReadAll(entry.path()),
               {}};
      std::stringstream in(s.text);
      for (std::string line; std::getline(in, line);) s.lines.push_back(line);
      out.push_back(std::move(s));
    }
  }
  return out;
}

/// The folder of our own that an #include line names, or "".
std::string IncludedFolder(const std::string& line) {
  const std::string start = "#include \"";
  if (!line.starts_with(start)) return "";
  const std::string path = line.substr(start.size());
  return path.substr(0, path.find('/'));
}

TEST(Tidy, IncludesPointDown) {
  const std::map<std::string, std::set<std::string>> allowed = {
      {"storage", {"storage"}},
      {"ingest", {"ingest", "storage"}},
      {"query", {"query", "storage"}},
      {"retention", {"retention", "storage"}},
      {"api", {"api", "ingest", "query", "retention", "storage"}},
      {"tools", {"api", "tools"}},
  };
  for (const Source& s : Sources()) {
    const auto it = allowed.find(s.folder);
    if (it == allowed.end()) continue;
    for (const std::string& line : s.lines) {
      const std::string folder = IncludedFolder(line);
      EXPECT_TRUE(folder.empty() || it->second.contains(folder))
          << s.path << ": " << line;
    }
  }
}

TEST(Tidy, RocksDbStaysBehindFewFiles) {
  // The index, the manifest that shares its database, and the adapter that
  // puts RocksDB's files on our FileSystem.
  std::set<std::string> files;
  for (const Source& s : Sources()) {
    if (s.folder == "tests" || s.folder == "bench") continue;
    if (s.text.find("#include <rocksdb/") != std::string::npos) {
      files.insert(s.path);
      EXPECT_TRUE(s.path.ends_with(".cc")) << s.path;
    }
  }
  EXPECT_LE(files.size(), 3u);
}

TEST(Tidy, TheHttpCodeSeesOnlyWhatAnEmbedderSees) {
  for (const Source& s : Sources()) {
    if (!s.path.starts_with("api/http_")) continue;
    for (const std::string& line : s.lines) {
      if (IncludedFolder(line).empty()) continue;
      const bool ok = line.find("\"api/http_") != std::string::npos ||
                      line.find("\"api/varve.h\"") != std::string::npos ||
                      line.find("\"api/json_writer.h\"") != std::string::npos;
      EXPECT_TRUE(ok) << s.path << ": " << line;
    }
  }
}

TEST(Tidy, FilesFitInAHead) {
  for (const Source& s : Sources()) {
    EXPECT_LE(s.lines.size(), 800u) << s.path;
  }
}

TEST(Tidy, EverySourceIsBuilt) {
  const std::string cmake =
      ReadAll(fs::path(VARVE_SOURCE_DIR) / "CMakeLists.txt");
  for (const Source& s : Sources()) {
    if (!s.path.ends_with(".cc")) continue;
    EXPECT_NE(cmake.find(s.path), std::string::npos)
        << s.path << " is not in CMakeLists.txt";
  }
  const fs::path system = fs::path(VARVE_SOURCE_DIR) / "tests/system";
  if (!fs::exists(system)) return;
  for (const auto& entry : fs::directory_iterator(system)) {
    const std::string name = entry.path().stem().string();
    if (entry.path().extension() != ".py" || !name.ends_with("_test")) continue;
    EXPECT_NE(cmake.find("(" + name), std::string::npos)
        << name << " is not registered";
  }
}

TEST(Tidy, TestsShareNoDirectory) {
  // The cases of a fixture run side by side in processes of their own.
  const std::string call = "Temp" "Dir()";
  for (const Source& s : Sources()) {
    if (s.path.ends_with("support/test_directory.h")) continue;
    EXPECT_EQ(s.text.find(call), std::string::npos)
        << s.path << ": use TestDirectory";
  }
}

TEST(Tidy, NoBannedCalls) {
  // Libraries never exit or print, and files go through FileSystem.
  const std::vector<std::string> banned = {
      "std::cout",     "std::cerr", "std::exit(", "::fopen(", "std::ofstream",
      "std::ifstream", "TODO",      "FIXME",      "XXX:"};
  const std::set<std::string> libraries = {"storage", "ingest", "query",
                                           "retention", "api"};
  for (const Source& s : Sources()) {
    if (!libraries.contains(s.folder)) continue;
    for (const std::string& word : banned) {
      EXPECT_EQ(s.text.find(word), std::string::npos)
          << s.path << " has " << word;
    }
  }
}

}  // namespace
}  // namespace varve
