#include <algorithm>
#include <limits>
#include <optional>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "storage/db_impl.h"
#include "storage/retention_plan.h"
#include "storage/status_macros.h"

namespace varve {

// How a seal keeps every acknowledged sample, whenever it is interrupted:
//
//   1. The log is rotated while no commit is under way: what stands in a
//      segment before P is in the head.
//   2. The head's chunks of the windows are closed and written as blocks; they
//      stay in the head.
//   3. The blocks and the marks {window, P} are published in one step: from
//      here on replay leaves out samples of these windows in segments before P.
//   4. The head lets go of exactly the chunks that were written.
//   5. A checkpoint takes over what is still in the head, and the log before it
//      is deleted.
//
// A sample that comes for the window meanwhile stands in P or later, and is
// sealed later, in another block. If it made it into step 2, a replay stores it
// once more, and the merge of head and blocks makes one of the two.

namespace {

constexpr int64_t kDayMs = int64_t{24} * 3600 * 1000;
/// Windows sealed in one step: bounds the memory of a backfill.
constexpr int64_t kWindowsPerStep = 12;
constexpr int kStepsMax = 10'000;
/// So many samples out of order are not left waiting for the next window.
constexpr int64_t kLateSamplesMax = 1'000'000;
constexpr int64_t kRetryNs = int64_t{15} * 1'000'000'000;
/// Appenders are held up for so long at most by the collection of series.
constexpr auto kCollectPatience = std::chrono::milliseconds(100);

/// Gives what a seal has freed back to the system: small pieces between live
/// ones, which the allocator would keep.
void ReturnMemory() {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

}  // namespace

int64_t DbImpl::DueCutoff() const {
  const int64_t newest = head_->max_ms();
  if (newest == std::numeric_limits<int64_t>::min()) return newest;
  const int64_t window = options_.window_ms;
  return WindowOf(newest - window / 2, window) * window;
}

absl::Status DbImpl::PublishSeal(const HeadSeal& seal, uint64_t segment) {
  std::vector<std::unique_ptr<BlockBuilder>> builders;
  std::vector<SealMark> marks;
  for (int64_t start : seal.windows()) {
    VARVE_ASSIGN_OR_RETURN(
        auto builder, blocks_->NewBlock({start, start + options_.window_ms}));
    VARVE_RETURN_IF_ERROR(seal.ForEachSeries(
        start, [&](const Labels& labels, std::span<const SampleColumns> c) {
          return builder->AddSeries(labels, c);
        }));
    builders.push_back(std::move(builder));
    marks.push_back({start, segment});
  }
  if (builders.empty()) return absl::OkStatus();
  return blocks_->Publish(std::move(builders), {}, marks);
}

absl::Status DbImpl::SealStep(int64_t cutoff_ms) {
  uint64_t segment = 0;
  {
    RoomGuard room(&commits_, TwoRooms::kSecond);
    VARVE_ASSIGN_OR_RETURN(segment, wal_->Rotate());
  }
  const std::unique_ptr<HeadSeal> seal = head_->BeginSeal(cutoff_ms);
  VARVE_RETURN_IF_ERROR(PublishSeal(*seal, segment));
  head_->FinishSeal(*seal);
  return absl::OkStatus();
}

absl::Status DbImpl::SealBefore(int64_t cutoff_ms) {
  const int64_t step = kWindowsPerStep * options_.window_ms;
  bool stepped = false;
  const auto run =
      [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(maintain_mutex_) -> absl::Status {
    for (int i = 0; i < kStepsMax && head_->min_ms() < cutoff_ms; ++i) {
      const int64_t first =
          WindowOf(head_->min_ms(), options_.window_ms) * options_.window_ms;
      VARVE_RETURN_IF_ERROR(SealStep(std::min(cutoff_ms, first + step)));
      stepped = true;
    }
    return absl::OkStatus();
  };
  const absl::Status status = run();
  last_seal_ns_ = options_.clock->MonotonicNs();
  if (!status.ok()) {
    seal_failures_.fetch_add(1, std::memory_order_relaxed);
    retry_seal_ns_ = last_seal_ns_ + kRetryNs;
    options_.logger.Error("db", "seal: {}; the samples stay in the head",
                          Message(status));
    return status;
  }
  seals_.fetch_add(1, std::memory_order_relaxed);
  retry_seal_ns_ = 0;
  CollectIdleSeries();
  const absl::Status checkpoint =
      stepped ? WriteCheckpoint() : absl::OkStatus();
  ReturnMemory();
  return checkpoint;
}

void DbImpl::CollectIdleSeries() {
  const int64_t idle_before_ms = DueCutoff();
  const std::vector<SeriesRef> idle = head_->IdleSeries(idle_before_ms);
  if (idle.empty() ||
      !appenders_.EnterWithin(TwoRooms::kSecond, kCollectPatience)) {
    return;
  }
  const int64_t n = head_->Collect(idle, idle_before_ms, wal_->segment());
  if (n > 0) epoch_.fetch_add(1, std::memory_order_acq_rel);
  appenders_.Leave(TwoRooms::kSecond);
  options_.logger.Info("db", "dropped {} idle series from the head", n);
}

bool DbImpl::SealIsDue(int64_t cutoff_ms) {
  if (head_->min_ms() >= cutoff_ms) return false;
  const int64_t now_ns = options_.clock->MonotonicNs();
  if (retry_seal_ns_ != 0) return now_ns >= retry_seal_ns_;
  if (cutoff_ms > due_cutoff_ms_) return true;
  // Only samples out of order wait: a block for each few would be waste.
  return now_ns - last_seal_ns_ >= options_.window_ms * 1'000'000 ||
         head_->SideSamplesBefore(cutoff_ms) >= kLateSamplesMax;
}

absl::StatusOr<bool> DbImpl::ApplyRetention() {
  const auto other_bytes =
      static_cast<uint64_t>(wal_->stats().bytes + checkpoint_bytes_.load());
  RetentionPlan plan = PlanRetention(blocks_->Blocks(), other_bytes,
                                     retention(), options_.clock->NowMs());
  const auto drop = [this](std::span<const BlockInfo> blocks,
                           std::string_view what) -> absl::StatusOr<int> {
    if (blocks.empty()) return 0;
    VARVE_ASSIGN_OR_RETURN(const int n, blocks_->Drop(blocks));
    options_.logger.Info("db", "dropped {} blocks beyond the {}", n, what);
    return n;
  };
  VARVE_ASSIGN_OR_RETURN(int dropped, drop(plan.expired, "retention time"));
  dropped_by_time_.fetch_add(dropped, std::memory_order_relaxed);
  VARVE_ASSIGN_OR_RETURN(int more, drop(plan.too_much, "retention size"));
  dropped_by_size_.fetch_add(more, std::memory_order_relaxed);
  return dropped + more > 0;
}

absl::Status DbImpl::Flush() {
  MutexLock lock(&maintain_mutex_);
  const int64_t newest = head_->max_ms();
  if (newest == std::numeric_limits<int64_t>::min()) return absl::OkStatus();
  const int64_t window = options_.window_ms;
  return SealBefore((WindowOf(newest, window) + 1) * window);
}

absl::StatusOr<bool> DbImpl::MaintainHead() {
  VARVE_RETURN_IF_ERROR(wal_->SyncIfDue());
  MutexLock lock(&maintain_mutex_);
  VARVE_ASSIGN_OR_RETURN(bool done, ApplyRetention());
  const int64_t cutoff_ms = DueCutoff();
  if (SealIsDue(cutoff_ms)) {
    VARVE_RETURN_IF_ERROR(SealBefore(cutoff_ms));
    due_cutoff_ms_ = cutoff_ms;
    done = true;
  }
  if (CheckpointIsDue()) {
    VARVE_RETURN_IF_ERROR(WriteCheckpoint());
    done = true;
  }
  return done;
}

}  // namespace varve
