#include <algorithm>

#include "storage/record_reader.h"
#include "storage/status_macros.h"
#include "storage/wal.h"
#include "storage/wal_format.h"

namespace varve {
namespace {

using Handler =
    std::function<absl::Status(uint64_t, WalRecordType, std::string_view)>;

/// What the segments before it are replaced by.
struct Base {
  uint64_t segment = 0;  // 0: there is none
  bool series_file = false;
};

struct Listing {
  std::map<uint64_t, uint64_t> segments;  // sizes by number
  Base base;
  uint64_t base_bytes = 0;
};

absl::StatusOr<Listing> ListWal(const WalOptions& options) {
  Listing out;
  VARVE_ASSIGN_OR_RETURN(const auto files, options.fs->List(options.directory));
  for (const FileInfo& file : files) {
    if (const auto n = wal_format::ParseSegmentName(file.name)) {
      out.segments[*n] = file.size;
    } else if (const auto c = wal_format::ParseCheckpointName(file.name)) {
      if (*c < out.base.segment) continue;
      out.base = {*c, false};
      out.base_bytes = file.size;
    } else if (const auto s = wal_format::ParseSeriesFileName(file.name)) {
      if (*s <= out.base.segment) continue;
      out.base = {*s, true};
      out.base_bytes = file.size;
    } else if (file.name.ends_with(".tmp")) {
      (void)options.fs->Remove(options.directory + "/" + file.name);
    }
  }
  return out;
}

/// What is about to be read.
void BeginProgress(const Listing& files, ReplayProgress* progress) {
  auto bytes = static_cast<int64_t>(files.base_bytes);
  const auto first = files.segments.lower_bound(files.base.segment);
  for (auto it = first; it != files.segments.end(); ++it) {
    bytes += static_cast<int64_t>(it->second);
  }
  progress->bytes_total = bytes;
  if (first == files.segments.end()) return;
  progress->segment_min = progress->segment = first->first;
  progress->segment_max = files.segments.rbegin()->first;
}

absl::Status CutTail(const WalOptions& options, const std::string& path,
                     uint64_t from, uint64_t to) {
  options.logger.Warn("wal", "{}: cutting {} bytes of a torn tail at {}", path,
                      from - to, to);
  VARVE_ASSIGN_OR_RETURN(auto file, options.fs->OpenWritable(
                                        path, FileSystem::WriteMode::kAppend));
  VARVE_RETURN_IF_ERROR(file->Truncate(to));
  VARVE_RETURN_IF_ERROR(file->Sync());
  return file->Close();
}

/// One file of the log that is being read.
struct LogFile {
  const WalOptions& options;
  WalReadReport* report;
  const Handler& f;
  std::string path;
  std::unique_ptr<RandomAccessFile> file;
  uint64_t size = 0;
};

absl::StatusOr<LogFile> OpenLogFile(const WalOptions& options,
                                    const std::string& name,
                                    WalReadReport* report, const Handler& f) {
  LogFile out{options, report, f, options.directory + "/" + name, nullptr, 0};
  VARVE_ASSIGN_OR_RETURN(out.file, options.fs->OpenRandomAccess(out.path));
  VARVE_ASSIGN_OR_RETURN(out.size, out.file->Size());
  return out;
}

absl::Status CheckVersion(const LogFile& log, uint32_t version,
                          uint32_t known) {
  if (version == known) return absl::OkStatus();
  return FailedPrecondition(
      "{}: log format version {} was written by a newer varve; this one reads "
      "version {}",
      log.path, version, known);
}

/// Gives the records to the handler under the number `tag`; `last` is the type
/// of the last one.
absl::Status ReadRecords(const LogFile& log, uint64_t tag, RecordReader* reader,
                         WalRecordType* last) {
  ReplayProgress* progress = log.options.progress.get();
  const int64_t before = log.report->bytes;
  std::string_view payload;
  while (true) {
    VARVE_ASSIGN_OR_RETURN(const bool more, reader->Next(last, &payload));
    if (!more) return absl::OkStatus();
    ++log.report->records;
    if (progress != nullptr) {
      progress->bytes = before + static_cast<int64_t>(reader->offset());
    }
    VARVE_RETURN_IF_ERROR(log.f(tag, *last, payload));
  }
}

void CountCorruptions(const LogFile& log, int64_t corruptions) {
  if (corruptions > 0) {
    log.options.logger.Error("wal", "{}: {} damaged stretches were skipped",
                             log.path, corruptions);
  }
  log.report->corruptions += corruptions;
  log.report->bytes += static_cast<int64_t>(log.size);
}

absl::Status ReadSegment(const LogFile& log, uint64_t segment, bool last) {
  RecordReader reader(log.file.get(), log.size, segment);
  VARVE_ASSIGN_OR_RETURN(const std::string_view header, reader.Header());
  if (const auto v = wal_format::ReadSegmentHeader(header, segment)) {
    VARVE_RETURN_IF_ERROR(CheckVersion(log, *v, wal_format::kVersion));
    reader.SkipHeader();
  }
  WalRecordType type;
  VARVE_RETURN_IF_ERROR(ReadRecords(log, segment, &reader, &type));
  const bool torn = last && reader.good_end() < log.size;
  CountCorruptions(log,
                   reader.corruptions() + (last ? 0 : reader.bad_at_end()));
  log.report->segment_bytes[segment] = torn ? reader.good_end() : log.size;
  return torn ? CutTail(log.options, log.path, log.size, reader.good_end())
              : absl::OkStatus();
}

/// A checkpoint or a series file, whose records get the number 0.
absl::Status ReadBase(const LogFile& log, const Base& base) {
  RecordReader reader(log.file.get(), log.size, base.segment);
  VARVE_ASSIGN_OR_RETURN(const std::string_view header, reader.Header());
  const auto version =
      base.series_file ? wal_format::ReadSegmentHeader(header, base.segment)
                       : wal_format::ReadCheckpointHeader(header, base.segment);
  if (version) {
    VARVE_RETURN_IF_ERROR(CheckVersion(log, *version,
                                       base.series_file
                                           ? wal_format::kVersion
                                           : wal_format::kCheckpointVersion));
    reader.SkipHeader();
  }
  log.report->checkpoint = base.segment;
  log.report->checkpoint_bytes = static_cast<int64_t>(log.size);
  WalRecordType type = WalRecordType::kSeries;
  VARVE_RETURN_IF_ERROR(ReadRecords(log, 0, &reader, &type));
  int64_t corruptions = reader.corruptions() + reader.bad_at_end();
  // It was complete when it got its name.
  const bool cut = !base.series_file && type != WalRecordType::kEnd;
  if (cut && corruptions == 0) corruptions = 1;
  CountCorruptions(log, corruptions);
  return absl::OkStatus();
}

/// Counts the end of the log as one corruption when it is missing. No segment
/// gets a number that one had which is lost.
absl::Status MissEnd(const WalOptions& options, WalReadReport* report) {
  const auto newest = ReadNewestSegment(options.fs, options.directory);
  if (absl::IsDataLoss(newest.status())) {
    options.logger.Warn("wal", "{}; whether the log is complete is unknown",
                        Message(newest.status()));
    return absl::OkStatus();
  }
  VARVE_RETURN_IF_ERROR(newest.status());
  if (*newest <= report->segment_max) return absl::OkStatus();
  options.logger.Error("wal", "{}: the segments {} to {} are missing",
                       options.directory, report->segment_max + 1, *newest);
  ++report->corruptions;
  report->segment_max = *newest;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<uint64_t> ReadNewestSegment(FileSystem* fs,
                                           const std::string& directory) {
  const std::string path =
      fmt::format("{}/{}", directory, wal_format::kNewestName);
  const auto bytes = ReadFile(fs, path, wal_format::kSegmentHeaderBytes);
  if (absl::IsNotFound(bytes.status())) return 0;
  // A file that is too long is a damaged one.
  if (!bytes.ok() && !absl::IsResourceExhausted(bytes.status()) &&
      !absl::IsDataLoss(bytes.status())) {
    return bytes.status();
  }
  const auto newest = bytes.ok() ? wal_format::ReadNewest(*bytes)
                                 : std::optional<wal_format::Newest>();
  if (!newest) return DataLoss("{}: is damaged", path);
  if (newest->version != wal_format::kNewestVersion) {
    return FailedPrecondition(
        "{}: version {} was written by a newer varve; this one reads version "
        "{}",
        path, newest->version, wal_format::kNewestVersion);
  }
  return newest->segment;
}

absl::Status WriteNewestSegment(FileSystem* fs, const std::string& directory,
                                uint64_t segment) {
  return WriteFileAtomically(
      fs, fmt::format("{}/{}", directory, wal_format::kNewestName),
      wal_format::NewestFile(segment));
}

absl::Status ReadWal(const WalOptions& options, WalReadReport* report,
                     const Handler& f) {
  *report = WalReadReport();
  VARVE_RETURN_IF_ERROR(options.fs->CreateDir(options.directory));
  VARVE_ASSIGN_OR_RETURN(const Listing files, ListWal(options));
  const uint64_t first = files.base.segment;
  ReplayProgress* progress = options.progress.get();
  if (progress != nullptr) BeginProgress(files, progress);
  if (first != 0) {
    VARVE_ASSIGN_OR_RETURN(
        const LogFile log,
        OpenLogFile(options,
                    files.base.series_file ? wal_format::SeriesFileName(first)
                                           : wal_format::CheckpointName(first),
                    report, f));
    VARVE_RETURN_IF_ERROR(ReadBase(log, files.base));
  }
  for (const auto& [segment, size] : files.segments) {
    report->segment_max = segment;
    if (segment < first) {
      // What stands before the checkpoint is redundant; only its deletion was
      // interrupted.
      report->segment_bytes[segment] = size;
      continue;
    }
    if (progress != nullptr) progress->segment = segment;
    VARVE_ASSIGN_OR_RETURN(
        const LogFile log,
        OpenLogFile(options, wal_format::SegmentName(segment), report, f));
    VARVE_RETURN_IF_ERROR(
        ReadSegment(log, segment, segment == files.segments.rbegin()->first));
  }
  // A checkpoint's own segment is the next one, when nothing came after it.
  if (first > 0) {
    report->segment_max = std::max(report->segment_max, first - 1);
  }
  VARVE_RETURN_IF_ERROR(MissEnd(options, report));
  if (progress != nullptr) progress->bytes = progress->bytes_total.load();
  return absl::OkStatus();
}

}  // namespace varve
