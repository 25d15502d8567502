#include "storage/verify_wal.h"

#include <algorithm>
#include <utility>

#include "storage/record_reader.h"
#include "storage/status_macros.h"
#include "storage/string_hash.h"
#include "storage/wal_format.h"
#include "storage/wal_record.h"

namespace varve {
absl::StatusOr<WalFiles> ListWalFiles(FileSystem* fs,
                                      const std::string& directory) {
  WalFiles out;
  VARVE_ASSIGN_OR_RETURN(auto listed, fs->List(directory));
  std::sort(
      listed.begin(), listed.end(),
      [](const FileInfo& a, const FileInfo& b) { return a.name < b.name; });
  const auto is_base = [](const std::string& name) {
    return wal_format::ParseSeriesFileName(name) ||
           wal_format::ParseCheckpointName(name);
  };
  uint64_t first = 0;
  bool checkpoint = false;
  for (const FileInfo& file : listed) {
    const uint64_t c = wal_format::ParseCheckpointName(file.name).value_or(0);
    const uint64_t s = wal_format::ParseSeriesFileName(file.name).value_or(0);
    if (std::max(c, s) > first || (c != 0 && c == first)) checkpoint = c != 0;
    first = std::max({first, c, s});
  }
  if (first != 0) {
    out.files.push_back({checkpoint ? wal_format::CheckpointName(first)
                                    : wal_format::SeriesFileName(first),
                         first, false, checkpoint});
  }
  std::vector<uint64_t> segments;
  for (const FileInfo& file : listed) {
    const auto segment = wal_format::ParseSegmentName(file.name);
    if (file.name == wal_format::kNewestName) continue;
    if (segment && *segment >= first) {
      segments.push_back(*segment);
    } else if (segment || file.name.ends_with(".tmp")) {
      out.others.push_back(file.name);
    } else if (!is_base(file.name)) {
      out.unknown.push_back(file.name);
    } else if (file.name != out.files.front().name) {
      out.others.push_back(file.name);
    }
  }
  std::sort(segments.begin(), segments.end());
  for (const uint64_t n : segments) {
    out.files.push_back({wal_format::SegmentName(n), n, true, false});
  }
  return out;
}

absl::Status WalkWalFile(FileSystem* fs, const std::string& path,
                         uint64_t number, const WalFileWalk& walk) {
  VARVE_ASSIGN_OR_RETURN(const auto file, fs->OpenRandomAccess(path));
  VARVE_ASSIGN_OR_RETURN(const uint64_t size, file->Size());
  RecordReader reader(file.get(), size, number);
  VARVE_ASSIGN_OR_RETURN(const std::string_view header, reader.Header());
  const bool checkpoint =
      wal_format::ParseCheckpointName(path.substr(path.rfind('/') + 1))
          .has_value();
  const auto version = checkpoint
                           ? wal_format::ReadCheckpointHeader(header, number)
                           : wal_format::ReadSegmentHeader(header, number);
  const uint32_t known =
      checkpoint ? wal_format::kCheckpointVersion : wal_format::kVersion;
  if (version && *version != known) {
    return FailedPrecondition(
        "{}: log format version {} was written by a newer varve; this one "
        "reads version {}",
        path, *version, known);
  }
  if (version) reader.SkipHeader();
  while (true) {
    const uint64_t good_end = reader.good_end();
    WalRecordType type;
    std::string_view payload;
    VARVE_ASSIGN_OR_RETURN(const bool more, reader.Next(&type, &payload));
    const uint64_t at = more ? reader.good_end() - payload.size() -
                                   wal_format::kRecordHeaderBytes
                             : size;
    if (good_end < at) walk.on_bad(good_end, at - good_end);
    if (!more) return absl::OkStatus();
    walk.on_record(type, payload, at);
  }
}

SealedTimes::SealedTimes(const Manifest& manifest)
    : marks_(manifest.marks), window_ms_(int64_t{2} * 3600 * 1000) {
  // Blocks may span several windows, never a part of one.
  for (const BlockInfo& block : manifest.blocks) {
    window_ms_ =
        std::min(window_ms_, block.window.end_ms - block.window.start_ms);
  }
}

bool SealedTimes::Cover(uint64_t segment, int64_t time_ms) const {
  auto it = marks_.upper_bound(time_ms);
  if (it == marks_.begin()) return false;
  --it;
  return time_ms - it->first < window_ms_ && segment < it->second;
}

std::string WalMeaning::AddSeries(std::string_view payload) {
  std::string wrong;
  const absl::Status s =
      DecodeSeries(payload, [&](SeriesRef ref, const Labels& labels) {
        std::string w = SetSeries(ref, labels.Hash());
        if (!w.empty()) wrong = w + ", " + labels.ToString();
      });
  return s.ok() ? wrong : std::string(Message(s));
}

std::string WalMeaning::SetSeries(SeriesRef ref, uint64_t hash) {
  const auto [it, fresh] = series_.try_emplace(ref, hash);
  if (fresh || std::exchange(it->second, hash) == hash) return "";
  return fmt::format("number {} names a second series", ref);
}

std::string WalMeaning::AddHeadSeries(std::string_view payload) {
  if (const absl::Status s = decoder_.Decode(payload); !s.ok()) {
    return std::string(Message(s));
  }
  std::string wrong;
  std::string packed;
  for (const CheckpointSeries& series : decoder_.series()) {
    packed.clear();
    for (const uint32_t pair : series.labels) {
      packed += decoder_.pairs()[pair].packed;
    }
    const std::string w = SetSeries(series.ref, StringHash()(packed));
    if (!w.empty()) wrong = w;
    samples_ += series.tail.count;
    for (const CheckpointChunk& chunk : series.closed) samples_ += chunk.count;
  }
  return wrong;
}

std::string WalMeaning::Add(uint64_t segment, WalRecordType type,
                            std::string_view payload) {
  if (type == WalRecordType::kSeries) return AddSeries(payload);
  if (type > WalRecordType::kState && segment != 0) {
    return "belongs into a checkpoint";
  }
  if (type == WalRecordType::kHeadSeries) return AddHeadSeries(payload);
  if (type == WalRecordType::kEnd) return "";
  if (const absl::Status s = DecodeCommit(payload, &batch_); !s.ok()) {
    return std::string(Message(s));
  }
  // A series that is idle is dropped from the log as soon as all of its samples
  // are in blocks.
  int64_t unknown = 0;
  const auto count = [&](SeriesRef ref, int64_t t) {
    if (!Knows(ref) && !sealed_->Cover(segment, t)) ++unknown;
  };
  for (size_t i = 0; i < batch_.refs.size(); ++i) {
    count(batch_.refs[i], batch_.timestamps[i]);
  }
  for (const auto& s : batch_.histograms) count(s.ref, s.timestamp_ms);
  if (type != WalRecordType::kHeadStarts) {
    samples_ += static_cast<int64_t>(batch_.size());
  }
  if (unknown == 0) return "";
  return fmt::format("{} samples of series that no record names", unknown);
}

namespace {

/// The check of one log.
class WalCheck {
 public:
  WalCheck(FileSystem* fs, const std::string& directory,
           const SealedTimes& sealed, Findings* findings)
      : fs_(fs),
        directory_(directory),
        findings_(findings),
        meaning_(&sealed) {}

  absl::Status Run(WalCounts* counts) {
    VARVE_ASSIGN_OR_RETURN(const WalFiles listed,
                           ListWalFiles(fs_, directory_));
    for (const std::string& name : listed.others) {
      findings_->Note(directory_ + "/" + name,
                      "is not read, and goes by itself");
    }
    for (const std::string& name : listed.unknown) {
      findings_->Note(directory_ + "/" + name, "is no file of a log");
    }
    for (const WalFiles::File& file : listed.files) {
      CheckNumber(file);
      VARVE_RETURN_IF_ERROR(
          CheckFile(file, file.is_segment && &file == &listed.files.back()));
      ++counts->files;
    }
    VARVE_RETURN_IF_ERROR(CheckEnd(listed.last()));
    counts->records = records_;
    counts->series = meaning_.series();
    counts->samples = meaning_.samples();
    return absl::OkStatus();
  }

 private:
  /// `last`: the number of the last segment that is there.
  absl::Status CheckEnd(uint64_t last) {
    const std::string path =
        fmt::format("{}/{}", directory_, wal_format::kNewestName);
    const auto newest = ReadNewestSegment(fs_, directory_);
    if (absl::IsDataLoss(newest.status())) {
      findings_->Note(path,
                      "is damaged: a loss of the last segments would "
                      "not show");
      return absl::OkStatus();
    }
    VARVE_RETURN_IF_ERROR(newest.status());
    if (*newest <= last) return absl::OkStatus();
    findings_->Damage(path,
                      fmt::format("the segments {} to {} are missing at the "
                                  "end of the log",
                                  last + 1, *newest));
    return absl::OkStatus();
  }

  void CheckNumber(const WalFiles::File& file) {
    const std::string path = directory_ + "/" + file.name;
    if (!file.is_segment) {
      next_ = file.number;
      first_ = true;
      return;
    }
    if (next_ == 0 && file.number > 1) {
      findings_->Note(path,
                      "is the first of the log: the checkpoint before it "
                      "is missing, or this is a snapshot without head");
    } else if (first_ && file.number == next_ + 1) {
      findings_->Note(path, fmt::format("segment {} before it was never "
                                        "written, or is missing",
                                        next_));
    } else if (next_ != 0 && file.number != next_) {
      findings_->Damage(path, fmt::format("segments {} to {} before it are "
                                          "missing",
                                          next_, file.number - 1));
    }
    first_ = false;
    next_ = file.number + 1;
  }

  absl::Status CheckFile(const WalFiles::File& file, bool last) {
    const std::string path = directory_ + "/" + file.name;
    std::string bad;
    bool ended = false;
    WalFileWalk walk;
    walk.on_record = [&](WalRecordType type, std::string_view payload,
                         uint64_t offset) {
      if (!bad.empty()) findings_->Damage(path, bad);
      bad.clear();
      ++records_;
      ended = type == WalRecordType::kEnd;
      const std::string wrong =
          meaning_.Add(file.is_segment ? file.number : 0, type, payload);
      if (wrong.empty()) return;
      findings_->Damage(path,
                        fmt::format("record at offset {}: {}", offset, wrong));
    };
    walk.on_bad = [&](uint64_t offset, uint64_t bytes) {
      bad = fmt::format("{} bytes at offset {} are no records", bytes, offset);
    };
    VARVE_RETURN_IF_ERROR(WalkWalFile(fs_, path, file.number, walk));
    if (file.is_checkpoint && !ended && bad.empty()) {
      bad = "the end of the checkpoint is missing";
    }
    if (bad.empty()) return absl::OkStatus();
    if (last) {
      findings_->Note(path, bad +
                                ": a write that was cut short, or the last "
                                "one damaged; the next start cuts them");
    } else {
      findings_->Damage(path, bad);
    }
    return absl::OkStatus();
  }

  FileSystem* const fs_;
  const std::string& directory_;
  Findings* const findings_;
  WalMeaning meaning_;
  int64_t records_ = 0;
  uint64_t next_ = 0;   // the number of the segment that should come
  bool first_ = false;  // after the file that the log begins with
};

}  // namespace

absl::Status VerifyWal(FileSystem* fs, const std::string& directory,
                       const SealedTimes& sealed, Findings* findings,
                       WalCounts* counts) {
  return WalCheck(fs, directory, sealed, findings).Run(counts);
}

}  // namespace varve
