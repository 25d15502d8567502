#include "storage/verify_block.h"

#include <limits>

#include "storage/block.h"
#include "storage/block_writer.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

/// Whoever has more to say than this about one file says it is broken.
constexpr int64_t kFindingsPerFileMax = 20;

/// Walks all chunks of a block that can be opened.
class BlockCheck {
 public:
  BlockCheck(std::shared_ptr<const Block> block, Findings* findings)
      : block_(std::move(block)),
        reader_(block_, std::numeric_limits<int64_t>::min(),
                std::numeric_limits<int64_t>::max()),
        findings_(findings) {}

  void Run() {
    const uint32_t series = block_->info().series;
    for (uint32_t s = 0; s < series && found_ < kFindingsPerFileMax; ++s) {
      const auto group = reader_.Group(s);
      if (!group.ok()) {
        const uint32_t first = s - s % kBlockGroupSeries;
        Add(fmt::format("series {} to {}: {}", first,
                        std::min(series, first + kBlockGroupSeries) - 1,
                        Message(group.status())));
        s = first + kBlockGroupSeries - 1;
        continue;
      }
      CheckSeries(s, (*group)->ChunksOf(s));
    }
    if (found_ == 0) CheckTotals();
  }

 private:
  void Add(std::string_view text) {
    ++found_;
    findings_->Damage(block_->path(), text);
    if (found_ == kFindingsPerFileMax) {
      findings_->Damage(block_->path(), "and more of that kind");
    }
  }

  void CheckSeries(uint32_t series, std::span<const Block::Chunk> chunks) {
    if (chunks.empty()) Add(fmt::format("series {} has no chunk", series));
    last_ms_ = std::numeric_limits<int64_t>::min();
    for (const Block::Chunk& chunk : chunks) {
      if (found_ >= kFindingsPerFileMax) return;
      const auto some = reader_.Read(chunk, &columns_);
      if (!some.ok()) {
        Add(fmt::format("series {}: {}", series, Message(some.status())));
        continue;
      }
      if (!*some) {
        Add(fmt::format("series {}: chunk at offset {} of the data is empty",
                        series, chunk.offset));
        continue;
      }
      CheckTimes(series, chunk);
    }
  }

  void CheckTimes(uint32_t series, const Block::Chunk& chunk) {
    const TimeWindow& window = block_->info().window;
    samples_ += columns_.timestamps.size();
    for (const int64_t t : columns_.timestamps) {
      if (t < window.start_ms || t >= window.end_ms || t <= last_ms_) {
        Add(fmt::format(
            "series {}: chunk at offset {} of the data: the time "
            "{} is out of order or outside [{}, {})",
            series, chunk.offset, t, window.start_ms, window.end_ms));
        break;
      }
      last_ms_ = t;
    }
    min_ms_ = std::min(min_ms_, columns_.timestamps.front());
    max_ms_ = std::max(max_ms_, columns_.timestamps.back());
  }

  void CheckTotals() {
    const BlockInfo& info = block_->info();
    if (samples_ != info.samples || min_ms_ != info.min_ms ||
        max_ms_ != info.max_ms) {
      Add(fmt::format(
          "it says that it holds {} samples of {} to {} ms, and "
          "holds {} of {} to {}",
          info.samples, info.min_ms, info.max_ms, samples_, min_ms_, max_ms_));
    }
  }

  const std::shared_ptr<const Block> block_;
  BlockReader reader_;
  Findings* const findings_;
  int64_t found_ = 0;
  SampleColumns columns_;
  int64_t last_ms_ = 0;
  uint64_t samples_ = 0;
  int64_t min_ms_ = std::numeric_limits<int64_t>::max();
  int64_t max_ms_ = std::numeric_limits<int64_t>::min();
};

}  // namespace

bool VerifyBlockFile(FileSystem* fs, const std::string& path,
                     Findings* findings, BlockInfo* info) {
  const int64_t before = findings->damages();
  const auto file = BlockFile::Open(fs, path);
  if (!file.ok()) {
    findings->Damage(path, file.status());
    return false;
  }
  (*file)->Check(
      [&](const absl::Status& status) { findings->Damage(path, status); });
  auto block = Block::Open(fs, path);
  if (!block.ok()) {
    findings->Damage(path, block.status());
    return false;
  }
  *info = (*block)->info();
  BlockCheck(*std::move(block), findings).Run();
  return findings->damages() == before;
}

}  // namespace varve
