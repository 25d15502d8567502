#include <algorithm>

#include "storage/block_compactor.h"
#include "storage/compaction_plan.h"
#include "storage/db_impl.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

constexpr int64_t kDayMs = int64_t{24} * 3600 * 1000;
constexpr int64_t kRetryNs = int64_t{60} * 1'000'000'000;
/// Left to the log and everybody else while a new block is written.
constexpr uint64_t kFreeBytesMin = uint64_t{64} << 20;

}  // namespace

bool DbImpl::DayIsComplete(int32_t day) const {
  const int64_t end_ms = (int64_t{day} + 1) * kDayMs;
  // The clock counts too: nothing may come after the day's last sample.
  const int64_t now_ms = options_.clock->NowMs();
  const int64_t cutoff_ms =
      std::max(DueCutoff(), now_ms - options_.window_ms * 3 / 2);
  return cutoff_ms >= end_ms && head_->min_ms() >= end_ms;
}

absl::Status DbImpl::CheckRoomFor(std::span<const BlockInfo> blocks) const {
  uint64_t bytes = kFreeBytesMin;
  for (const BlockInfo& info : blocks) {
    bytes += info.file_bytes + info.index_bytes;
  }
  VARVE_ASSIGN_OR_RETURN(const uint64_t free,
                         options_.fs->FreeBytes(options_.directory));
  if (free >= bytes) return absl::OkStatus();
  return ResourceExhausted(
      "merging {} blocks of day {} takes {} bytes, but only {} are free",
      blocks.size(), blocks[0].day, bytes, free);
}

absl::Status DbImpl::CompactPlanned(std::span<const BlockInfo> inputs) {
  VARVE_RETURN_IF_ERROR(CheckRoomFor(inputs));
  CompactOptions options;
  options.cancelled = [this] {
    return stopping_.load(std::memory_order_relaxed);
  };
  CompactReport report;
  const int64_t begin_ns = options_.clock->MonotonicNs();
  const absl::Status status =
      CompactBlocks(blocks_.get(), inputs, options, &report);
  for (const BlockInfo& info : report.damaged) {
    unmergeable_.emplace(info.day, info.part);
    options_.logger.Error("db",
                          "a block is damaged and stays as it is, unmerged: {}",
                          Message(report.damage));
  }
  VARVE_RETURN_IF_ERROR(status);
  compactions_.fetch_add(1, std::memory_order_relaxed);
  const auto add = [](std::atomic<int64_t>* sum, uint64_t n) {
    sum->fetch_add(static_cast<int64_t>(n), std::memory_order_relaxed);
  };
  add(&compaction_bytes_read_, report.bytes_before);
  add(&compaction_bytes_written_, report.bytes_after);
  options_.logger.Info(
      "db",
      "merged {} blocks of day {}: {} series, {} samples, {} bytes instead of "
      "{}, {} chunks copied and {} made, {} ms",
      inputs.size(), inputs[0].day, report.series, report.samples,
      report.bytes_after, report.bytes_before, report.chunks_copied,
      report.chunks_encoded,
      (options_.clock->MonotonicNs() - begin_ns) / 1'000'000);
  return absl::OkStatus();
}

absl::StatusOr<bool> DbImpl::Compact() {
  MutexLock lock(&compact_mutex_);
  blocks_->RemoveUnused();
  const int64_t now_ns = options_.clock->MonotonicNs();
  if (retry_compact_ns_ != 0 && now_ns < retry_compact_ns_) return false;
  retry_compact_ns_ = 0;
  CompactionPlanOptions plan;
  plan.complete = [this](int32_t day) { return DayIsComplete(day); };
  plan.excluded = [unmergeable = unmergeable_](const BlockInfo& info) {
    return unmergeable.contains({info.day, info.part});
  };
  const size_t known_damaged = unmergeable_.size();
  const std::vector<BlockInfo> inputs = PlanCompaction(blocks_->Blocks(), plan);
  if (inputs.empty()) return false;
  const absl::Status status = CompactPlanned(inputs);
  if (status.ok()) return true;
  // The retention was faster, or somebody closes the database.
  if (absl::IsAborted(status)) return true;
  if (absl::IsCancelled(status)) return false;
  compaction_failures_.fetch_add(1, std::memory_order_relaxed);
  // A damaged block is out of the next plan, so that the others go on.
  if (unmergeable_.size() > known_damaged) return true;
  retry_compact_ns_ = now_ns + kRetryNs;
  return status;
}

}  // namespace varve
