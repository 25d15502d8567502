#include "storage/portable_block.h"

#include <algorithm>

#include "storage/index_section.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

constexpr uint64_t kCopyBytes = 64 * kBlockPageBytes;

absl::Status CopyWhole(const BlockFile& from, SectionKind kind,
                       BlockFileWriter* to) {
  VARVE_ASSIGN_OR_RETURN(const std::string bytes, from.ReadWhole(kind));
  return to->AddWhole(kind, bytes);
}

absl::Status CopyPaged(const BlockFile& from, SectionKind kind,
                       BlockFileWriter* to) {
  VARVE_ASSIGN_OR_RETURN(const auto section, from.OpenPaged(kind));
  to->BeginPaged(kind);
  std::string bytes;
  for (uint64_t at = 0; at < section->size(); at += kCopyBytes) {
    const uint64_t size = std::min(kCopyBytes, section->size() - at);
    VARVE_RETURN_IF_ERROR(section->ReadPages(at, size, &bytes));
    VARVE_RETURN_IF_ERROR(to->AppendPaged(bytes));
  }
  return to->EndPaged();
}

}  // namespace

absl::StatusOr<uint64_t> WritePortableBlock(const Block& block,
                                            const IndexReader& index,
                                            FileSystem* fs,
                                            const std::string& path) {
  VARVE_ASSIGN_OR_RETURN(auto file, BlockFileWriter::Create(fs, path));
  const BlockFile& from = block.file();
  VARVE_RETURN_IF_ERROR(CopyPaged(from, SectionKind::kData, file.get()));
  VARVE_RETURN_IF_ERROR(CopyPaged(from, SectionKind::kDirectory, file.get()));
  VARVE_RETURN_IF_ERROR(CopyWhole(from, SectionKind::kGroups, file.get()));
  VARVE_RETURN_IF_ERROR(CopyWhole(from, SectionKind::kMeta, file.get()));
  IndexSectionWriter rows(file.get());
  VARVE_RETURN_IF_ERROR(index.ForEachRow(
      [&](IndexRow kind, uint32_t number, std::string_view value) {
        return rows.Add(kind, number, value);
      }));
  VARVE_RETURN_IF_ERROR(rows.Finish());
  return file->Finish();
}

absl::StatusOr<PortableBlock> OpenPortableBlock(FileSystem* fs,
                                                const std::string& path) {
  VARVE_ASSIGN_OR_RETURN(auto block, Block::Open(fs, path));
  VARVE_ASSIGN_OR_RETURN(auto rows, OpenIndexSection(block));
  auto index = IndexReader::Open(std::move(rows), block->info().series);
  if (!index.ok()) {
    return absl::Status(index.status().code(),
                        fmt::format("{}: {}", path, Message(index.status())));
  }
  return PortableBlock{std::move(block), *std::move(index)};
}

}  // namespace varve
