#include "storage/block_file.h"

#include <algorithm>

#include "storage/check.h"
#include "storage/coding.h"
#include "storage/crc32c.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

constexpr std::string_view kMagic = "VARVEBLK";
constexpr std::string_view kEndMagic = "KLBV";
constexpr size_t kHeaderBytes = 16;
constexpr size_t kTrailerBytes = 24;
constexpr size_t kBufferBytes = 256 << 10;
/// Far more than a table of all sections we may ever have.
constexpr uint32_t kTableBytesMax = 64 << 10;

constexpr uint64_t kFlagNeeded = 1;
constexpr uint64_t kFlagPaged = 2;

std::string Header() {
  std::string header(kMagic);
  PutFixed16(&header, kBlockFileVersion);
  PutFixed16(&header, 0);
  PutFixed32(&header, Crc32c(header));
  return header;
}

bool IsKnown(uint64_t kind) { return kind >= 1 && kind <= 6; }

/// The samples can be read without the index rows.
bool IsNeeded(SectionKind kind) {
  return kind != SectionKind::kIndex && kind != SectionKind::kIndexGroups;
}

uint64_t PageCount(uint64_t size) {
  return (size + kBlockPageBytes - 1) / kBlockPageBytes;
}

}  // namespace

BlockFileWriter::BlockFileWriter(FileSystem* fs, std::string path,
                                 std::unique_ptr<WritableFile> file)
    : fs_(fs), path_(std::move(path)), file_(std::move(file)) {}

absl::StatusOr<std::unique_ptr<BlockFileWriter>> BlockFileWriter::Create(
    FileSystem* fs, const std::string& path) {
  VARVE_ASSIGN_OR_RETURN(
      auto file,
      fs->OpenWritable(path, FileSystem::WriteMode::kCreateOrTruncate));
  std::unique_ptr<BlockFileWriter> writer(
      new BlockFileWriter(fs, path, std::move(file)));
  VARVE_RETURN_IF_ERROR(writer->Write(Header()));
  return writer;
}

BlockFileWriter::~BlockFileWriter() {
  if (finished_) return;
  file_->Close().IgnoreError();
  fs_->Remove(path_).IgnoreError();
}

absl::Status BlockFileWriter::Flush() {
  VARVE_RETURN_IF_ERROR(file_->Append(buffer_));
  buffer_.clear();
  return absl::OkStatus();
}

absl::Status BlockFileWriter::Write(std::string_view bytes) {
  buffer_ += bytes;
  offset_ += bytes.size();
  return buffer_.size() < kBufferBytes ? absl::OkStatus() : Flush();
}

void BlockFileWriter::BeginPaged(SectionKind kind) {
  sections_.push_back({kind, true, offset_, 0, 0});
  page_crc_ = 0;
  page_bytes_ = 0;
  page_crcs_.clear();
}

absl::Status BlockFileWriter::AppendPaged(std::string_view bytes) {
  sections_.back().size += bytes.size();
  for (std::string_view left = bytes; !left.empty();) {
    const size_t n =
        std::min<size_t>(left.size(), kBlockPageBytes - page_bytes_);
    page_crc_ = Crc32c(left.substr(0, n), page_crc_);
    page_bytes_ += n;
    left.remove_prefix(n);
    if (page_bytes_ == kBlockPageBytes) {
      PutFixed32(&page_crcs_, page_crc_);
      page_crc_ = 0;
      page_bytes_ = 0;
    }
  }
  return Write(bytes);
}

absl::Status BlockFileWriter::EndPaged() {
  if (page_bytes_ > 0) PutFixed32(&page_crcs_, page_crc_);
  sections_.back().crc = Crc32c(page_crcs_);
  return Write(page_crcs_);
}

absl::Status BlockFileWriter::AddWhole(SectionKind kind,
                                       std::string_view bytes) {
  sections_.push_back({kind, false, offset_, bytes.size(), Crc32c(bytes)});
  return Write(bytes);
}

absl::StatusOr<uint64_t> BlockFileWriter::Finish() {
  std::string table;
  PutVarint(&table, sections_.size());
  for (const Section& section : sections_) {
    PutVarint(&table, static_cast<uint64_t>(section.kind));
    PutVarint(&table, (IsNeeded(section.kind) ? kFlagNeeded : 0) |
                          (section.paged ? kFlagPaged : 0));
    PutVarint(&table, section.offset);
    PutVarint(&table, section.size);
    PutFixed32(&table, section.crc);
  }
  std::string trailer;
  PutFixed64(&trailer, offset_);
  PutFixed32(&trailer, static_cast<uint32_t>(table.size()));
  PutFixed32(&trailer, Crc32c(table));
  PutFixed32(&trailer, Crc32c(trailer));
  trailer += kEndMagic;
  VARVE_RETURN_IF_ERROR(Write(table));
  VARVE_RETURN_IF_ERROR(Write(trailer));
  VARVE_RETURN_IF_ERROR(Flush());
  VARVE_RETURN_IF_ERROR(file_->Sync());
  VARVE_RETURN_IF_ERROR(file_->Close());
  finished_ = true;
  return offset_;
}

absl::StatusOr<std::unique_ptr<BlockFile>> BlockFile::Open(
    FileSystem* fs, const std::string& path) {
  VARVE_ASSIGN_OR_RETURN(auto file, fs->OpenRandomAccess(path));
  VARVE_ASSIGN_OR_RETURN(const uint64_t size, file->Size());
  std::unique_ptr<BlockFile> block(new BlockFile(path, std::move(file), size));
  VARVE_RETURN_IF_ERROR(block->ReadTable());
  return block;
}

absl::StatusOr<std::string> BlockFile::ReadChecked(std::string_view what,
                                                   uint64_t offset,
                                                   uint64_t size,
                                                   uint32_t crc) const {
  if (offset > size_ || size > size_ - offset) {
    return DataLoss("{}: {} at offset {} has {} bytes, but the file ends at {}",
                    path_, what, offset, size, size_);
  }
  std::string bytes(size, '\0');
  VARVE_RETURN_IF_ERROR(file_->ReadExactly(offset, bytes));
  const uint32_t found = Crc32c(bytes);
  if (found == crc) return bytes;
  return DataLoss("{}: {} at offset {}: expected CRC {:08x}, found {:08x}",
                  path_, what, offset, crc, found);
}

absl::Status BlockFile::ReadTable() {
  if (size_ < kHeaderBytes + kTrailerBytes) {
    return DataLoss("{}: no block file, it has only {} bytes", path_, size_);
  }
  std::string header(kHeaderBytes, '\0');
  VARVE_RETURN_IF_ERROR(file_->ReadExactly(0, header));
  const std::string_view front = std::string_view(header).substr(0, 12);
  if (!front.starts_with(kMagic) ||
      LoadFixed32(header.data() + 12) != Crc32c(front)) {
    return DataLoss("{}: no header of a block file at offset 0", path_);
  }
  const uint16_t version = LoadFixed16(header.data() + 8);
  if (version != kBlockFileVersion || LoadFixed16(header.data() + 10) != 0) {
    return Unimplemented(
        "{}: block file version {}, this varve reads only version {}", path_,
        version, kBlockFileVersion);
  }
  const uint64_t trailer_offset = size_ - kTrailerBytes;
  std::string trailer(kTrailerBytes, '\0');
  VARVE_RETURN_IF_ERROR(file_->ReadExactly(trailer_offset, trailer));
  Decoder in(trailer);
  const uint64_t table_offset = in.Fixed64();
  const uint32_t table_bytes = in.Fixed32();
  const uint32_t table_crc = in.Fixed32();
  const bool good =
      in.Fixed32() == Crc32c(std::string_view(trailer).substr(0, 16)) &&
      in.rest() == kEndMagic && table_bytes <= kTableBytesMax;
  if (!good) {
    return DataLoss(
        "{}: no trailer of a block file at offset {}: the file is truncated or "
        "damaged",
        path_, trailer_offset);
  }
  if (table_offset + table_bytes != trailer_offset) {
    return DataLoss("{}: table at offset {} with {} bytes does not end at {}",
                    path_, table_offset, table_bytes, trailer_offset);
  }
  VARVE_ASSIGN_OR_RETURN(
      const std::string table,
      ReadChecked("section table", table_offset, table_bytes, table_crc));
  return ParseTable(table, table_offset);
}

absl::Status BlockFile::ParseTable(std::string_view table,
                                   uint64_t table_offset) {
  table_offset_ = table_offset;
  Decoder in(table);
  const uint64_t count = in.VarintAtMost(table.size());
  for (uint64_t i = 0; i < count && in.ok(); ++i) {
    Section section;
    const uint64_t kind = in.VarintAtMost(UINT32_MAX);
    const uint64_t flags = in.Varint();
    section.paged = (flags & kFlagPaged) != 0;
    section.offset = in.Varint();
    section.size = in.Varint();
    section.crc = in.Fixed32();
    const bool new_flags = (flags & ~(kFlagNeeded | kFlagPaged)) != 0;
    if ((!IsKnown(kind) && (flags & kFlagNeeded) != 0) || new_flags) {
      if ((flags & kFlagNeeded) == 0) continue;
      return Unimplemented(
          "{}: needs section {} with flags {}, which this varve does not know",
          path_, kind, flags);
    }
    if (section.offset > table_offset ||
        section.size > table_offset - section.offset) {
      in.Fail();
    }
    if (!sections_.emplace(kind, section).second) in.Fail();
  }
  if (in.done()) return absl::OkStatus();
  return DataLoss("{}: malformed section table at offset {}", path_,
                  table_offset);
}

absl::StatusOr<const BlockFile::Section*> BlockFile::Find(SectionKind kind,
                                                          bool paged) const {
  const auto it = sections_.find(static_cast<uint32_t>(kind));
  if (it == sections_.end() || it->second.paged != paged) {
    return DataLoss("{}: no section {}", path_, static_cast<uint32_t>(kind));
  }
  return &it->second;
}

absl::StatusOr<std::string> BlockFile::ReadWhole(SectionKind kind) const {
  VARVE_ASSIGN_OR_RETURN(const Section* section, Find(kind, false));
  return ReadChecked(fmt::format("section {}", static_cast<uint32_t>(kind)),
                     section->offset, section->size, section->crc);
}

absl::StatusOr<std::unique_ptr<PagedSection>> BlockFile::OpenPaged(
    SectionKind kind) const {
  VARVE_ASSIGN_OR_RETURN(const Section* section, Find(kind, true));
  const uint64_t pages = PageCount(section->size);
  VARVE_ASSIGN_OR_RETURN(
      const std::string crcs,
      ReadChecked("page CRCs", section->offset + section->size, 4 * pages,
                  section->crc));
  auto out = std::make_unique<PagedSection>();
  out->file_ = this;
  out->offset_ = section->offset;
  out->size_ = section->size;
  out->crcs_.resize(pages);
  for (size_t i = 0; i < pages; ++i) {
    out->crcs_[i] = LoadFixed32(crcs.data() + 4 * i);
  }
  out->checked_ = std::vector<std::atomic<uint64_t>>((pages + 63) / 64);
  return out;
}

absl::Status BlockFile::CheckSection(
    uint32_t kind, const Section& section,
    const std::function<void(const absl::Status&)>& f) const {
  if (!section.paged) {
    return ReadChecked(fmt::format("section {}", kind), section.offset,
                       section.size, section.crc)
        .status();
  }
  VARVE_ASSIGN_OR_RETURN(const auto pages,
                         OpenPaged(static_cast<SectionKind>(kind)));
  std::string bytes;
  for (uint64_t at = 0; at < pages->size(); at += kBlockPageBytes) {
    const uint64_t size =
        std::min<uint64_t>(kBlockPageBytes, pages->size() - at);
    if (absl::Status s = pages->ReadPages(at, size, &bytes); !s.ok()) f(s);
  }
  return absl::OkStatus();
}

void BlockFile::Check(const std::function<void(const absl::Status&)>& f) const {
  std::vector<std::pair<uint64_t, uint64_t>> extents;  // begin, end
  for (const auto& [kind, section] : sections_) {
    if (absl::Status s = CheckSection(kind, section, f); !s.ok()) f(s);
    const uint64_t crcs = section.paged ? 4 * PageCount(section.size) : 0;
    extents.emplace_back(section.offset, section.offset + section.size + crcs);
  }
  std::sort(extents.begin(), extents.end());
  extents.emplace_back(table_offset_, size_);
  uint64_t at = kHeaderBytes;
  for (const auto& [begin, end] : extents) {
    if (begin != at) {
      f(DataLoss("{}: sections overlap, or bytes belong to none, at offset {}",
                 path_, std::min(begin, at)));
    }
    at = std::max(at, end);
  }
}

absl::Status PagedSection::CheckPage(uint64_t page,
                                     std::string_view bytes) const {
  std::atomic<uint64_t>& word = checked_[page / 64];
  const uint64_t bit = uint64_t{1} << (page % 64);
  if ((word.load(std::memory_order_relaxed) & bit) != 0) {
    return absl::OkStatus();
  }
  const uint32_t found = Crc32c(bytes);
  if (found != crcs_[page]) {
    return DataLoss("{}: page at offset {}: expected CRC {:08x}, found {:08x}",
                    file_->path(), offset_ + page * kBlockPageBytes,
                    crcs_[page], found);
  }
  word.fetch_or(bit, std::memory_order_relaxed);
  return absl::OkStatus();
}

absl::Status PagedSection::ReadPages(uint64_t offset, size_t size,
                                     std::string* out) const {
  VARVE_CHECK(offset % kBlockPageBytes == 0);
  if (offset > size_ || size > size_ - offset) {
    return DataLoss("{}: {} bytes at {} lie beyond a section of {} bytes",
                    file_->path(), size, offset, size_);
  }
  out->resize(size);
  VARVE_RETURN_IF_ERROR(file_->file_->ReadExactly(offset_ + offset, *out));
  const std::string_view bytes = *out;
  for (uint64_t at = 0; at < size; at += kBlockPageBytes) {
    VARVE_RETURN_IF_ERROR(CheckPage((offset + at) / kBlockPageBytes,
                                    bytes.substr(at, kBlockPageBytes)));
  }
  return absl::OkStatus();
}

absl::Status PagedSection::Read(uint64_t offset, size_t size,
                                std::string* out) const {
  if (offset > size_ || size > size_ - offset) {
    return DataLoss("{}: {} bytes at {} lie beyond a section of {} bytes",
                    file_->path(), size, offset, size_);
  }
  const uint64_t begin = offset - offset % kBlockPageBytes;
  const uint64_t end =
      std::min(size_, PageCount(offset + size) * kBlockPageBytes);
  VARVE_RETURN_IF_ERROR(ReadPages(begin, end - begin, out));
  out->erase(0, offset - begin);
  out->resize(size);
  return absl::OkStatus();
}

}  // namespace varve
