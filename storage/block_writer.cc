#include "storage/block_writer.h"

#include <xxhash.h>

#include <algorithm>
#include <random>

#include "storage/chunk_codec.h"
#include "storage/coding.h"
#include "storage/int_column.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

constexpr uint64_t kInline = UINT64_MAX;
/// A reference to a shorter body saves little, and costs its reader a look
/// elsewhere.
constexpr size_t kSharedBodyBytesMin = 32;

std::string EncodeMeta(const BlockInfo& info) {
  std::string out;
  PutZigZag(&out, info.day);
  PutVarint(&out, info.part);
  PutZigZag(&out, info.window.start_ms);
  PutZigZag(&out, info.window.end_ms);
  PutZigZag(&out, info.min_ms);
  PutZigZag(&out, info.max_ms);
  PutVarint(&out, info.series);
  PutVarint(&out, info.samples);
  if (info.order != info.part) PutVarint(&out, info.order);
  return out;
}

}  // namespace

absl::StatusOr<std::unique_ptr<BlockWriter>> BlockWriter::Create(
    FileSystem* fs, const std::string& path, const BlockInfo& names) {
  VARVE_ASSIGN_OR_RETURN(auto file, BlockFileWriter::Create(fs, path));
  file->BeginPaged(SectionKind::kData);
  BlockInfo info;
  info.day = names.day;
  info.part = names.part;
  info.order = names.order;
  info.window = names.window;
  info.deletions_done = names.deletions_done;
  info.min_ms = INT64_MAX;
  info.max_ms = INT64_MIN;
  // The seed keeps a sender from making two columns with the same hash.
  std::random_device random;
  const uint64_t seed = (uint64_t{random()} << 32) | random();
  return std::unique_ptr<BlockWriter>(
      new BlockWriter(std::move(file), info, seed));
}

absl::Status BlockWriter::CheckTimes(std::span<const int64_t> timestamps) {
  if (timestamps.empty() || timestamps.size() > kBlockChunkSamplesMax) {
    return Internal("block: a chunk of {} samples", timestamps.size());
  }
  for (const int64_t t : timestamps) {
    if (t < info_.window.start_ms || t >= info_.window.end_ms) {
      return Internal("block: a sample at {} ms lies outside [{}, {})", t,
                      info_.window.start_ms, info_.window.end_ms);
    }
    if (last_ms_.has_value() && t <= *last_ms_) {
      return Internal("block: a sample at {} ms does not ascend", t);
    }
    last_ms_ = t;
  }
  return absl::OkStatus();
}

void BlockWriter::AddTimes(std::span<const int64_t> timestamps) {
  info_.min_ms = std::min(info_.min_ms, timestamps.front());
  info_.max_ms = std::max(info_.max_ms, timestamps.back());
  info_.samples += timestamps.size();
}

absl::Status BlockWriter::AddSeries(std::span<const SampleColumns> chunks) {
  for (const SampleColumns& columns : chunks) {
    VARVE_RETURN_IF_ERROR(AddChunk(columns));
  }
  return EndSeries();
}

absl::Status BlockWriter::EndSeries() {
  if (info_.series == UINT32_MAX) return Internal("block: too many series");
  if (series_chunks_ == 0) return Internal("block: a series without samples");
  group_.chunk_counts.push_back(series_chunks_);
  ++info_.series;
  series_chunks_ = 0;
  last_ms_.reset();
  if (group_.chunk_counts.size() == kBlockGroupSeries) EndGroup();
  return absl::OkStatus();
}

absl::Status BlockWriter::AddChunk(const SampleColumns& columns) {
  const bool floats = columns.kind == SampleColumns::Kind::kFloat;
  const size_t values =
      floats ? columns.values.size() : columns.histograms.size();
  const size_t starts = columns.start_timestamps.size();
  if (values != columns.size() || (starts != 0 && starts != columns.size())) {
    return Internal("block: a chunk of {} timestamps, {} values",
                    columns.size(), values);
  }
  VARVE_RETURN_IF_ERROR(CheckTimes(columns.timestamps));
  const bool has_starts = std::any_of(
      columns.start_timestamps.begin(), columns.start_timestamps.end(),
      [](int64_t start) { return start != kNoStartTimestamp; });
  for (size_t begin = 0; begin < columns.size();) {
    const size_t count = SameLayoutLength(columns, begin);
    VARVE_RETURN_IF_ERROR(Append(
        std::span(columns.timestamps).subspan(begin, count), {},
        has_starts ? std::span<const double>() : std::span(columns.values),
        [&](std::string* out) { PutChunk(out, columns, begin, count); }));
    begin += count;
  }
  AddTimes(columns.timestamps);
  return absl::OkStatus();
}

absl::Status BlockWriter::AddChunk(const EncodedChunk& chunk) {
  VARVE_RETURN_IF_ERROR(CheckTimes(chunk.timestamps));
  VARVE_RETURN_IF_ERROR(
      Append(chunk.timestamps, chunk.column, {},
             [&](std::string* out) { out->append(chunk.body); }));
  AddTimes(chunk.timestamps);
  return absl::OkStatus();
}

template <typename PutBody>
absl::Status BlockWriter::Append(std::span<const int64_t> timestamps,
                                 std::string_view column,
                                 std::span<const double> floats,
                                 const PutBody& put_body) {
  if (group_.chunk_counts.empty() && series_chunks_ == 0) {
    group_.data_offset = data_offset_;
  }
  const XXH128_hash_t hash = XXH3_128bits_withSeed(
      timestamps.data(), timestamps.size_bytes(), hash_seed_);
  const auto [it, is_new] = timestamp_columns_.try_emplace(
      Hash(hash.low64, hash.high64), data_offset_);
  scratch_.clear();
  if (is_new && !column.empty()) {
    scratch_ = column;
  } else if (is_new) {
    PutTimestamps(&scratch_, timestamps);
  }
  const size_t body = scratch_.size();
  put_body(&scratch_);
  ShareBody(body, it->second, timestamps.size(), floats);
  group_.lengths.push_back(static_cast<int64_t>(scratch_.size()));
  group_.timestamp_refs.push_back(is_new ? kInline : it->second);
  data_offset_ += scratch_.size();
  ++series_chunks_;
  return file_->AppendPaged(scratch_);
}

void BlockWriter::ShareBody(size_t begin, uint64_t times, size_t samples,
                            std::span<const double> floats) {
  const std::string_view body = std::string_view(scratch_).substr(begin);
  if (body.size() < kSharedBodyBytesMin) return;
  const XXH128_hash_t xxh =
      XXH3_128bits_withSeed(body.data(), body.size(), hash_seed_ + samples);
  const SharedBodies::Hash hash(xxh.low64, xxh.high64);
  if (const auto place = bodies_.Find(hash)) {
    scratch_.resize(begin);
    PutChunkReference(&scratch_, *place);
    return;
  }
  if (differences_ && !floats.empty()) PutDifference(begin, times, floats);
  bodies_.Add(hash, {data_offset_ + begin, scratch_.size() - begin});
}

void BlockWriter::PutDifference(size_t begin, uint64_t times,
                                std::span<const double> floats) {
  auto integers = ToIntegers(floats);
  if (!integers) return;
  const size_t size = scratch_.size() - begin;
  if (const auto* near = neighbours_.FindNear(times, *integers)) {
    std::vector<int64_t> steps(integers->size());
    for (size_t i = 0; i < steps.size(); ++i) {
      steps[i] = static_cast<int64_t>(static_cast<uint64_t>((*integers)[i]) -
                                      static_cast<uint64_t>(near->integers[i]));
    }
    std::string difference;
    PutChunkDifference(&difference, near->place, steps);
    if (difference.size() <= size - size / 16) {
      scratch_.replace(begin, size, difference);
      return;
    }
  }
  neighbours_.Remember(
      {times, {data_offset_ + begin, size}, *std::move(integers)});
}

void BlockWriter::EndGroup() {
  std::vector<uint64_t> refs = group_.timestamp_refs;
  std::erase(refs, kInline);
  std::sort(refs.begin(), refs.end());
  refs.erase(std::unique(refs.begin(), refs.end()), refs.end());
  std::vector<int64_t> indexes;
  indexes.reserve(group_.timestamp_refs.size());
  for (const uint64_t ref : group_.timestamp_refs) {
    const auto at = std::lower_bound(refs.begin(), refs.end(), ref);
    indexes.push_back(ref == kInline ? 0 : at - refs.begin() + 1);
  }

  PutFixed64(&group_offsets_, directory_.size());
  PutVarint(&directory_, group_.data_offset);
  PutIntColumn(&directory_, group_.chunk_counts);
  PutIntColumn(&directory_, group_.lengths);
  PutVarint(&directory_, refs.size());
  uint64_t last = 0;
  for (const uint64_t ref : refs) {
    PutVarint(&directory_, ref - last);
    last = ref;
  }
  PutIntColumn(&directory_, indexes);
  group_ = Group();
}

absl::StatusOr<BlockInfo> BlockWriter::Finish() {
  if (!group_.chunk_counts.empty()) EndGroup();
  PutFixed64(&group_offsets_, directory_.size());
  VARVE_RETURN_IF_ERROR(file_->EndPaged());
  file_->BeginPaged(SectionKind::kDirectory);
  VARVE_RETURN_IF_ERROR(file_->AppendPaged(directory_));
  VARVE_RETURN_IF_ERROR(file_->EndPaged());
  VARVE_RETURN_IF_ERROR(file_->AddWhole(SectionKind::kGroups, group_offsets_));
  VARVE_RETURN_IF_ERROR(file_->AddWhole(SectionKind::kMeta, EncodeMeta(info_)));
  VARVE_ASSIGN_OR_RETURN(info_.file_bytes, file_->Finish());
  return info_;
}

}  // namespace varve
