#include <limits>

#include "storage/block.h"
#include "storage/repair_parts.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

/// Deletions that the block was not made without.
class Deleted {
 public:
  Deleted(const BlockStore& store, const BlockInfo& info)
      : deletions_(store.deletions()) {
    std::erase_if(deletions_, [&](const DeletionPtr& deletion) {
      return deletion->number <= info.deletions_done;
    });
  }

  void RemoveFrom(const Labels& labels,
                  std::vector<SampleColumns>* chunks) const {
    std::vector<TimeRange> ranges;
    for (const DeletionPtr& deletion : deletions_) {
      if (Selects(deletion->selectors, labels)) {
        AddRange(deletion->range, &ranges);
      }
    }
    for (SampleColumns& chunk : *chunks) RemoveSamples(ranges, &chunk);
    std::erase_if(*chunks, [](const auto& chunk) { return chunk.size() == 0; });
  }

 private:
  std::vector<DeletionPtr> deletions_;
};

/// What could be kept of a block.
struct Saved {
  std::unique_ptr<BlockBuilder> builder;  // null: nothing
  uint64_t series = 0;
  uint64_t samples = 0;
  int64_t chunks_lost = 0;
};

/// The chunks of a series that can be read and come one after the other. An
/// error when a newer version wrote one, for that is no damage.
absl::StatusOr<std::vector<SampleColumns>> ReadableChunks(BlockReader* reader,
                                                          uint32_t series,
                                                          Saved* saved) {
  std::vector<SampleColumns> out;
  const auto group = reader->Group(series);
  if (absl::IsUnimplemented(group.status())) return group.status();
  if (!group.ok()) {
    ++saved->chunks_lost;
    return out;
  }
  const TimeWindow& window = reader->block().info().window;
  int64_t last_ms = std::numeric_limits<int64_t>::min();
  for (const Block::Chunk& chunk : (*group)->ChunksOf(series)) {
    SampleColumns columns;
    const auto some = reader->Read(chunk, &columns);
    if (absl::IsUnimplemented(some.status())) return some.status();
    bool good = some.ok() && *some;
    for (size_t i = 0; good && i < columns.timestamps.size(); ++i) {
      const int64_t t = columns.timestamps[i];
      good = t > last_ms && t >= window.start_ms && t < window.end_ms;
      if (good) last_ms = t;
    }
    if (good) {
      out.push_back(std::move(columns));
    } else {
      ++saved->chunks_lost;
    }
  }
  return out;
}

absl::StatusOr<Saved> Save(const DamagedBlock& damaged, BlockStore* store,
                           FileSystem* fs) {
  Saved saved;
  if (damaged.path.empty() || damaged.rows == nullptr) return saved;
  auto block = Block::Open(fs, damaged.path);
  if (!block.ok()) return saved;
  auto index = IndexReader::Open(damaged.rows, (*block)->info().series);
  if (absl::IsUnimplemented(index.status())) return index.status();
  if (!index.ok()) return saved;
  SeriesLabels labels(*std::move(index));
  BlockReader reader(*block, std::numeric_limits<int64_t>::min(),
                     std::numeric_limits<int64_t>::max());
  const BlockInfo info = (*block)->info();
  VARVE_ASSIGN_OR_RETURN(saved.builder, store->NewBlockInsteadOf({&info, 1}));
  // What is made now says that it was made without all deletions there are.
  const Deleted deleted(*store, damaged.info);
  Labels last;
  for (uint32_t s = 0; s < (*block)->info().series; ++s) {
    auto set = labels.Read(s);
    if (!set.ok() || set->empty()) continue;
    if (saved.series > 0 && !SeriesLess(last, *set)) continue;
    VARVE_ASSIGN_OR_RETURN(auto chunks, ReadableChunks(&reader, s, &saved));
    for (const SampleColumns& c : chunks) saved.samples += c.size();
    deleted.RemoveFrom(*set, &chunks);
    if (chunks.empty()) continue;
    VARVE_RETURN_IF_ERROR(saved.builder->AddSeries(*set, chunks));
    ++saved.series;
    last = *std::move(set);
  }
  if (saved.series == 0) saved.builder.reset();
  return saved;
}

void Report(const DamagedBlock& damaged, const Saved& saved,
            std::string_view name, RepairWork* work) {
  const BlockInfo& info = damaged.info;
  const uint64_t series =
      info.series - std::min<uint64_t>(info.series, saved.series);
  const uint64_t samples = info.samples - std::min(info.samples, saved.samples);
  work->summary.series_lost += static_cast<int64_t>(series);
  work->summary.samples_lost += static_cast<int64_t>(samples);
  if (saved.series == 0) {
    ++work->summary.blocks_lost;
  } else {
    ++work->summary.blocks_rewritten;
  }
  work->Did(name,
            fmt::format("{}: {} of {} series and {} of {} samples of the time "
                        "from {} to {} ms could not be kept: {}",
                        saved.series == 0 ? "set aside" : "written anew",
                        series, info.series, samples, info.samples, info.min_ms,
                        info.max_ms, damaged.reason));
}

}  // namespace

absl::Status RepairBlocks(std::vector<DamagedBlock> damaged, RepairWork* work) {
  // As at every start, opening it removes what the manifest does not name.
  BlockStoreOptions options;
  options.directory = work->options().directory;
  options.fs = work->fs();
  options.clock = work->options().clock;
  options.logger = work->options().logger;
  VARVE_ASSIGN_OR_RETURN(auto store, BlockStore::Open(options));
  for (const DamagedBlock& block : damaged) {
    VARVE_ASSIGN_OR_RETURN(Saved saved, Save(block, store.get(), work->fs()));
    std::vector<std::unique_ptr<BlockBuilder>> builders;
    if (saved.builder != nullptr) builders.push_back(std::move(saved.builder));
    std::vector<BlockInfo> replaced;
    if (block.is_named) replaced.push_back(block.info);
    VARVE_RETURN_IF_ERROR(store->Publish(std::move(builders), replaced, {}));
    Report(block, saved,
           fmt::format("blocks/d{}-p{}.block", block.info.day, block.info.part),
           work);
  }
  return store->Close();
}

}  // namespace varve
