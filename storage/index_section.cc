#include "storage/index_section.h"

#include <zstd.h>

#include <algorithm>
#include <array>
#include <vector>

#include "storage/coding.h"
#include "storage/mutex.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

/// A group ends when its rows have so many bytes.
constexpr size_t kGroupBytes = size_t{32} << 10;
/// Longer than any group of a block that fits on a disk: the largest row holds
/// one key of some bytes per 64 values of all labels.
constexpr uint64_t kGroupBytesMax = uint64_t{1} << 30;
/// A zstd block gives 128 KiB at most and takes four bytes at least.
constexpr uint64_t kRatioMax = (128 << 10) / 4;
/// Written once, read for years.
constexpr int kCompressionLevel = 9;
/// Larger groups are read for one row of theirs and hardly again.
constexpr size_t kCachedBytesMax = 4 * kGroupBytes;

struct Group {
  char kind = 0;
  uint32_t first = 0;
  uint64_t offset = 0;
  uint64_t size = 0;      // in the file
  uint64_t raw_size = 0;  // of its rows
};

bool Before(char kind_a, uint32_t number_a, char kind_b, uint32_t number_b) {
  return kind_a != kind_b ? kind_a < kind_b : number_a < number_b;
}

class SectionRows final : public IndexRows {
 public:
  explicit SectionRows(std::shared_ptr<const Block> block)
      : block_(std::move(block)) {}

  absl::Status Open() {
    VARVE_ASSIGN_OR_RETURN(rows_,
                           block_->file().OpenPaged(SectionKind::kIndex));
    VARVE_ASSIGN_OR_RETURN(const std::string bytes,
                           block_->file().ReadWhole(SectionKind::kIndexGroups));
    Decoder in(bytes);
    const uint64_t count = in.VarintAtMost(bytes.size());
    uint64_t offset = 0;
    for (uint64_t i = 0; i < count && in.ok(); ++i) {
      Group group;
      group.kind = static_cast<char>(in.U8());
      group.first = static_cast<uint32_t>(in.VarintAtMost(UINT32_MAX));
      group.offset = offset;
      group.size = in.VarintAtMost(rows_->size() - offset);
      group.raw_size = in.VarintAtMost(kGroupBytesMax);
      if (group.raw_size / kRatioMax > group.size) in.Fail();
      offset += group.size;
      if (!groups_.empty() && !Before(groups_.back().kind, groups_.back().first,
                                      group.kind, group.first)) {
        in.Fail();
      }
      groups_.push_back(group);
    }
    if (in.done() && offset == rows_->size()) return absl::OkStatus();
    return DataLoss("{}: malformed list of index groups", block_->path());
  }

  absl::StatusOr<std::string> Get(IndexRow kind,
                                  uint32_t number) const override {
    const char k = static_cast<char>(kind);
    const auto it =
        std::upper_bound(groups_.begin(), groups_.end(), number,
                         [k](uint32_t n, const Group& group) {
                           return Before(k, n, group.kind, group.first);
                         });
    if (it == groups_.begin() || std::prev(it)->kind != k) {
      return DataLoss("{}: the index has no row {}{}", block_->path(), k,
                      number);
    }
    const Group& group = *std::prev(it);
    VARVE_ASSIGN_OR_RETURN(const auto rows, Rows(group));
    return Find(group, *rows, number);
  }

 private:
  using Bytes = std::shared_ptr<const std::string>;

  absl::StatusOr<Bytes> Rows(const Group& group) const {
    {
      MutexLock lock(&mutex_);
      for (const Cached& cached : cache_) {
        if (cached.group == &group) return cached.rows;
      }
    }
    VARVE_ASSIGN_OR_RETURN(Bytes rows, Read(group));
    if (rows->size() <= kCachedBytesMax) {
      MutexLock lock(&mutex_);
      cache_[next_++ % cache_.size()] = {&group, rows};
    }
    return rows;
  }

  absl::StatusOr<Bytes> Read(const Group& group) const {
    std::string packed;
    VARVE_RETURN_IF_ERROR(rows_->Read(group.offset, group.size, &packed));
    const absl::Status malformed =
        DataLoss("{}: malformed index group {}{}", block_->path(), group.kind,
                 group.first);
    // What the frame says of itself is asked first: no memory is taken for a
    // size that only the list claims.
    if (ZSTD_getFrameContentSize(packed.data(), packed.size()) !=
        group.raw_size) {
      return malformed;
    }
    auto rows = std::make_shared<std::string>(group.raw_size, '\0');
    const size_t size = ZSTD_decompress(rows->data(), rows->size(),
                                        packed.data(), packed.size());
    if (ZSTD_isError(size) || size != rows->size()) return malformed;
    return Bytes(std::move(rows));
  }

  absl::StatusOr<std::string> Find(const Group& group, const std::string& rows,
                                   uint32_t number) const {
    Decoder in(rows);
    uint64_t at = group.first;
    while (in.remaining() > 0) {
      at += in.VarintAtMost(UINT32_MAX);
      const std::string_view value = in.Text();
      if (!in.ok() || at > number) break;
      if (at == number) return std::string(value);
    }
    return DataLoss("{}: the index has no row {}{}", block_->path(), group.kind,
                    number);
  }

  struct Cached {
    const Group* group = nullptr;
    Bytes rows;
  };

  const std::shared_ptr<const Block> block_;
  std::unique_ptr<PagedSection> rows_;
  std::vector<Group> groups_;
  mutable Mutex mutex_;
  mutable std::array<Cached, 16> cache_ ABSL_GUARDED_BY(mutex_);
  mutable size_t next_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace

IndexSectionWriter::IndexSectionWriter(BlockFileWriter* file) : file_(file) {
  file_->BeginPaged(SectionKind::kIndex);
}

absl::Status IndexSectionWriter::Add(IndexRow kind, uint32_t number,
                                     std::string_view value) {
  const char k = static_cast<char>(kind);
  if (!rows_.empty() && (k != kind_ || rows_.size() >= kGroupBytes)) {
    VARVE_RETURN_IF_ERROR(EndGroup());
  }
  if (rows_.empty()) {
    kind_ = k;
    first_ = last_ = number;
  }
  PutVarint(&rows_, number - last_);
  PutText(&rows_, value);
  last_ = number;
  return absl::OkStatus();
}

absl::Status IndexSectionWriter::EndGroup() {
  if (rows_.size() > kGroupBytesMax) {
    return ResourceExhausted("an index row {}{} of {} bytes", kind_, first_,
                             rows_.size());
  }
  std::string packed(ZSTD_compressBound(rows_.size()), '\0');
  const size_t size = ZSTD_compress(packed.data(), packed.size(), rows_.data(),
                                    rows_.size(), kCompressionLevel);
  if (ZSTD_isError(size)) return Internal("zstd: {}", ZSTD_getErrorName(size));
  packed.resize(size);
  PutU8(&groups_, static_cast<uint8_t>(kind_));
  PutVarint(&groups_, first_);
  PutVarint(&groups_, packed.size());
  PutVarint(&groups_, rows_.size());
  ++count_;
  rows_.clear();
  return file_->AppendPaged(packed);
}

absl::Status IndexSectionWriter::Finish() {
  if (!rows_.empty()) VARVE_RETURN_IF_ERROR(EndGroup());
  VARVE_RETURN_IF_ERROR(file_->EndPaged());
  std::string list;
  PutVarint(&list, count_);
  list += groups_;
  return file_->AddWhole(SectionKind::kIndexGroups, list);
}

absl::StatusOr<std::shared_ptr<const IndexRows>> OpenIndexSection(
    std::shared_ptr<const Block> block) {
  auto rows = std::make_shared<SectionRows>(std::move(block));
  VARVE_RETURN_IF_ERROR(rows->Open());
  return std::shared_ptr<const IndexRows>(std::move(rows));
}

}  // namespace varve
