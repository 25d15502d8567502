#include "storage/block_builder.h"

#include <charconv>

#include "storage/manifest.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

constexpr std::string_view kBlockSuffix = ".block";
constexpr std::string_view kIndexSuffix = ".rows";

template <typename T>
bool ParseNumber(std::string_view text, T* out) {
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), *out);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

std::string BlockPath(const std::string& directory, int32_t day,
                      uint16_t part) {
  return fmt::format("{}/d{}-p{}{}", directory, day, part, kBlockSuffix);
}

std::string IndexFilePath(const std::string& directory, int32_t day,
                          uint16_t part) {
  return fmt::format("{}/d{}-p{}{}", directory, day, part, kIndexSuffix);
}

bool ParseBlockFileName(std::string_view name, int32_t* day, uint16_t* part) {
  if (!name.starts_with('d') || !name.ends_with(kBlockSuffix)) return false;
  name.remove_prefix(1);
  name.remove_suffix(kBlockSuffix.size());
  const size_t dash = name.rfind("-p");
  return dash != std::string_view::npos &&
         ParseNumber(name.substr(0, dash), day) &&
         ParseNumber(name.substr(dash + 2), part);
}

bool IsTemporaryFileName(std::string_view name) {
  return name.ends_with(kIndexSuffix);
}

TimeWindow WindowOfDay(int32_t day) {
  constexpr int64_t kDayMs = int64_t{24} * 3600 * 1000;
  return {day * kDayMs, (int64_t{day} + 1) * kDayMs};
}

absl::StatusOr<std::unique_ptr<BlockBuilder>> BlockFileBuilder::Create(
    FileSystem* fs, const std::string& directory, const BlockInfo& names) {
  std::string path = BlockPath(directory, names.day, names.part);
  VARVE_ASSIGN_OR_RETURN(auto writer, BlockWriter::Create(fs, path, names));
  return std::unique_ptr<BlockBuilder>(new BlockFileBuilder(
      fs, std::move(path), IndexFilePath(directory, names.day, names.part),
      std::move(writer)));
}

BlockFileBuilder::~BlockFileBuilder() {
  writer_.reset();
  if (finished_) return;
  fs_->Remove(block_path_).IgnoreError();
  if (has_index_file_) fs_->Remove(index_path_).IgnoreError();
}

// A block that misses a part of a series must never be published, so the first
// error stays.

absl::Status BlockFileBuilder::AddSeries(
    const Labels& labels, std::span<const SampleColumns> chunks) {
  for (const SampleColumns& columns : chunks) {
    VARVE_RETURN_IF_ERROR(AddChunk(columns));
  }
  return EndSeries(labels);
}

absl::Status BlockFileBuilder::AddChunk(const SampleColumns& columns) {
  if (failed_.ok()) failed_ = writer_->AddChunk(columns);
  return failed_;
}

absl::Status BlockFileBuilder::AddChunk(const EncodedChunk& chunk) {
  if (failed_.ok()) failed_ = writer_->AddChunk(chunk);
  return failed_;
}

absl::Status BlockFileBuilder::EndSeries(const Labels& labels) {
  if (failed_.ok() && series() > 0 && !SeriesLess(last_labels_, labels)) {
    failed_ = Internal("block: series {} does not come after {}",
                       labels.ToString(), last_labels_.ToString());
  }
  if (failed_.ok()) failed_ = writer_->EndSeries();
  VARVE_RETURN_IF_ERROR(failed_);
  index_.AddSeries(labels);
  last_labels_ = labels;
  return absl::OkStatus();
}

absl::StatusOr<BlockInfo> BlockFileBuilder::Finish(RowStore* rows) {
  VARVE_RETURN_IF_ERROR(failed_);
  VARVE_ASSIGN_OR_RETURN(BlockInfo info, writer_->Finish());
  const std::string prefix = BlockKey(info.day, info.part);
  VARVE_ASSIGN_OR_RETURN(auto file, rows->NewFile(index_path_));
  has_index_file_ = true;
  for (const auto& [key, value] : index_.Finish()) {
    VARVE_RETURN_IF_ERROR(file->Add(prefix + key, value));
  }
  VARVE_ASSIGN_OR_RETURN(info.index_bytes, file->Finish());
  finished_ = true;
  return info;
}

}  // namespace varve
