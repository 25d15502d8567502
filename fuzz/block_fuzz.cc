#include <cstdint>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "storage/block.h"
#include "storage/block_file.h"
#include "storage/block_source.h"
#include "storage/check.h"
#include "storage/status_macros.h"
#include "tests/support/lone_block.h"
#include "tests/support/map_index_rows.h"
#include "tests/support/memory_file_system.h"

// A good block and its index rows, with bytes changed under CRCs that are right
// again: what the checks of the container would have caught now reaches the
// decoders. They must refuse or give samples, in bounded time and memory.
//
// The input is a list of edits of 5 bytes: which part (4 sections of the block,
// then the index rows in order), where (u16), how (xor, set, cut, insert), and
// a byte.

namespace varve {
namespace {

constexpr char kPath[] = "/blocks/b";
constexpr TimeWindow kWindow{0, 7200 * 1000};

struct Parts {
  std::vector<std::pair<SectionKind, std::string>> sections;
  IndexRowList rows;
};

/// Series that a block stores as references and differences.
void AddBuckets(MapSource* data) {
  double sums[4] = {};
  for (int i = 0; i < 60; ++i) {
    double count = 0;
    for (int b = 0; b < 4; ++b) {
      // The last one is the same as the one before.
      if (b < 3) count += i * i * i % 61 * (b + 1) % 41;
      sums[b] += count;
      data->Add(Labels{{"__name__", "b"}, {"le", std::string(1, 'a' + b)}},
                1000 * i, sums[b]);
    }
  }
}

Parts MakeParts() {
  std::mt19937_64 random(1);
  RandomDataOptions options;
  options.window = kWindow;
  options.series = 40;
  options.samples_max = 60;
  MemoryFileSystem fs;
  VARVE_CHECK(fs.CreateDir("/blocks").ok());
  Parts parts;
  MapSource data = RandomData(options, &random);
  AddBuckets(&data);
  parts.rows = WriteLoneBlock(&fs, kPath, data, kWindow, 60, true);
  auto file = BlockFile::Open(&fs, kPath);
  VARVE_CHECK(file.ok());
  for (const SectionKind kind : {SectionKind::kMeta, SectionKind::kGroups}) {
    auto bytes = (*file)->ReadWhole(kind);
    VARVE_CHECK(bytes.ok());
    parts.sections.emplace_back(kind, *std::move(bytes));
  }
  for (const SectionKind kind : {SectionKind::kData, SectionKind::kDirectory}) {
    auto section = (*file)->OpenPaged(kind);
    VARVE_CHECK(section.ok());
    std::string bytes;
    VARVE_CHECK((*section)->Read(0, (*section)->size(), &bytes).ok());
    parts.sections.emplace_back(kind, std::move(bytes));
  }
  return parts;
}

void Edit(Parts* parts, const uint8_t* edit) {
  const size_t count = parts->sections.size() + parts->rows.size();
  const size_t part = edit[0] % count;
  std::string& bytes = part < parts->sections.size()
                           ? parts->sections[part].second
                           : parts->rows[part - parts->sections.size()].second;
  if (bytes.empty()) return;
  const size_t at = (edit[1] | edit[2] << 8) % bytes.size();
  const char value = static_cast<char>(edit[4]);
  switch (edit[3] % 4) {
    case 0:
      bytes[at] = static_cast<char>(bytes[at] ^ value);
      break;
    case 1:
      bytes[at] = value;
      break;
    case 2:
      bytes.resize(at);
      break;
    case 3:
      bytes.insert(at, 1, value);
      break;
  }
}

void Write(MemoryFileSystem* fs, const Parts& parts) {
  auto writer = BlockFileWriter::Create(fs, kPath);
  VARVE_CHECK(writer.ok());
  for (const auto& [kind, bytes] : parts.sections) {
    if (kind == SectionKind::kData || kind == SectionKind::kDirectory) {
      (*writer)->BeginPaged(kind);
      VARVE_CHECK((*writer)->AppendPaged(bytes).ok());
      VARVE_CHECK((*writer)->EndPaged().ok());
    } else {
      VARVE_CHECK((*writer)->AddWhole(kind, bytes).ok());
    }
  }
  VARVE_CHECK((*writer)->Finish().ok());
}

void ReadAll(const SeriesSource& source) {
  QueryContext context;
  SelectHints hints;
  hints.start_ms = std::numeric_limits<int64_t>::min();
  hints.end_ms = std::numeric_limits<int64_t>::max();
  auto set = source.Select(context, {}, hints);
  VARVE_CHECK(set.ok());
  SampleColumns columns;
  for (;;) {
    const auto more = (*set)->Next();
    if (!more.ok() || !*more) break;
    auto cursor = (*set)->Cursor();
    for (;;) {
      const auto filled = cursor->Next(&columns);
      if (!filled.ok() || !*filled) break;
      VARVE_CHECK(columns.size() > 0);
      for (size_t i = 1; i < columns.size(); ++i) {
        VARVE_CHECK(columns.timestamps[i - 1] < columns.timestamps[i]);
      }
    }
  }
  const auto names = source.LabelNames(context, {}, hints);
  if (!names.ok()) return;
  for (const std::string& name : *names) {
    const auto values = source.LabelValues(context, name, {}, hints);
    VARVE_CHECK(values.ok() || !Message(values.status()).empty());
  }
}

void FuzzBlock(const uint8_t* data, size_t size) {
  static const Parts kGood = MakeParts();
  Parts parts = kGood;
  for (size_t at = 0; at + 5 <= size && at < 5 * 16; at += 5) {
    Edit(&parts, data + at);
  }
  MemoryFileSystem fs;
  VARVE_CHECK(fs.CreateDir("/blocks").ok());
  Write(&fs, parts);
  auto block = Block::Open(&fs, kPath);
  if (!block.ok()) return;
  auto index = IndexReader::Open(std::make_shared<MapIndexRows>(parts.rows),
                                 (*block)->info().series);
  if (!index.ok()) return;
  ReadAll(*MakeBlockSource(*block, *index));
}

}  // namespace
}  // namespace varve

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  varve::FuzzBlock(data, size);
  return 0;
}
