// Columns as every version so far wrote them, in tests/golden/columns.txt:
//   ints   <name> <bytes> <value>...
//   floats <name> <bytes> <bits of a value>...
// The number in a name is the first byte. Lines are added, never changed: what
// is on somebody's disk must stay readable.

#include <gtest/gtest.h>

#include <bit>
#include <fstream>
#include <set>
#include <sstream>
#include <vector>

#include "storage/adaptive_ints.h"
#include "storage/adaptive_values.h"
#include "storage/float_column.h"
#include "storage/int_column.h"

namespace varve {
namespace {

struct Golden {
  std::string kind;
  std::string name;
  std::string bytes;
  std::vector<uint64_t> words;
};

std::vector<Golden> ReadGolden() {
  std::ifstream in(std::string(VARVE_SOURCE_DIR) + "/tests/golden/columns.txt");
  std::vector<Golden> out;
  for (std::string line; std::getline(in, line);) {
    std::istringstream fields(line);
    Golden g;
    std::string hex;
    fields >> g.kind >> g.name >> hex;
    for (size_t i = 0; i + 1 < hex.size(); i += 2) {
      g.bytes.push_back(
          static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
    }
    for (std::string field; fields >> field;) {
      g.words.push_back(
          g.kind == "ints"
              ? static_cast<uint64_t>(std::stoll(field))
              : static_cast<uint64_t>(std::stoull(field, nullptr, 16)));
    }
    out.push_back(std::move(g));
  }
  return out;
}

std::vector<uint64_t> ReadColumn(const Golden& g) {
  std::vector<uint64_t> words(g.words.size());
  if (g.kind == "ints") {
    std::vector<int64_t> values(words.size());
    Decoder in(g.bytes);
    const absl::Status s = GetIntColumn(&in, values);
    EXPECT_TRUE(s.ok()) << s;
    EXPECT_TRUE(in.done());
    for (size_t i = 0; i < words.size(); ++i) {
      words[i] = static_cast<uint64_t>(values[i]);
    }
  } else {
    std::vector<double> values(words.size());
    const absl::Status s = GetFloatColumn(g.bytes, values);
    EXPECT_TRUE(s.ok()) << s;
    for (size_t i = 0; i < words.size(); ++i) {
      words[i] = std::bit_cast<uint64_t>(values[i]);
    }
  }
  return words;
}

TEST(GoldenColumn, AllAreReadable) {
  std::set<std::string> heads;
  for (const Golden& g : ReadGolden()) {
    SCOPED_TRACE(g.kind + " " + g.name);
    EXPECT_EQ(ReadColumn(g), g.words);
    heads.insert(g.kind + g.name.substr(g.name.size() - 2));
  }
  for (const char* head :
       {"ints00",   "ints01",   "ints02",   "ints03",   "ints04",   "ints05",
        "ints40",   "ints41",   "ints42",   "ints43",   "ints44",   "ints46",
        "ints65",   "floats00", "floats01", "floats02", "floats40", "floats42",
        "floats60", "floats83", "floatsc0", "floatsc1"}) {
    EXPECT_TRUE(heads.contains(head)) << head;
  }
}

}  // namespace
}  // namespace varve
