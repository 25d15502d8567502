#include "storage/wal.h"

#include <algorithm>

#include "storage/coding.h"
#include "storage/status_macros.h"
#include "storage/wal_format.h"

namespace varve {
namespace {

constexpr int64_t kSyncIntervalNs = 1'000'000'000;
/// A group is closed at so many bytes, so that the first of it need not wait
/// for long.
constexpr size_t kGroupBytesMax = size_t{4} << 20;
/// A segment's room on the disk is taken in steps of so much, so that it lies
/// in few pieces and a sync has less to write down.
constexpr uint64_t kReserveBytes = uint64_t{4} << 20;
/// A checkpoint is synced in steps of so much, so that its end is no burst that
/// holds up the syncs of the log.
constexpr uint64_t kCheckpointSyncBytes = uint64_t{16} << 20;
/// Series records that may wait for a commit to carry them.
constexpr size_t kPendingSeriesBytesMax = size_t{4} << 20;

}  // namespace

absl::StatusOr<std::unique_ptr<Wal>> Wal::Open(const WalOptions& options,
                                               const WalReadReport& existing) {
  VARVE_RETURN_IF_ERROR(options.fs->CreateDir(options.directory));
  std::unique_ptr<Wal> wal(new Wal(options));
  wal->segment_ = existing.segment_max;
  MutexLock lock(&wal->mutex_);
  wal->segment_bytes_ = existing.segment_bytes;
  return wal;
}

Wal::~Wal() { (void)Close(); }

absl::Status Wal::LogSeries(std::string_view payload) {
  {
    MutexLock lock(&mutex_);
    if (closed_) return FailedPrecondition("the write-ahead log is closed");
    if (pending_series_.size() + payload.size() <= kPendingSeriesBytesMax) {
      pending_series_.append(payload);
      return absl::OkStatus();
    }
  }
  Waiter flush;
  flush.kind = Waiter::kFlush;
  Run(&flush);
  VARVE_RETURN_IF_ERROR(flush.status);
  MutexLock lock(&mutex_);
  pending_series_.append(payload);
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> Wal::LogCommit(std::string_view payload,
                                        CommitTurn* turn) {
  if (payload.size() > kWalRecordBytesMax) {
    return InvalidArgument("a log record of {} bytes is too long (at most {})",
                           payload.size(), kWalRecordBytesMax);
  }
  Waiter commit;
  commit.payload = payload;
  commit.turn = turn;
  Run(&commit);
  VARVE_RETURN_IF_ERROR(commit.status);
  return commit.segment;
}

absl::StatusOr<uint64_t> Wal::Rotate() {
  Waiter rotate;
  rotate.kind = Waiter::kRotate;
  Run(&rotate);
  VARVE_RETURN_IF_ERROR(rotate.status);
  return rotate.segment;
}

absl::Status Wal::Close() {
  Waiter close;
  close.kind = Waiter::kClose;
  Run(&close);
  return close.status;
}

void Wal::Run(Waiter* waiter) {
  MutexLock lock(&mutex_);
  queue_.push_back(waiter);
  // The log has the commits in the order of the queue.
  if (waiter->turn != nullptr) turns_.push_back(waiter->turn);
  while (!waiter->done && queue_.front() != waiter) waiter->ready.Wait(&mutex_);
  if (!waiter->done) Lead(waiter);
  if (waiter->turn != nullptr && waiter->status.ok()) AwaitTurn(waiter->turn);
}

void Wal::AwaitTurn(CommitTurn* turn) {
  const auto is_earlier = [&] {
    for (const CommitTurn* other : turns_) {
      if (other == turn) return false;
      if (other->range_.Overlaps(turn->range_)) return true;
    }
    return false;
  };
  while (is_earlier()) {
    turn->waits_ = true;
    turn->ready_.Wait(&mutex_);
  }
  turn->waits_ = false;
}

void Wal::EndTurn(const CommitTurn* turn) {
  MutexLock lock(&mutex_);
  const auto at = std::find(turns_.begin(), turns_.end(), turn);
  if (at == turns_.end()) return;
  for (auto later = turns_.erase(at); later != turns_.end(); ++later) {
    if ((*later)->waits_) (*later)->ready_.NotifyOne();
  }
}

CommitTurn::~CommitTurn() { wal_->EndTurn(this); }

void Wal::Lead(Waiter* leader) {
  std::vector<Waiter*> group = {leader};
  size_t bytes = leader->payload.size();
  if (leader->kind == Waiter::kCommit) {
    for (size_t i = 1; i < queue_.size() && bytes < kGroupBytesMax; ++i) {
      if (queue_[i]->kind != Waiter::kCommit) break;
      group.push_back(queue_[i]);
      bytes += queue_[i]->payload.size();
    }
  }
  absl::Status status;
  const bool closed = closed_;
  std::string series = std::move(pending_series_);
  pending_series_.clear();
  // The front of the queue alone touches the file, so no lock is needed.
  mutex_.Unlock();
  if (closed) {
    if (leader->kind != Waiter::kClose) {
      status = FailedPrecondition("the write-ahead log is closed");
    }
  } else {
    status = WriteGroup(series, leader->kind == Waiter::kCommit
                                    ? group
                                    : std::vector<Waiter*>());
  }
  const bool written = status.ok();
  uint64_t segment = segment_;
  if (status.ok() && !closed &&
      (leader->kind == Waiter::kRotate || leader->kind == Waiter::kClose)) {
    status = EndSegment();
    segment = segment_ + 1;
  }
  mutex_.Lock();
  if (!written && !closed) pending_series_.insert(0, series);
  if (leader->kind == Waiter::kClose) closed_ = true;
  for (Waiter* waiter : group) {
    queue_.pop_front();
    waiter->status = status;
    waiter->segment = segment;
    waiter->done = true;
    if (waiter != leader) waiter->ready.NotifyOne();
  }
  if (!queue_.empty()) queue_.front()->ready.NotifyOne();
}

absl::Status Wal::WriteGroup(std::string_view series,
                             const std::vector<Waiter*>& commits) {
  if (series.empty() && commits.empty()) return absl::OkStatus();
  if (file_ != nullptr && file_->size() >= options_.segment_bytes) {
    VARVE_RETURN_IF_ERROR(EndSegment());
  }
  if (file_ == nullptr) VARVE_RETURN_IF_ERROR(OpenSegment());
  const uint64_t start = file_->size();
  absl::Status status = AppendGroup(series, commits);
  if (!status.ok()) {
    // Whole records only: what was written of the group is taken back.
    reserved_ = 0;
    if (!file_->Truncate(start).ok()) AbandonSegment();
    return status;
  }
  if (options_.fsync == FsyncMode::kAlways) {
    status = file_->Sync();
    fsyncs_.fetch_add(1, std::memory_order_relaxed);
    if (!status.ok()) {
      // What a failed sync left on the disk is unknown, and trying again would
      // not tell: nothing more is written here.
      (void)file_->Truncate(start);
      AbandonSegment();
      return status;
    }
  }
  MutexLock lock(&mutex_);
  segment_bytes_[segment_] = file_->size();
  dirty_ = options_.fsync == FsyncMode::kInterval;
  return absl::OkStatus();
}

absl::Status Wal::AppendGroup(std::string_view series,
                              const std::vector<Waiter*>& commits) {
  headers_.clear();
  headers_.reserve((commits.size() + 1) * wal_format::kRecordHeaderBytes);
  pieces_.clear();
  uint64_t offset = file_->size();
  const auto add = [&](WalRecordType type, std::string_view payload) {
    const size_t at = headers_.size();
    wal_format::PutRecordHeader(&headers_, segment_, offset, type, payload);
    pieces_.push_back(std::string_view(headers_).substr(at));
    pieces_.push_back(payload);
    offset += wal_format::kRecordHeaderBytes + payload.size();
  };
  if (!series.empty()) add(WalRecordType::kSeries, series);
  for (const Waiter* commit : commits) {
    add(WalRecordType::kCommit, commit->payload);
  }
  if (offset > reserved_) {
    reserved_ = offset + kReserveBytes;
    // If there is not so much room, the write tells whether there is enough.
    file_->Reserve(reserved_).IgnoreError();
  }
  return file_->Append(std::span<const std::string_view>(pieces_));
}

absl::Status Wal::OpenSegment() {
  const uint64_t segment = segment_ + 1;
  const std::string path = fmt::format("{}/{}", options_.directory,
                                       wal_format::SegmentName(segment));
  const auto open = [&]() -> absl::Status {
    VARVE_ASSIGN_OR_RETURN(file_,
                           options_.fs->OpenWritable(
                               path, FileSystem::WriteMode::kCreateOrTruncate));
    std::string header;
    wal_format::PutSegmentHeader(&header, segment);
    VARVE_RETURN_IF_ERROR(file_->Append(header));
    VARVE_RETURN_IF_ERROR(options_.fs->SyncDir(options_.directory));
    VARVE_ASSIGN_OR_RETURN(
        std::shared_ptr<WritableFile> sync_file,
        options_.fs->OpenWritable(path, FileSystem::WriteMode::kAppend));
    MutexLock lock(&mutex_);
    sync_file_ = std::move(sync_file);
    return absl::OkStatus();
  };
  if (absl::Status status = open(); !status.ok()) {
    file_.reset();
    (void)options_.fs->Remove(path);
    return status;
  }
  segment_ = segment;
  reserved_ = 0;
  // Its name is durable, so the note never runs ahead. Without it only the loss
  // of this segment would not show.
  WriteNewestSegment(options_.fs, options_.directory, segment).IgnoreError();
  MutexLock lock(&mutex_);
  segment_bytes_[segment] = file_->size();
  return absl::OkStatus();
}

absl::Status Wal::EndSegment() {
  if (file_ == nullptr) return absl::OkStatus();
  absl::Status status;
  if (options_.fsync != FsyncMode::kNever) {
    fsyncs_.fetch_add(1, std::memory_order_relaxed);
    status = file_->Sync();
  }
  status.Update(file_->Close());
  AbandonSegment();
  return status;
}

void Wal::AbandonSegment() {
  file_.reset();
  MutexLock lock(&mutex_);
  sync_file_.reset();
  dirty_ = false;
}

absl::Status Wal::Sync() {
  MutexLock one(&sync_mutex_);
  std::shared_ptr<WritableFile> file;
  {
    MutexLock lock(&mutex_);
    last_sync_ns_ = options_.clock->MonotonicNs();
    if (!dirty_ || sync_file_ == nullptr) return absl::OkStatus();
    dirty_ = false;
    file = sync_file_;
  }
  fsyncs_.fetch_add(1, std::memory_order_relaxed);
  absl::Status status = file->Sync();
  if (!status.ok()) {
    options_.logger.Error("wal", "sync: {}", Message(status));
    MutexLock lock(&mutex_);
    dirty_ = true;
  }
  return status;
}

absl::Status Wal::SyncIfDue() {
  if (options_.fsync != FsyncMode::kInterval) return absl::OkStatus();
  {
    MutexLock lock(&mutex_);
    const int64_t now = options_.clock->MonotonicNs();
    if (!dirty_ || now - last_sync_ns_ < kSyncIntervalNs) {
      return absl::OkStatus();
    }
  }
  return Sync();
}

absl::StatusOr<uint64_t> Wal::WriteCheckpoint(
    uint64_t segment,
    const std::function<absl::Status(const AddRecord& add)>& write) {
  const std::string path = fmt::format("{}/{}", options_.directory,
                                       wal_format::CheckpointName(segment));
  const std::string temporary = path + ".tmp";
  uint64_t size = 0;
  const auto build = [&]() -> absl::Status {
    VARVE_ASSIGN_OR_RETURN(
        auto file, options_.fs->OpenWritable(
                       temporary, FileSystem::WriteMode::kCreateOrTruncate));
    std::string bytes;
    wal_format::PutCheckpointHeader(&bytes, segment);
    VARVE_RETURN_IF_ERROR(file->Append(bytes));
    uint64_t records = 0;
    uint64_t synced = 0;
    const AddRecord add = [&](WalRecordType type,
                              std::string_view payload) -> absl::Status {
      bytes.clear();
      wal_format::PutRecordHeader(&bytes, segment, file->size(), type, payload);
      const std::string_view pieces[] = {bytes, payload};
      VARVE_RETURN_IF_ERROR(file->Append(std::span(pieces)));
      ++records;
      if (file->size() - synced < kCheckpointSyncBytes) return absl::OkStatus();
      synced = file->size();
      return file->Sync();
    };
    VARVE_RETURN_IF_ERROR(write(add));
    std::string end;
    PutVarint(&end, records);
    VARVE_RETURN_IF_ERROR(add(WalRecordType::kEnd, end));
    size = file->size();
    VARVE_RETURN_IF_ERROR(file->Sync());
    VARVE_RETURN_IF_ERROR(file->Close());
    VARVE_RETURN_IF_ERROR(options_.fs->Rename(temporary, path));
    return options_.fs->SyncDir(options_.directory);
  };
  absl::Status status = build();
  if (!status.ok()) {
    (void)options_.fs->Remove(temporary);
    return status;
  }
  return size;
}

absl::Status Wal::DeleteBefore(uint64_t segment) {
  std::vector<uint64_t> old;
  {
    MutexLock lock(&mutex_);
    for (const auto& [number, bytes] : segment_bytes_) {
      if (number < segment) old.push_back(number);
    }
  }
  for (uint64_t number : old) {
    const absl::Status status = options_.fs->Remove(fmt::format(
        "{}/{}", options_.directory, wal_format::SegmentName(number)));
    if (!status.ok() && !absl::IsNotFound(status)) return status;
    MutexLock lock(&mutex_);
    segment_bytes_.erase(number);
  }
  VARVE_ASSIGN_OR_RETURN(const auto files,
                         options_.fs->List(options_.directory));
  for (const FileInfo& file : files) {
    const auto checkpoint = wal_format::ParseCheckpointName(file.name);
    const auto series = wal_format::ParseSeriesFileName(file.name);
    const bool old =
        (checkpoint && *checkpoint < segment) || (series && *series <= segment);
    if (old) {
      VARVE_RETURN_IF_ERROR(options_.fs->Remove(
          fmt::format("{}/{}", options_.directory, file.name)));
    }
  }
  return absl::OkStatus();
}

uint64_t Wal::segment_min() const {
  MutexLock lock(&mutex_);
  return segment_bytes_.empty() ? segment_ + 1 : segment_bytes_.begin()->first;
}

uint64_t Wal::BytesFrom(uint64_t segment) const {
  MutexLock lock(&mutex_);
  uint64_t bytes = 0;
  for (auto it = segment_bytes_.lower_bound(segment);
       it != segment_bytes_.end(); ++it) {
    bytes += it->second;
  }
  return bytes;
}

WalStats Wal::stats() const {
  WalStats out;
  out.fsyncs = fsyncs_.load(std::memory_order_relaxed);
  MutexLock lock(&mutex_);
  out.segments = static_cast<int64_t>(segment_bytes_.size());
  for (const auto& [number, bytes] : segment_bytes_) {
    out.bytes += static_cast<int64_t>(bytes);
  }
  return out;
}

}  // namespace varve
