#include <algorithm>

#include "storage/coding.h"
#include "storage/repair_parts.h"
#include "storage/status_macros.h"
#include "storage/verify_wal.h"
#include "storage/wal_format.h"
#include "storage/wal_record.h"

namespace varve {
namespace {

/// Takes out samples of series that no record names. False: it makes no sense.
bool KeepKnown(const WalMeaning& meaning, std::string_view payload,
               std::string* out) {
  WriteBatch batch;
  if (!DecodeCommit(payload, &batch).ok()) return false;
  WriteBatch kept;
  for (size_t i = 0; i < batch.refs.size(); ++i) {
    if (!meaning.Knows(batch.refs[i])) continue;
    kept.refs.push_back(batch.refs[i]);
    kept.timestamps.push_back(batch.timestamps[i]);
    kept.values.push_back(batch.values[i]);
    if (!batch.start_timestamps.empty()) {
      kept.start_timestamps.push_back(batch.start_timestamps[i]);
    }
  }
  for (auto& h : batch.histograms) {
    if (meaning.Knows(h.ref)) kept.histograms.push_back(std::move(h));
  }
  for (auto& e : batch.exemplars) {
    if (meaning.Knows(e.ref)) kept.exemplars.push_back(std::move(e));
  }
  kept.metadata = std::move(batch.metadata);
  EncodeCommit(kept, out);
  return !out->empty();
}

/// One file of the log, written anew beside the old one.
class WalFileRepair {
 public:
  WalFileRepair(const WalFiles::File& file, WalMeaning* meaning,
                RepairWork* work)
      : file_(file),
        name_("wal/" + file.name),
        temporary_(work->PathOf(name_) + ".tmp"),
        meaning_(meaning),
        work_(work) {}

  absl::Status Run() {
    VARVE_RETURN_IF_ERROR(Write());
    if (bytes_lost_ == 0 && records_lost_ == 0 && records_cut_ == 0) {
      return work_->fs()->Remove(temporary_);
    }
    VARVE_RETURN_IF_ERROR(work_->Keep(name_).status());
    VARVE_RETURN_IF_ERROR(
        work_->fs()->Rename(temporary_, work_->PathOf(name_)));
    VARVE_RETURN_IF_ERROR(work_->fs()->SyncDir(work_->PathOf("wal")));
    ++work_->summary.wal_files_rewritten;
    work_->summary.wal_bytes_lost += bytes_lost_;
    work_->summary.wal_records_lost += records_lost_ + records_cut_;
    work_->Did(name_,
               fmt::format("written anew without {} bytes that are no records "
                           "and {} records that make no sense; of {} records "
                           "the samples of unknown series are left out",
                           bytes_lost_, records_lost_, records_cut_));
    return absl::OkStatus();
  }

 private:
  absl::Status Write() {
    VARVE_ASSIGN_OR_RETURN(
        out_, work_->fs()->OpenWritable(
                  temporary_, FileSystem::WriteMode::kCreateOrTruncate));
    std::string header;
    if (file_.is_checkpoint) {
      wal_format::PutCheckpointHeader(&header, file_.number);
    } else {
      wal_format::PutSegmentHeader(&header, file_.number);
    }
    VARVE_RETURN_IF_ERROR(out_->Append(header));
    absl::Status written;
    WalFileWalk walk;
    walk.on_record = [&](WalRecordType type, std::string_view payload,
                         uint64_t) { written.Update(Add(type, payload)); };
    walk.on_bad = [&](uint64_t, uint64_t bytes) {
      bytes_lost_ += static_cast<int64_t>(bytes);
    };
    VARVE_RETURN_IF_ERROR(
        WalkWalFile(work_->fs(), work_->PathOf(name_), file_.number, walk));
    VARVE_RETURN_IF_ERROR(written);
    if (file_.is_checkpoint) VARVE_RETURN_IF_ERROR(AppendEnd());
    VARVE_RETURN_IF_ERROR(out_->Sync());
    return out_->Close();
  }

  absl::Status Add(WalRecordType type, std::string_view payload) {
    const uint64_t segment = file_.is_segment ? file_.number : 0;
    ended_ = type == WalRecordType::kEnd;
    if (file_.is_checkpoint && ended_) return absl::OkStatus();
    if (meaning_->Add(segment, type, payload).empty()) {
      return Append(type, payload);
    }
    std::string kept;
    if (type == WalRecordType::kSeries || type == WalRecordType::kHeadSeries ||
        (type > WalRecordType::kState && file_.is_segment) ||
        !KeepKnown(*meaning_, payload, &kept)) {
      ++records_lost_;
      return absl::OkStatus();
    }
    ++records_cut_;
    return Append(type, kept);
  }

  /// A checkpoint's last record, with the number of those that were kept.
  absl::Status AppendEnd() {
    if (!ended_ && bytes_lost_ == 0) ++records_lost_;
    std::string payload;
    PutVarint(&payload, records_);
    return Append(WalRecordType::kEnd, payload);
  }

  absl::Status Append(WalRecordType type, std::string_view payload) {
    ++records_;
    std::string header;
    wal_format::PutRecordHeader(&header, file_.number, out_->size(), type,
                                payload);
    const std::string_view pieces[] = {header, payload};
    return out_->Append(std::span(pieces));
  }

  const WalFiles::File& file_;
  const std::string name_;
  const std::string temporary_;
  WalMeaning* const meaning_;
  RepairWork* const work_;
  std::unique_ptr<WritableFile> out_;
  uint64_t records_ = 0;
  bool ended_ = false;  // the last record was kEnd
  int64_t bytes_lost_ = 0;
  int64_t records_lost_ = 0;
  int64_t records_cut_ = 0;
};

/// Whether a check of the log finds anything.
absl::StatusOr<bool> NeedsRepair(RepairWork* work) {
  Findings findings(nullptr);
  WalCounts counts;
  const absl::Status s = VerifyWal(work->fs(), work->PathOf("wal"),
                                   work->sealed, &findings, &counts);
  if (absl::IsNotFound(s)) return false;
  VARVE_RETURN_IF_ERROR(s);
  return findings.damages() + findings.notes() > 0;
}

/// Segments that are gone are replaced by empty ones.
absl::Status FillGaps(const WalFiles& listed, RepairWork* work) {
  constexpr uint64_t kGapMax = 10'000;
  uint64_t next = 0;
  for (const WalFiles::File& file : listed.files) {
    if (!file.is_segment) continue;
    if (next != 0 && file.number - next > kGapMax) {
      VARVE_RETURN_IF_ERROR(work->Move("wal/" + file.name).status());
      work->Did("wal/" + file.name, "set aside: its number makes no sense");
      continue;
    }
    for (; next != 0 && next < file.number; ++next) {
      const std::string name = "wal/" + wal_format::SegmentName(next);
      std::string header;
      wal_format::PutSegmentHeader(&header, next);
      VARVE_RETURN_IF_ERROR(
          WriteFileAtomically(work->fs(), work->PathOf(name), header));
      work->Did(name, "was missing; what it held is lost");
    }
    next = file.number + 1;
  }
  return absl::OkStatus();
}

/// What says that segments at the end are missing would say so for ever.
absl::Status ForgetNewest(const WalFiles& listed, RepairWork* work) {
  const std::string name = fmt::format("wal/{}", wal_format::kNewestName);
  const auto newest = ReadNewestSegment(work->fs(), work->PathOf("wal"));
  if (newest.ok() && *newest <= listed.last()) return absl::OkStatus();
  if (!newest.ok() && !absl::IsDataLoss(newest.status())) {
    return newest.status();
  }
  VARVE_RETURN_IF_ERROR(work->Move(name).status());
  work->Did(name, newest.ok()
                      ? fmt::format("set aside: the segments up to {} at the "
                                    "end of the log are lost",
                                    *newest)
                      : std::string("set aside: it is damaged"));
  return absl::OkStatus();
}

}  // namespace

absl::Status RepairWal(RepairWork* work) {
  VARVE_ASSIGN_OR_RETURN(const bool needed, NeedsRepair(work));
  if (!needed) return absl::OkStatus();
  const std::string directory = work->PathOf("wal");
  VARVE_ASSIGN_OR_RETURN(WalFiles listed, ListWalFiles(work->fs(), directory));
  for (const std::string& name : listed.others) {
    VARVE_RETURN_IF_ERROR(work->Move("wal/" + name).status());
    work->Did("wal/" + name, "set aside: it is not read");
  }
  VARVE_RETURN_IF_ERROR(FillGaps(listed, work));
  VARVE_RETURN_IF_ERROR(ForgetNewest(listed, work));
  VARVE_ASSIGN_OR_RETURN(listed, ListWalFiles(work->fs(), directory));
  WalMeaning meaning(&work->sealed);
  for (const WalFiles::File& file : listed.files) {
    VARVE_RETURN_IF_ERROR(WalFileRepair(file, &meaning, work).Run());
  }
  return absl::OkStatus();
}

}  // namespace varve
