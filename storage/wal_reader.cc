#include <algorithm>

#include "storage/status_macros.h"
#include "storage/wal.h"
#include "storage/wal_format.h"

namespace varve {
namespace {

using wal_format::kRecordHeaderBytes;
using wal_format::kSegmentHeaderBytes;

/// A segment is cut at WalOptions::segment_bytes, but one group of records may
/// pass that.
constexpr uint64_t kSegmentBytesMax = uint64_t{4} << 30;

/// Walks the records of one file's bytes.
class SegmentReader {
 public:
  SegmentReader(std::string_view bytes, uint64_t segment)
      : bytes_(bytes), segment_(segment) {}

  /// The next intact record, or false at the end.
  bool Next(WalRecordType* type, std::string_view* payload) {
    bool lost = false;
    while (at_ < bytes_.size()) {
      const auto header =
          wal_format::ReadRecordHeader(bytes_.substr(at_), segment_, at_);
      const size_t room = bytes_.size() - at_;
      if (header && room - kRecordHeaderBytes >= header->payload_bytes) {
        *payload =
            bytes_.substr(at_ + kRecordHeaderBytes, header->payload_bytes);
        const size_t end = at_ + kRecordHeaderBytes + header->payload_bytes;
        if (wal_format::PayloadIsIntact(*header, *payload)) {
          *type = header->type;
          at_ = end;
          good_end_ = end;
          corruptions_ += bad_;
          bad_ = 0;
          return true;
        }
        // The header is right about its length: only this record is lost.
        ++bad_;
        lost = false;
        at_ = end;
        continue;
      }
      // Nothing says where the next record is: search for it.
      if (!lost) ++bad_;
      lost = true;
      ++at_;
    }
    return false;
  }

  void SkipHeader() { at_ = good_end_ = kSegmentHeaderBytes; }
  /// The end of the last intact record.
  size_t good_end() const { return good_end_; }
  /// Bad stretches before the last intact record, and after it.
  int64_t corruptions() const { return corruptions_; }
  int64_t bad_at_end() const { return bad_; }

 private:
  std::string_view bytes_;
  uint64_t segment_;
  size_t at_ = 0;
  size_t good_end_ = 0;
  int64_t corruptions_ = 0;
  int64_t bad_ = 0;
};

using Handler =
    std::function<absl::Status(uint64_t, WalRecordType, std::string_view)>;

struct Listing {
  std::vector<uint64_t> segments;      // ascending
  std::vector<uint64_t> series_files;  // ascending
};

absl::StatusOr<Listing> ListWal(const WalOptions& options) {
  Listing out;
  VARVE_ASSIGN_OR_RETURN(const auto files, options.fs->List(options.directory));
  for (const FileInfo& file : files) {
    if (const auto n = wal_format::ParseSegmentName(file.name)) {
      out.segments.push_back(*n);
    } else if (const auto s = wal_format::ParseSeriesFileName(file.name)) {
      out.series_files.push_back(*s);
    } else if (file.name.ends_with(".tmp")) {
      (void)options.fs->Remove(options.directory + "/" + file.name);
    }
  }
  std::sort(out.segments.begin(), out.segments.end());
  std::sort(out.series_files.begin(), out.series_files.end());
  return out;
}

absl::Status CutTail(const WalOptions& options, const std::string& path,
                     size_t from, size_t to) {
  options.logger.Warn("wal", "{}: cutting {} bytes of a torn tail at {}", path,
                      from - to, to);
  VARVE_ASSIGN_OR_RETURN(auto file, options.fs->OpenWritable(
                                        path, FileSystem::WriteMode::kAppend));
  VARVE_RETURN_IF_ERROR(file->Truncate(to));
  VARVE_RETURN_IF_ERROR(file->Sync());
  return file->Close();
}

/// Reads one file. `segment` stands in its header, `tag` is what the handler
/// is told.
absl::Status ReadSegment(const WalOptions& options, const std::string& path,
                         uint64_t segment, uint64_t tag, bool last,
                         WalReadReport* report, const Handler& f) {
  VARVE_ASSIGN_OR_RETURN(const std::string bytes,
                         ReadFile(options.fs, path, kSegmentBytesMax));
  SegmentReader reader(bytes, segment);
  const auto version = wal_format::ReadSegmentHeader(bytes, segment);
  if (version && *version != wal_format::kVersion) {
    return FailedPrecondition(
        "{}: log format version {} was written by a newer varve; this one "
        "reads version {}",
        path, *version, wal_format::kVersion);
  }
  if (version) reader.SkipHeader();
  WalRecordType type;
  std::string_view payload;
  while (reader.Next(&type, &payload)) {
    ++report->records;
    VARVE_RETURN_IF_ERROR(f(tag, type, payload));
  }
  const bool torn = last && reader.good_end() < bytes.size();
  int64_t corruptions = reader.corruptions();
  if (!last) corruptions += reader.bad_at_end();
  if (corruptions > 0) {
    options.logger.Error("wal", "{}: {} damaged stretches were skipped", path,
                         corruptions);
  }
  report->corruptions += corruptions;
  report->bytes += static_cast<int64_t>(bytes.size());
  if (tag != 0) {
    report->segment_bytes[segment] = torn ? reader.good_end() : bytes.size();
  }
  if (torn) return CutTail(options, path, bytes.size(), reader.good_end());
  return absl::OkStatus();
}

}  // namespace

absl::Status ReadWal(const WalOptions& options, WalReadReport* report,
                     const Handler& f) {
  *report = WalReadReport();
  VARVE_RETURN_IF_ERROR(options.fs->CreateDir(options.directory));
  VARVE_ASSIGN_OR_RETURN(const Listing files, ListWal(options));
  uint64_t first = 0;
  if (!files.series_files.empty()) {
    first = files.series_files.back();
    VARVE_RETURN_IF_ERROR(
        ReadSegment(options,
                    fmt::format("{}/{}", options.directory,
                                wal_format::SeriesFileName(first)),
                    first, 0, /*last=*/false, report, f));
  }
  for (uint64_t segment : files.segments) {
    // What stands before the series file is redundant; only its deletion was
    // interrupted.
    const std::string path = fmt::format("{}/{}", options.directory,
                                         wal_format::SegmentName(segment));
    report->segment_max = segment;
    if (segment < first) {
      VARVE_ASSIGN_OR_RETURN(const FileInfo info, options.fs->Stat(path));
      report->segment_bytes[segment] = info.size;
      continue;
    }
    VARVE_RETURN_IF_ERROR(ReadSegment(options, path, segment, segment,
                                      segment == files.segments.back(), report,
                                      f));
  }
  report->segment_max = std::max(report->segment_max, first);
  return absl::OkStatus();
}

}  // namespace varve
