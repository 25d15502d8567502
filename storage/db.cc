#include "storage/db.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <limits>

#include "storage/check.h"
#include "storage/db_directory.h"
#include "storage/db_impl.h"
#include "storage/db_source.h"
#include "storage/histogram_check.h"
#include "storage/status_macros.h"
#include "storage/wal_record.h"

namespace varve {
namespace {

WalOptions WalOptionsOf(const DbOptions& options) {
  WalOptions out;
  out.directory = options.directory + "/wal";
  out.fs = options.fs;
  out.clock = options.clock;
  out.logger = options.logger;
  out.fsync = options.wal_fsync;
  out.segment_bytes = options.wal_segment_bytes;
  out.progress = options.progress;
  return out;
}

absl::Status CheckOptions(const DbOptions& options) {
  constexpr int64_t kDayMs = int64_t{24} * 3600 * 1000;
  if (options.directory.empty()) {
    return InvalidArgument("no directory was given for the data");
  }
  if (options.window_ms < 60'000 || options.window_ms > kDayMs ||
      kDayMs % options.window_ms != 0) {
    return InvalidArgument(
        "a sealed window of {} ms: it must divide a day and be at least a "
        "minute",
        options.window_ms);
  }
  if (options.retention.time_ms < 0) {
    return InvalidArgument("a retention of {} ms: it must not be negative",
                           options.retention.time_ms);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Db>> Db::Open(const DbOptions& options) {
  VARVE_RETURN_IF_ERROR(CheckOptions(options));
  auto db = std::make_unique<DbImpl>(options);
  VARVE_RETURN_IF_ERROR(db->Start());
  return db;
}

DbImpl::DbImpl(const DbOptions& options) : options_(options) {
  SetOutOfOrderWindow(options.out_of_order_window_ms);
  SetRetention(options.retention);
}

DbImpl::~DbImpl() { (void)Close(); }

absl::Status DbImpl::Start() {
  VARVE_ASSIGN_OR_RETURN(lock_,
                         ClaimDirectory(options_.fs, options_.directory));
  RemoveUnfinishedSnapshots();
  head_ = std::make_unique<Head>(options_.window_ms);
  VARVE_RETURN_IF_ERROR(OpenBlocks());
  VARVE_RETURN_IF_ERROR(Replay());
  source_ =
      MakeDbSource(head_.get(), blocks_.get(), options_.clock, &retention_ms_);
  if (options_.background) {
    maintenance_ = std::thread([this] {
      RunInBackground("maintenance", [this] { return MaintainHead(); });
    });
    // A thread of its own: merging a day takes long, and no seal waits for it.
    compaction_ = std::thread([this] {
      RunInBackground("compaction", [this] { return Compact(); });
    });
    sync_ = std::thread([this] { RunSync(); });
  }
  return absl::OkStatus();
}

absl::Status DbImpl::OpenBlocks() {
  BlockStoreOptions options;
  options.directory = options_.directory;
  options.fs = options_.fs;
  options.clock = options_.clock;
  options.logger = options_.logger;
  VARVE_ASSIGN_OR_RETURN(blocks_, BlockStore::Open(options));
  return absl::OkStatus();
}

absl::Status DbImpl::Replay() {
  const int64_t begin_ns = options_.clock->MonotonicNs();
  const WalOptions wal_options = WalOptionsOf(options_);
  const std::vector<SealMark> marks = blocks_->seal_marks();
  const std::vector<DeletionPtr> deletions = blocks_->deletions();
  VARVE_RETURN_IF_ERROR(ReplayWal(wal_options, marks, deletions,
                                  retention().StartMs(options_.clock->NowMs()),
                                  head_.get(), &replay_));
  // What comes now must not stand in segments that marks and deletions are
  // about, although those may be gone: a snapshot may have no log, and nothing
  // of an unsynced one may be left.
  uint64_t& newest = replay_.wal.segment_max;
  for (const SealMark& mark : marks) {
    newest = std::max(newest, std::max<uint64_t>(mark.wal_segment, 1) - 1);
  }
  for (const DeletionPtr& deletion : deletions) {
    newest = std::max(newest, std::max<uint64_t>(deletion->wal_segment, 1) - 1);
  }
  {
    MutexLock lock(&maintain_mutex_);
    checkpoint_segment_ = replay_.wal.checkpoint;
  }
  checkpoint_bytes_.store(replay_.wal.checkpoint_bytes);
  VARVE_ASSIGN_OR_RETURN(wal_, Wal::Open(wal_options, replay_.wal));
  std::string payload;
  for (SeriesRef ref : replay_.moved) {
    payload.clear();
    EncodeSeries(ref, head_->LabelsOf(ref), &payload);
    VARVE_RETURN_IF_ERROR(wal_->LogSeries(payload));
  }
  if (replay_.deleted > 0) {
    MutexLock lock(&maintain_mutex_);
    CollectIdleSeries();
  }
  replay_seconds_ =
      static_cast<double>(options_.clock->MonotonicNs() - begin_ns) * 1e-9;
  options_.logger.Info(
      "db", "replayed {} records, {} samples of {} series in {:.3f} s",
      replay_.wal.records, replay_.samples, head_->table().size(),
      replay_seconds_);
  if (replay_.unknown_refs > 0 || replay_.malformed > 0) {
    options_.logger.Warn("db",
                         "replay left out {} samples of series without a "
                         "record and {} malformed records",
                         replay_.unknown_refs, replay_.malformed);
  }
  return absl::OkStatus();
}

// ------------------------------------------------------------------ writing

/// Holds the appenders' room, so that no series is collected meanwhile.
class DbAppender final : public Appender {
 public:
  explicit DbAppender(DbImpl* db)
      : db_(db),
        room_(&db->appenders_, TwoRooms::kFirst),
        epoch_(db->series_epoch()),
        scratch_(db->TakeScratch()) {}
  ~DbAppender() override { db_->ReturnScratch(std::move(scratch_)); }

  uint64_t series_epoch() const override { return epoch_; }
  absl::StatusOr<SeriesRef> Resolve(const Labels& labels) override {
    return db_->Resolve(labels);
  }
  const Labels LabelsOf(SeriesRef ref) const override {
    return db_->head_->LabelsOf(ref);
  }
  WriteBatch& batch() override { return scratch_->batch; }
  absl::StatusOr<WriteResult> Commit() override {
    auto result = db_->Commit(scratch_.get());
    scratch_->batch.Clear();
    return result;
  }

 private:
  DbImpl* const db_;
  RoomGuard room_;
  const uint64_t epoch_;
  std::unique_ptr<DbImpl::Scratch> scratch_;
};

std::unique_ptr<Appender> DbImpl::BeginAppend() {
  return std::make_unique<DbAppender>(this);
}

std::unique_ptr<DbImpl::Scratch> DbImpl::TakeScratch() {
  MutexLock lock(&scratch_mutex_);
  if (scratch_.empty()) return std::make_unique<Scratch>();
  std::unique_ptr<Scratch> scratch = std::move(scratch_.back());
  scratch_.pop_back();
  return scratch;
}

void DbImpl::ReturnScratch(std::unique_ptr<Scratch> scratch) {
  constexpr size_t kKept = 16;
  constexpr size_t kSamplesMax = size_t{1} << 16;
  if (scratch->batch.refs.capacity() > kSamplesMax ||
      scratch->payload.capacity() > kSamplesMax * 40) {
    return;
  }
  scratch->batch.Clear();
  MutexLock lock(&scratch_mutex_);
  if (scratch_.size() < kKept) scratch_.push_back(std::move(scratch));
}

absl::StatusOr<SeriesRef> DbImpl::Resolve(const Labels& labels) {
  if (labels.empty()) return InvalidArgument("a series without labels");
  if (labels.packed().size() > kLabelSetBytesMax) {
    return InvalidArgument("the labels are too long: {} bytes, at most {}",
                           labels.packed().size(), kLabelSetBytesMax);
  }
  return head_->table().Resolve(labels, [this](SeriesRef ref, const Labels& l) {
    std::string payload;
    EncodeSeries(ref, l, &payload);
    return wal_->LogSeries(payload);
  });
}

namespace {

void Reject(WriteResult* result, Rejection reason, SeriesRef ref, int64_t t) {
  constexpr size_t kExamplesMax = 10;
  ++result->rejected[static_cast<size_t>(reason)];
  if (result->examples.size() < kExamplesMax) {
    result->examples.push_back({reason, ref, t});
  }
}

/// Keeps the float samples for which `keep(i)` is true.
template <typename Keep>
void FilterFloats(WriteBatch* batch, const Keep& keep) {
  size_t kept = 0;
  const bool with_start = !batch->start_timestamps.empty();
  for (size_t i = 0; i < batch->refs.size(); ++i) {
    if (!keep(i)) continue;
    batch->refs[kept] = batch->refs[i];
    batch->timestamps[kept] = batch->timestamps[i];
    batch->values[kept] = batch->values[i];
    if (with_start) {
      batch->start_timestamps[kept] = batch->start_timestamps[i];
    }
    ++kept;
  }
  batch->refs.resize(kept);
  batch->timestamps.resize(kept);
  batch->values.resize(kept);
  if (with_start) batch->start_timestamps.resize(kept);
}

}  // namespace

CommitRange DbImpl::Filter(WriteBatch* batch, WriteResult* result) const {
  const int64_t now = options_.clock->NowMs();
  const int64_t too_far =
      std::min(now + options_.ahead_ms_max, Head::kTimeMax - 1);
  const int64_t too_old =
      std::max(retention().StartMs(now), -Head::kTimeMax + 1);
  const bool ordered = has_out_of_order_window_.load(std::memory_order_relaxed);
  const int64_t window =
      out_of_order_window_ms_.load(std::memory_order_relaxed);
  const auto keep = [&](SeriesRef ref, int64_t t) {
    if (t > too_far) {
      Reject(result, Rejection::kTooFarAhead, ref, t);
      return false;
    }
    bool old = t < too_old;
    if (ordered && !old) {
      const int64_t newest = head_->NewestOf(ref);
      old = newest > std::numeric_limits<int64_t>::min() && t < newest - window;
    }
    if (old) Reject(result, Rejection::kTooOld, ref, t);
    return !old;
  };
  int64_t min_ms = std::numeric_limits<int64_t>::max();
  int64_t max_ms = std::numeric_limits<int64_t>::min();
  for (int64_t t : batch->timestamps) {
    min_ms = std::min(min_ms, t);
    max_ms = std::max(max_ms, t);
  }
  if (ordered || min_ms < too_old || max_ms > too_far) {
    FilterFloats(batch, [&](size_t i) {
      return keep(batch->refs[i], batch->timestamps[i]);
    });
  }
  std::erase_if(batch->histograms, [&](const WriteBatch::HistogramSample& s) {
    if (s.histogram == nullptr || !IsValidHistogram(*s.histogram)) {
      Reject(result, Rejection::kHistogram, s.ref, s.timestamp_ms);
      return true;
    }
    return !keep(s.ref, s.timestamp_ms);
  });
  std::erase_if(batch->metadata, [&](const WriteBatch::FamilyMetadata& m) {
    return !head_->MetadataDiffers(m);
  });
  // The order of metadata and exemplars counts as well; they are few.
  if (!batch->metadata.empty() || !batch->exemplars.empty()) return {};
  CommitRange range{kNoSeries, 0, min_ms, max_ms};
  for (const SeriesRef ref : batch->refs) {
    range.min_ref = std::min(range.min_ref, ref);
    range.max_ref = std::max(range.max_ref, ref);
  }
  for (const WriteBatch::HistogramSample& s : batch->histograms) {
    range.min_ref = std::min(range.min_ref, s.ref);
    range.max_ref = std::max(range.max_ref, s.ref);
    range.min_ms = std::min(range.min_ms, s.timestamp_ms);
    range.max_ms = std::max(range.max_ms, s.timestamp_ms);
  }
  return range;
}

absl::StatusOr<WriteResult> DbImpl::Commit(Scratch* scratch) {
  WriteResult result;
  WriteBatch& batch = scratch->batch;
  VARVE_CHECK(batch.refs.size() == batch.timestamps.size() &&
              batch.refs.size() == batch.values.size());
  const CommitRange range = Filter(&batch, &result);
  if (batch.size() > 0 || !batch.exemplars.empty() || !batch.metadata.empty()) {
    // A sample that is in the log is in the head before the log is rotated for
    // a seal. Of different values for one series and time the first in the log
    // wins, here as in a replay.
    RoomGuard room(&commits_, TwoRooms::kFirst);
    EncodeCommit(batch, &scratch->payload);
    CommitTurn turn(wal_.get(), range);
    VARVE_RETURN_IF_ERROR(wal_->LogCommit(scratch->payload, &turn).status());
    head_->Apply(batch, &result);
  }
  for (size_t i = 0; i < std::size(rejected_); ++i) {
    if (result.rejected[i] > 0) {
      rejected_[i].fetch_add(result.rejected[i], std::memory_order_relaxed);
    }
  }
  return result;
}

void DbImpl::SetOutOfOrderWindow(std::optional<int64_t> window_ms) {
  out_of_order_window_ms_.store(window_ms.value_or(0));
  has_out_of_order_window_.store(window_ms.has_value());
}

void DbImpl::SetRetention(const RetentionPolicy& policy) {
  retention_ms_.store(policy.time_ms, std::memory_order_relaxed);
  retention_bytes_.store(policy.bytes, std::memory_order_relaxed);
}

// ------------------------------------------------------------------ reading

std::vector<std::pair<std::string, Metadata>> DbImpl::FamilyMetadata() const {
  return head_->AllMetadata();
}

absl::StatusOr<std::vector<ExemplarSeries>> DbImpl::Exemplars(
    std::span<const std::vector<Matcher>> selectors, int64_t start_ms,
    int64_t end_ms) const {
  return head_->exemplars().Select(selectors, start_ms, end_ms);
}

DbStats DbImpl::Stats() const {
  DbStats stats;
  head_->FillStats(&stats);
  for (size_t i = 0; i < std::size(rejected_); ++i) {
    stats.samples_rejected[i] = rejected_[i].load(std::memory_order_relaxed);
  }
  const WalStats wal = wal_->stats();
  stats.wal_bytes = wal.bytes;
  stats.wal_segments = wal.segments;
  stats.wal_fsyncs = wal.fsyncs;
  stats.wal_corruptions = replay_.wal.corruptions + replay_.malformed;
  stats.replay_records = replay_.wal.records;
  stats.replay_seconds = replay_seconds_;
  stats.checkpoints = checkpoints_.load(std::memory_order_relaxed);
  stats.checkpoint_failures =
      checkpoint_failures_.load(std::memory_order_relaxed);
  stats.blocks_dropped_by_time =
      dropped_by_time_.load(std::memory_order_relaxed);
  stats.blocks_dropped_by_size =
      dropped_by_size_.load(std::memory_order_relaxed);
  stats.checkpoint_bytes = checkpoint_bytes_.load(std::memory_order_relaxed);
  stats.checkpoint_seconds =
      checkpoint_seconds_.load(std::memory_order_relaxed);
  stats.seals = seals_.load(std::memory_order_relaxed);
  stats.seal_failures = seal_failures_.load(std::memory_order_relaxed);
  stats.compactions = compactions_.load(std::memory_order_relaxed);
  stats.compaction_failures =
      compaction_failures_.load(std::memory_order_relaxed);
  stats.compaction_bytes_read =
      compaction_bytes_read_.load(std::memory_order_relaxed);
  stats.compaction_bytes_written =
      compaction_bytes_written_.load(std::memory_order_relaxed);
  stats.deletions = deletions_.load(std::memory_order_relaxed);
  stats.deletions_pending = static_cast<int64_t>(blocks_->deletions().size());
  stats.head_samples_deleted =
      head_samples_deleted_.load(std::memory_order_relaxed);
  stats.blocks_cleaned = blocks_cleaned_.load(std::memory_order_relaxed);
  stats.block_min_ms = std::numeric_limits<int64_t>::max();
  for (const BlockInfo& block : blocks_->Blocks()) {
    if (block.damaged) {
      ++stats.blocks_damaged;
      continue;
    }
    ++stats.blocks;
    stats.block_bytes +=
        static_cast<int64_t>(block.file_bytes + block.index_bytes);
    stats.block_series += block.series;
    stats.block_samples += static_cast<int64_t>(block.samples);
    stats.block_min_ms = std::min(stats.block_min_ms, block.min_ms);
  }
  return stats;
}

CardinalityStats DbImpl::Cardinality(size_t limit) const {
  return head_->Cardinality(limit);
}

// -------------------------------------------------------------- maintenance

absl::StatusOr<bool> DbImpl::Maintain() {
  VARVE_ASSIGN_OR_RETURN(const bool sealed, MaintainHead());
  VARVE_ASSIGN_OR_RETURN(const bool compacted, Compact());
  return sealed || compacted;
}

void DbImpl::RunInBackground(
    std::string_view name, const std::function<absl::StatusOr<bool>()>& step) {
  constexpr auto kPause = std::chrono::seconds(1);
  std::string last_error;
  while (true) {
    {
      MutexLock lock(&stop_mutex_);
      if (!stop_) stopped_.WaitFor(&stop_mutex_, kPause);
      if (stop_) return;
    }
    const absl::Status status = step().status();
    std::string error(Message(status));
    if (error != last_error && !status.ok()) {
      options_.logger.Error("db", "{}: {}", name, error);
    }
    last_error = std::move(error);
  }
}

void DbImpl::RunSync() {
  constexpr auto kPause = std::chrono::milliseconds(200);
  while (true) {
    {
      MutexLock lock(&stop_mutex_);
      if (!stop_) stopped_.WaitFor(&stop_mutex_, kPause);
      if (stop_) return;
    }
    (void)wal_->SyncIfDue();  // it logs and counts
  }
}

absl::Status DbImpl::Close() {
  {
    MutexLock lock(&stop_mutex_);
    if (closed_) return absl::OkStatus();
    closed_ = true;
    stop_ = true;
    stopping_.store(true, std::memory_order_relaxed);
    stopped_.NotifyAll();
  }
  if (maintenance_.joinable()) maintenance_.join();
  if (compaction_.joinable()) compaction_.join();
  if (sync_.joinable()) sync_.join();
  CheckpointAtClose();
  absl::Status status;
  if (wal_ != nullptr) status.Update(wal_->Close());
  if (blocks_ != nullptr) status.Update(blocks_->Close());
  lock_.reset();
  return status;
}

}  // namespace varve
