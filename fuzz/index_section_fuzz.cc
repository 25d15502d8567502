#include <zstd.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "storage/block.h"
#include "storage/check.h"
#include "storage/coding.h"
#include "storage/index_section.h"
#include "storage/portable_block.h"
#include "tests/support/memory_file_system.h"

// The index of a portable block under CRCs that are right. The first byte says
// what the rest is: the list of groups over a good group, or the packed bytes
// of a group, or its rows (then they are packed). Whatever is asked for is
// refused or given, in bounded time and memory.

namespace varve {
namespace {

constexpr char kPath[] = "/b";

std::string Pack(std::string_view rows) {
  std::string packed(ZSTD_compressBound(rows.size()), '\0');
  const size_t size =
      ZSTD_compress(packed.data(), packed.size(), rows.data(), rows.size(), 1);
  VARVE_CHECK(!ZSTD_isError(size));
  packed.resize(size);
  return packed;
}

/// One group of names rows, the first with number 0.
std::string ListOf(uint64_t packed_bytes, uint64_t row_bytes) {
  std::string list;
  PutVarint(&list, 1);
  PutU8(&list, static_cast<uint8_t>(IndexRow::kNames));
  PutVarint(&list, 0);
  PutVarint(&list, packed_bytes);
  PutVarint(&list, row_bytes);
  return list;
}

/// A block of no series.
void WriteBlock(MemoryFileSystem* fs, std::string_view groups,
                std::string_view list) {
  auto file = BlockFileWriter::Create(fs, kPath);
  VARVE_CHECK(file.ok());
  for (const SectionKind kind : {SectionKind::kData, SectionKind::kDirectory}) {
    (*file)->BeginPaged(kind);
    VARVE_CHECK((*file)->EndPaged().ok());
  }
  VARVE_CHECK((*file)->AddWhole(SectionKind::kMeta, std::string(8, '\0')).ok());
  VARVE_CHECK(
      (*file)->AddWhole(SectionKind::kGroups, std::string(8, '\0')).ok());
  (*file)->BeginPaged(SectionKind::kIndex);
  VARVE_CHECK((*file)->AppendPaged(groups).ok());
  VARVE_CHECK((*file)->EndPaged().ok());
  VARVE_CHECK((*file)->AddWhole(SectionKind::kIndexGroups, list).ok());
  VARVE_CHECK((*file)->Finish().ok());
}

void FuzzIndexSection(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data) + 1,
                               size - 1);
  std::string rows;
  for (int i = 0; i < 3; ++i) {
    PutVarint(&rows, i == 0 ? 0 : 2);
    PutText(&rows, "row");
  }
  std::string groups = Pack(rows);
  std::string list = ListOf(groups.size(), rows.size());
  switch (data[0] % 3) {
    case 0:
      list = input;
      break;
    case 1:
      groups = input;
      list = ListOf(groups.size(),
                    ZSTD_getFrameContentSize(input.data(), input.size()));
      break;
    case 2:
      groups = Pack(input);
      list = ListOf(groups.size(), input.size());
      break;
  }
  MemoryFileSystem fs;
  WriteBlock(&fs, groups, list);
  auto block = Block::Open(&fs, kPath);
  VARVE_CHECK(block.ok());
  const auto section = OpenIndexSection(*block);
  if (!section.ok()) return;
  for (const IndexRow kind :
       {IndexRow::kPosting, IndexRow::kNames, IndexRow::kTermKeys}) {
    for (const uint32_t number : {0u, 1u, 4u, 0xffffffffu}) {
      const auto row = (*section)->Get(kind, number);
      VARVE_CHECK(row.ok() || !row.status().message().empty());
    }
  }
  (void)OpenPortableBlock(&fs, kPath);
}

}  // namespace
}  // namespace varve

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 0) varve::FuzzIndexSection(data, size);
  return 0;
}
