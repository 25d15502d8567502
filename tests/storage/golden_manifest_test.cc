// Rows of the manifest as every version so far wrote them, a row a line, key
// and value in hexadecimal. They stay readable, and the writer gives the bytes
// of tests/golden/manifest.txt.

#include <gtest/gtest.h>

#include <fstream>

#include "storage/manifest.h"
#include "tests/support/memory_file_system.h"

namespace varve {
namespace {

std::string Hex(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    out += fmt::format("{:02x}", static_cast<unsigned char>(c));
  }
  return out;
}

std::string FromHex(std::string_view text) {
  std::string out;
  for (size_t i = 0; i + 1 < text.size(); i += 2) {
    out.push_back(static_cast<char>(
        std::stoi(std::string(text.substr(i, 2)), nullptr, 16)));
  }
  return out;
}

std::vector<std::pair<std::string, std::string>> GoldenRows(
    std::string_view name) {
  std::ifstream in(fmt::format("{}/tests/golden/{}", VARVE_SOURCE_DIR, name));
  std::vector<std::pair<std::string, std::string>> rows;
  std::string key;
  std::string value;
  while (in >> key >> value) rows.emplace_back(FromHex(key), FromHex(value));
  return rows;
}

BlockInfo GoldenBlock(int32_t day, uint16_t part) {
  BlockInfo info;
  info.day = day;
  info.part = part;
  info.order = part / 2;
  info.window = {int64_t{day} * 86'400'000,
                 int64_t{day} * 86'400'000 + 7'200'000};
  info.min_ms = info.window.start_ms + 5;
  info.max_ms = info.window.end_ms - 1;
  info.series = 70'000;
  info.samples = 5'000'000'000;
  info.file_bytes = 123'456'789;
  info.index_bytes = 654'321;
  return info;
}

TEST(GoldenManifest, RowsAreWhatTheyWere) {
  RowStore::Batch batch;
  PutBlockRow(GoldenBlock(-2, 1), &batch);
  PutBlockRow(GoldenBlock(20'000, 65'535), &batch);
  PutMarkRow({-7'200'000, 3}, &batch);
  PutMarkRow({1'728'000'000'000, 300}, &batch);
  PutNextPartRow(-2, 2, &batch);
  PutNextPartRow(20'000, 65'536, &batch);
  std::vector<std::string> made;
  for (const auto& [key, value] : batch.puts) {
    made.push_back(Hex(key) + " " + Hex(value));
  }
  std::vector<std::string> golden;
  for (const auto& [key, value] : GoldenRows("manifest.txt")) {
    if (key != "v") golden.push_back(Hex(key) + " " + Hex(value));
  }
  EXPECT_EQ(made, golden);
}

/// `ordered`: the rows say the order of blocks.
void ExpectRead(std::string_view name, bool ordered) {
  MemoryFileSystem fs;
  RowStoreOptions options;
  options.directory = "/index";
  options.fs = &fs;
  auto rows = RowStore::Open(options);
  ASSERT_TRUE(rows.ok()) << rows.status();
  RowStore::Batch batch;
  batch.puts = GoldenRows(name);
  ASSERT_EQ(batch.puts.size(), 7u);
  ASSERT_TRUE((*rows)->WriteManifest(batch).ok());
  const auto manifest = ReadManifest(rows->get());
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  ASSERT_EQ(manifest->blocks.size(), 2u);
  const BlockInfo& block = manifest->blocks[1];
  const BlockInfo expected = GoldenBlock(20'000, 65'535);
  EXPECT_EQ(manifest->blocks[0].day, -2);
  EXPECT_EQ(block.part, expected.part);
  EXPECT_EQ(block.order, ordered ? expected.order : expected.part);
  EXPECT_EQ(block.window, expected.window);
  EXPECT_EQ(block.min_ms, expected.min_ms);
  EXPECT_EQ(block.max_ms, expected.max_ms);
  EXPECT_EQ(block.series, expected.series);
  EXPECT_EQ(block.samples, expected.samples);
  EXPECT_EQ(block.file_bytes, expected.file_bytes);
  EXPECT_EQ(block.index_bytes, expected.index_bytes);
  EXPECT_EQ(manifest->marks.at(-7'200'000), 3u);
  EXPECT_EQ(manifest->marks.at(1'728'000'000'000), 300u);
  EXPECT_EQ(manifest->next_parts.at(20'000), 65'536u);
}

TEST(GoldenManifest, RowsOfEveryWriterAreRead) {
  ExpectRead("manifest.txt", true);
  // Blocks had no order of their own at first.
  ExpectRead("manifest_no_order.txt", false);
}

}  // namespace
}  // namespace varve
