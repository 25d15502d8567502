#include "storage/block.h"

#include <algorithm>
#include <atomic>

#include "storage/block_writer.h"
#include "storage/chunk_codec.h"
#include "storage/coding.h"
#include "storage/int_column.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

/// Reading on is worth while when the last read ended near by.
constexpr uint64_t kReadAheadBytes = 8 * kBlockPageBytes;
/// Timestamp columns kept per query and block; a column of 480 is 4 KiB.
constexpr size_t kTimestampColumnsMax = 2048;
/// A column of 65,536 times takes half a megabyte raw.
constexpr uint64_t kTimestampBytesMax = 8 * kBlockChunkSamplesMax + 64;

uint64_t NextTimestampsId() {
  static std::atomic<uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

/// The same error with the place in front.
absl::Status At(const std::string& path, uint64_t offset,
                const absl::Status& status) {
  return absl::Status(
      status.code(), fmt::format("{}: chunk at offset {} of the data: {}", path,
                                 offset, Message(status)));
}

}  // namespace

std::span<const Block::Chunk> Block::Group::ChunksOf(uint32_t series) const {
  const size_t i = series % kBlockGroupSeries;
  return std::span(chunks).subspan(first[i], first[i + 1] - first[i]);
}

absl::StatusOr<std::shared_ptr<const Block>> Block::Open(
    FileSystem* fs, const std::string& path) {
  VARVE_ASSIGN_OR_RETURN(auto file, BlockFile::Open(fs, path));
  std::shared_ptr<Block> block(new Block(std::move(file)));
  VARVE_RETURN_IF_ERROR(block->ReadMeta());
  return std::shared_ptr<const Block>(std::move(block));
}

absl::Status Block::ReadMeta() {
  VARVE_ASSIGN_OR_RETURN(const std::string meta,
                         file_->ReadWhole(SectionKind::kMeta));
  Decoder in(meta);
  info_.day = static_cast<int32_t>(in.ZigZagVarint());
  info_.part = static_cast<uint16_t>(in.VarintAtMost(UINT16_MAX));
  info_.window.start_ms = in.ZigZagVarint();
  info_.window.end_ms = in.ZigZagVarint();
  info_.min_ms = in.ZigZagVarint();
  info_.max_ms = in.ZigZagVarint();
  info_.series = static_cast<uint32_t>(in.VarintAtMost(UINT32_MAX));
  info_.samples = in.Varint();
  info_.file_bytes = file_->size();
  info_.order = info_.part;
  if (in.remaining() > 0) {
    info_.order = static_cast<uint16_t>(in.VarintAtMost(UINT16_MAX));
  }
  // Later versions may add fields behind these.
  if (!in.ok()) return DataLoss("{}: malformed meta section", path());

  VARVE_ASSIGN_OR_RETURN(const std::string groups,
                         file_->ReadWhole(SectionKind::kGroups));
  VARVE_ASSIGN_OR_RETURN(data_, file_->OpenPaged(SectionKind::kData));
  VARVE_ASSIGN_OR_RETURN(directory_, file_->OpenPaged(SectionKind::kDirectory));
  const uint64_t count =
      (uint64_t{info_.series} + kBlockGroupSeries - 1) / kBlockGroupSeries + 1;
  bool good = groups.size() == 8 * count;
  uint64_t last = 0;
  for (uint64_t i = 0; good && i < count; ++i) {
    const uint64_t offset = LoadFixed64(groups.data() + 8 * i);
    good = offset >= last && offset <= directory_->size();
    group_offsets_.push_back(offset);
    last = offset;
  }
  return good ? absl::OkStatus()
              : DataLoss("{}: malformed groups section", path());
}

absl::StatusOr<std::shared_ptr<const Block::Group>> Block::ReadGroup(
    uint32_t series) const {
  const uint32_t number = series / kBlockGroupSeries;
  const uint64_t offset = group_offsets_[number];
  std::string bytes;
  VARVE_RETURN_IF_ERROR(
      directory_->Read(offset, group_offsets_[number + 1] - offset, &bytes));
  const uint32_t in_group =
      std::min(kBlockGroupSeries, info_.series - number * kBlockGroupSeries);
  auto group = std::make_shared<Group>();
  VARVE_RETURN_IF_ERROR(ParseGroup(bytes, in_group, group.get()));
  return std::shared_ptr<const Group>(std::move(group));
}

absl::Status Block::ParseGroup(std::string_view bytes, size_t series,
                               Group* group) const {
  const absl::Status malformed = DataLoss("{}: malformed directory", path());
  Decoder in(bytes);
  uint64_t offset = in.Varint();
  std::vector<int64_t> counts(series);
  VARVE_RETURN_IF_ERROR(GetIntColumn(&in, counts));
  group->first.push_back(0);
  uint64_t chunks = 0;
  for (const int64_t count : counts) {
    // A chunk holds a byte of data at least.
    if (count < 0 || static_cast<uint64_t>(count) > data_->size()) {
      return malformed;
    }
    chunks += static_cast<uint64_t>(count);
    if (chunks > std::min<uint64_t>(data_->size(), UINT32_MAX)) {
      return malformed;
    }
    group->first.push_back(static_cast<uint32_t>(chunks));
  }
  std::vector<int64_t> lengths(chunks);
  VARVE_RETURN_IF_ERROR(GetIntColumn(&in, lengths));
  std::vector<uint64_t> refs(in.VarintAtMost(in.remaining()));
  uint64_t last = 0;
  for (uint64_t& ref : refs) ref = last += in.Varint();
  std::vector<int64_t> indexes(chunks);
  VARVE_RETURN_IF_ERROR(GetIntColumn(&in, indexes));
  if (!in.done()) return malformed;

  group->chunks.resize(chunks);
  for (size_t i = 0; i < chunks; ++i) {
    Chunk& chunk = group->chunks[i];
    const auto length = static_cast<uint64_t>(lengths[i]);
    const auto index = static_cast<uint64_t>(indexes[i]);
    if (offset > data_->size() || length > data_->size() - offset ||
        index > refs.size()) {
      return malformed;
    }
    chunk = {offset, length, index == 0 ? offset : refs[index - 1]};
    if (chunk.timestamps > data_->size()) return malformed;
    offset += length;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const Block::Group>> BlockReader::Group(
    uint32_t series) {
  const uint32_t number = series / kBlockGroupSeries;
  {
    MutexLock lock(&mutex_);
    if (group_number_ == number) return group_;
  }
  VARVE_ASSIGN_OR_RETURN(auto group, block_->ReadGroup(series));
  MutexLock lock(&mutex_);
  group_number_ = number;
  group_ = group;
  return group;
}

absl::Status BlockReader::ReadWindow(uint64_t offset, uint64_t size, bool ahead,
                                     Window* window) const {
  const PagedSection& data = block_->data();
  const uint64_t begin = offset - offset % kBlockPageBytes;
  const uint64_t need = offset + size - begin;
  const uint64_t pages = (need + kBlockPageBytes - 1) / kBlockPageBytes;
  const uint64_t need_end =
      std::min(data.size(), begin + pages * kBlockPageBytes);
  const uint64_t ahead_end = std::min(data.size(), begin + kReadAheadBytes);
  window->offset = begin;
  std::string* bytes = window->bytes.get();
  if (ahead && ahead_end > need_end &&
      data.ReadPages(begin, ahead_end - begin, bytes).ok()) {
    return absl::OkStatus();
  }
  // Also when a page further ahead is damaged: the one that is wanted may be
  // well.
  return data.ReadPages(begin, need_end - begin, bytes);
}

/// The window that was not used for the longest time, with the memory of it if
/// nobody has a view of it: large buffers cost more to make than to fill.
BlockReader::Window BlockReader::TakeOldest() {
  MutexLock lock(&mutex_);
  Window& oldest = *std::min_element(
      windows_.begin(), windows_.end(),
      [](const Window& a, const Window& b) { return a.used < b.used; });
  Window taken = std::move(oldest);
  oldest = Window();
  // Copying the pointer synchronizes with those who have let go of theirs.
  const std::shared_ptr<std::string> copy = taken.bytes;
  if (copy == nullptr || copy.use_count() > 2) {
    taken.bytes = std::make_shared<std::string>();
  }
  return taken;
}

void BlockReader::PutBack(Window window) {
  MutexLock lock(&mutex_);
  window.used = ++uses_;
  *std::min_element(windows_.begin(), windows_.end(),
                    [](const Window& a, const Window& b) {
                      return a.used < b.used;
                    }) = std::move(window);
}

absl::StatusOr<BlockReader::View> BlockReader::ReadData(uint64_t offset,
                                                        uint64_t size) {
  if (offset > block_->data().size() || size > block_->data().size() - offset) {
    return DataLoss("{}: chunk at {} lies beyond the data", block_->path(),
                    offset);
  }
  bool ahead = false;
  {
    MutexLock lock(&mutex_);
    for (Window& window : windows_) {
      if (window.bytes == nullptr) continue;
      const uint64_t end = window.offset + window.bytes->size();
      if (offset >= window.offset && offset + size <= end) {
        window.used = ++uses_;
        return View{std::string_view(*window.bytes)
                        .substr(offset - window.offset, size),
                    window.bytes};
      }
      ahead |= offset + size > end && offset < end + kBlockPageBytes;
    }
  }
  Window read = TakeOldest();
  VARVE_RETURN_IF_ERROR(ReadWindow(offset, size, ahead, &read));
  View view{std::string_view(*read.bytes).substr(offset - read.offset, size),
            read.bytes};
  PutBack(std::move(read));
  return view;
}

absl::StatusOr<BlockReader::TimestampsPtr> BlockReader::DecodeTimestamps(
    uint64_t offset, std::string_view bytes) const {
  auto column = std::make_shared<TimestampColumn>();
  Decoder in(bytes);
  if (const absl::Status s = GetTimestamps(&in, &column->timestamps); !s.ok()) {
    return At(block_->path(), offset, s);
  }
  std::vector<int64_t>& times = column->timestamps;
  column->bytes = in.offset();
  column->count = times.size();
  column->id = NextTimestampsId();
  const auto end = std::upper_bound(times.begin(), times.end(), end_ms_);
  times.erase(end, times.end());
  const auto begin = std::lower_bound(times.begin(), times.end(), start_ms_);
  column->begin = static_cast<size_t>(begin - times.begin());
  times.erase(times.begin(), begin);
  return TimestampsPtr(std::move(column));
}

absl::StatusOr<BlockReader::TimestampsPtr> BlockReader::Timestamps(
    const Block::Chunk& chunk, std::string_view chunk_bytes) {
  {
    MutexLock lock(&mutex_);
    const auto it = timestamps_.find(chunk.timestamps);
    if (it != timestamps_.end()) return it->second;
  }
  TimestampsPtr column;
  if (chunk.has_timestamps()) {
    VARVE_ASSIGN_OR_RETURN(column, DecodeTimestamps(chunk.offset, chunk_bytes));
  } else {
    // How long it is, only it knows: at first a page, then all it may be.
    const uint64_t left = block_->data().size() - chunk.timestamps;
    for (const uint64_t size : {uint64_t{2048}, kTimestampBytesMax}) {
      VARVE_ASSIGN_OR_RETURN(const View view,
                             ReadData(chunk.timestamps, std::min(left, size)));
      auto decoded = DecodeTimestamps(chunk.timestamps, view.bytes);
      if (!decoded.ok() && size < left && size < kTimestampBytesMax) continue;
      VARVE_ASSIGN_OR_RETURN(column, std::move(decoded));
      break;
    }
  }
  MutexLock lock(&mutex_);
  if (timestamps_.size() >= kTimestampColumnsMax) timestamps_.clear();
  return timestamps_.try_emplace(chunk.timestamps, std::move(column))
      .first->second;
}

absl::StatusOr<BlockReader::RawChunk> BlockReader::ReadRaw(
    const Block::Chunk& chunk) {
  VARVE_ASSIGN_OR_RETURN(View view, ReadData(chunk.offset, chunk.length));
  RawChunk raw;
  raw.body = view.bytes;
  raw.pins[0] = std::move(view.pin);
  VARVE_ASSIGN_OR_RETURN(raw.times, Timestamps(chunk, raw.body));
  if (chunk.has_timestamps()) {
    raw.column = raw.body.substr(0, raw.times->bytes);
    raw.body.remove_prefix(raw.column.size());
  }
  VARVE_RETURN_IF_ERROR(Follow(chunk, &raw));
  return raw;
}

absl::Status BlockReader::Follow(const Block::Chunk& chunk, RawChunk* raw) {
  for (size_t k = 1; k < raw->pins.size(); ++k) {
    if (ChunkFormOf(raw->body) == ChunkForm::kItself) return absl::OkStatus();
    const auto reference = GetChunkReference(raw->body);
    if (!reference.ok()) {
      return At(block_->path(), chunk.offset, reference.status());
    }
    VARVE_ASSIGN_OR_RETURN(View body, ReadReference(chunk.offset, *reference));
    // Only the last step may be a difference.
    const bool last = !reference->differences.empty();
    if (last ? ChunkFormOf(body.bytes) != ChunkForm::kItself
             : ChunkFormOf(body.bytes) == ChunkForm::kSame) {
      return At(
          block_->path(), chunk.offset,
          DataLoss("reference to a reference at {}", reference->place.offset));
    }
    raw->differences = reference->differences;
    raw->body = body.bytes;
    raw->pins[k] = std::move(body.pin);
  }
  return absl::OkStatus();
}

absl::StatusOr<BlockReader::View> BlockReader::ReadReference(
    uint64_t offset, const ChunkReference& reference) {
  const ChunkPlace& place = reference.place;
  // It stands before the chunk, where every writer puts it.
  if (place.offset >= offset || place.length > offset - place.offset) {
    return At(
        block_->path(), offset,
        DataLoss("reference to {} bytes at {}", place.length, place.offset));
  }
  return ReadData(place.offset, place.length);
}

absl::StatusOr<bool> BlockReader::Read(const Block::Chunk& chunk,
                                       SampleColumns* out) {
  VARVE_ASSIGN_OR_RETURN(const RawChunk raw, ReadRaw(chunk));
  return Decode(chunk, raw, out);
}

absl::StatusOr<bool> BlockReader::Decode(const Block::Chunk& chunk,
                                         const RawChunk& raw,
                                         SampleColumns* out) const {
  const TimestampColumn* column = raw.times.get();
  if (column->timestamps.empty()) {
    out->Clear();
    return false;
  }
  absl::Status s = GetChunk(raw.body, column->count, out, presence_only_);
  // Whatever the integers are, they are no stale markers.
  if (s.ok() && !raw.differences.empty() && !presence_only_) {
    s = AddDifferences(raw.differences, out);
  }
  if (!s.ok()) {
    out->Clear();
    return At(block_->path(), chunk.offset, s);
  }
  const size_t size = column->timestamps.size();
  const auto cut = [&](auto* values) {
    if (values->empty() || values->size() == size) return;
    values->erase(values->begin(),
                  values->begin() + static_cast<ptrdiff_t>(column->begin));
    values->resize(size);
  };
  cut(&out->values);
  cut(&out->histograms);
  cut(&out->start_timestamps);
  // They are there already if `out` is what a neighbour's chunk was read into.
  if (out->timestamps_id != column->id) out->timestamps = column->timestamps;
  out->timestamps_id = column->id;
  return true;
}

}  // namespace varve
