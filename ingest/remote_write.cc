#include "ingest/remote_write.h"

#include <absl/strings/ascii.h>
#include <fmt/format.h>
#include <snappy.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "ingest/write_request.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

/// How many rejected series and samples an answer names.
constexpr size_t kNamed = 5;
/// Buffers above this size are not kept for the next request.
constexpr size_t kKeptBytes = size_t{16} << 20;
constexpr size_t kKeptScratches = 16;

std::string Lower(std::string_view text) {
  std::string out(text);
  while (!out.empty() && absl::ascii_isspace(out.back())) out.pop_back();
  out.erase(0, out.find_first_not_of(" \t"));
  for (char& c : out) c = absl::ascii_tolower(c);
  return out;
}

enum class WriteVersion : uint8_t { k1, k2 };

/// The version that a Content-Type stands for. InvalidArgument: the text of the
/// 415.
absl::StatusOr<WriteVersion> VersionOf(std::string_view content_type) {
  const std::string all = Lower(content_type);
  if (all.empty()) return WriteVersion::k1;
  std::string_view rest = all;
  const auto next = [&rest] {
    const size_t semicolon = rest.find(';');
    const std::string part = Lower(rest.substr(0, semicolon));
    rest.remove_prefix(semicolon == std::string_view::npos ? rest.size()
                                                           : semicolon + 1);
    return part;
  };
  if (next() != "application/x-protobuf") {
    return InvalidArgument(
        "Content-Type is {}, remote write is application/x-protobuf",
        Quote(content_type));
  }
  while (!rest.empty()) {
    const std::string parameter = next();
    if (!parameter.starts_with("proto=")) continue;
    const std::string proto = parameter.substr(6);
    if (proto == "io.prometheus.write.v2.request") return WriteVersion::k2;
    if (proto == "prometheus.writerequest") return WriteVersion::k1;
    return InvalidArgument(
        "unknown proto={} in Content-Type; send prometheus.WriteRequest or "
        "io.prometheus.write.v2.Request",
        proto);
  }
  return WriteVersion::k1;
}

absl::Status CheckEncoding(std::string_view encoding) {
  const std::string lower = Lower(encoding);
  if (lower.empty() || lower == "snappy") return absl::OkStatus();
  return InvalidArgument("Content-Encoding is {}, remote write is snappy",
                         Quote(encoding));
}

int HttpStatusOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kDataLoss:
      return 503;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
      return 400;
    default:
      return 500;
  }
}

}  // namespace

/// The buffers of one request, kept for the next.
struct RemoteWriter::Scratch {
  std::string message;
  WriteRequest request;
  WriteBatch batch;
  std::vector<SeriesKey> keys;
  std::vector<SeriesRef> refs;

  size_t bytes() const {
    return message.capacity() + request.series.capacity() * 64 +
           request.timestamps.capacity() * 40;
  }
};

/// One request on its way through.
class RemoteWriter::Request {
 public:
  Request(RemoteWriter* writer, Scratch* scratch, WriteVersion version)
      : writer_(*writer), scratch_(*scratch), version_(version) {}

  RemoteWriteResult Run(std::string_view body);

 private:
  absl::Status Decompress(std::string_view body);
  absl::Status FindSeries();
  absl::Status ResolveMissing(size_t series);
  void FillFloats(WriteBatch* batch);
  void FillRest(WriteBatch* batch);
  void Store();
  void NameRejected(const WriteResult& written);
  void RejectSeries(size_t series, std::string_view why);
  void Fail(int http_status, std::string_view text);
  void Name(std::string line);
  void Conclude();

  uint32_t SamplesBegin(size_t series) const {
    return series == 0 ? 0 : scratch_.request.series[series - 1].samples_end;
  }

  const WriteRequest::Symbols* symbols() const {
    return scratch_.request.symbol_table();
  }
  std::string LabelsText(size_t series) const {
    return RawLabelsText(scratch_.request.series[series].labels, symbols());
  }

  RemoteWriter& writer_;
  Scratch& scratch_;
  const WriteVersion version_;
  std::unique_ptr<Appender> appender_;
  RemoteWriteResult result_;
  int64_t series_rejected_ = 0;
  std::vector<std::string> named_;
};

void RemoteWriter::Request::Fail(int http_status, std::string_view text) {
  result_.http_status = http_status;
  result_.text = fmt::format("{}\n", text);
}

/// Every length that the sender states is checked against what he sent before
/// memory is taken for it.
absl::Status RemoteWriter::Request::Decompress(std::string_view body) {
  size_t size = 0;
  if (!snappy::GetUncompressedLength(body.data(), body.size(), &size)) {
    return InvalidArgument("the body is not snappy: its length is unreadable");
  }
  if (size > writer_.options_.decoded_bytes_max) {
    return ResourceExhausted(
        "the body would be {} bytes decompressed, at most {} are accepted",
        size, writer_.options_.decoded_bytes_max);
  }
  // The densest element of snappy makes 64 bytes out of 3.
  constexpr size_t kRatioMax = 22;
  if (size / kRatioMax > body.size()) {
    return InvalidArgument(
        "the body is not snappy: {} bytes cannot become the {} it promises",
        body.size(), size);
  }
  if (scratch_.message.size() < size) scratch_.message.resize(size);
  if (!snappy::RawUncompress(body.data(), body.size(),
                             scratch_.message.data())) {
    return InvalidArgument("the body is corrupt snappy");
  }
  const std::string_view message(scratch_.message.data(), size);
  return version_ == WriteVersion::k2
             ? WalkWriteRequestV2(message, &scratch_.request)
             : WalkWriteRequest(message, &scratch_.request);
}

RemoteWriteResult RemoteWriter::Request::Run(std::string_view body) {
  if (absl::Status status = Decompress(body); !status.ok()) {
    Fail(absl::IsResourceExhausted(status) ? 413 : 400, Message(status));
    return std::move(result_);
  }
  writer_.samples_ += static_cast<int64_t>(scratch_.request.timestamps.size() +
                                           scratch_.request.histograms.size());
  writer_.exemplars_ += static_cast<int64_t>(scratch_.request.exemplars.size());
  Store();
  writer_.samples_rejected_ += result_.samples_rejected;
  return std::move(result_);
}

absl::Status RemoteWriter::Request::FindSeries() {
  const std::vector<WriteRequest::Series>& series = scratch_.request.series;
  scratch_.keys.clear();
  for (const WriteRequest::Series& s : series) scratch_.keys.push_back(s.key);
  scratch_.refs.resize(series.size());
  writer_.cache_.Find(appender_->series_epoch(), scratch_.keys, scratch_.refs);
  for (size_t i = 0; i < series.size(); ++i) {
    if (scratch_.refs[i] == kNoSeries) {
      VARVE_RETURN_IF_ERROR(ResolveMissing(i));
    }
  }
  return absl::OkStatus();
}

absl::Status RemoteWriter::Request::ResolveMissing(size_t series) {
  const WriteRequest::Series& s = scratch_.request.series[series];
  const uint64_t epoch = appender_->series_epoch();
  writer_.series_missed_.fetch_add(1, std::memory_order_relaxed);
  absl::StatusOr<Labels> labels = DecodeSeriesLabels(s.labels, symbols());
  if (!labels.ok()) {
    RejectSeries(series, Message(labels.status()));
    return absl::OkStatus();
  }
  absl::StatusOr<SeriesRef> ref = appender_->Resolve(*labels);
  if (absl::IsInvalidArgument(ref.status())) {
    RejectSeries(series, Message(ref.status()));
    return absl::OkStatus();
  }
  if (!ref.ok()) return ref.status();
  scratch_.refs[series] = *ref;
  writer_.cache_.Insert(epoch, s.key, *ref);
  return absl::OkStatus();
}

void RemoteWriter::Request::RejectSeries(size_t series, std::string_view why) {
  const WriteRequest::Series& s = scratch_.request.series[series];
  ++series_rejected_;
  result_.samples_rejected += s.samples_end - SamplesBegin(series);
  if (named_.size() < kNamed) {
    Name(fmt::format("{}: {}", LabelsText(series), why));
  }
}

void RemoteWriter::Request::Name(std::string line) {
  if (named_.size() < kNamed) named_.push_back(std::move(line));
}

void RemoteWriter::Request::FillFloats(WriteBatch* batch) {
  WriteRequest& request = scratch_.request;
  batch->refs.reserve(request.timestamps.size());
  size_t at = 0;
  for (size_t i = 0; i < request.series.size(); ++i) {
    for (; at < request.series[i].samples_end; ++at) {
      batch->refs.push_back(scratch_.refs[i]);
    }
  }
  batch->timestamps.swap(request.timestamps);
  batch->values.swap(request.values);
  batch->start_timestamps.swap(request.start_timestamps);
  if (series_rejected_ == 0) return;
  const bool starts = !batch->start_timestamps.empty();
  size_t kept = 0;
  for (size_t i = 0; i < batch->refs.size(); ++i) {
    if (batch->refs[i] == kNoSeries) continue;
    batch->refs[kept] = batch->refs[i];
    batch->timestamps[kept] = batch->timestamps[i];
    batch->values[kept] = batch->values[i];
    if (starts) batch->start_timestamps[kept] = batch->start_timestamps[i];
    ++kept;
  }
  batch->refs.resize(kept);
  batch->timestamps.resize(kept);
  batch->values.resize(kept);
  if (starts) batch->start_timestamps.resize(kept);
}

void RemoteWriter::Request::FillRest(WriteBatch* batch) {
  const WriteRequest& request = scratch_.request;
  for (const WriteRequest::HistogramSample& h : request.histograms) {
    const SeriesRef ref = scratch_.refs[h.series];
    if (ref == kNoSeries || h.histogram == nullptr) {
      ++result_.samples_rejected;
      if (ref != kNoSeries) {
        Name(fmt::format("{} at {}: {}", LabelsText(h.series), h.timestamp_ms,
                         h.error));
      }
      continue;
    }
    batch->histograms.push_back(
        {ref, h.timestamp_ms, h.start_timestamp_ms, h.histogram});
  }
  for (const WriteRequest::ExemplarSample& e : request.exemplars) {
    const SeriesRef ref = scratch_.refs[e.series];
    absl::StatusOr<Labels> labels = DecodeExemplarLabels(e.labels, symbols());
    if (ref == kNoSeries || !labels.ok()) {
      ++result_.exemplars_rejected;
      continue;
    }
    batch->exemplars.push_back(
        {ref, {*std::move(labels), e.value, e.timestamp_ms}});
  }
  for (const WriteRequest::FamilyMetadata& m : request.metadata) {
    batch->metadata.push_back({m.family, m.metadata});
  }
}

void RemoteWriter::Request::Store() {
  appender_ = writer_.options_.begin_append();
  if (absl::Status status = FindSeries(); !status.ok()) {
    Fail(HttpStatusOf(status), Message(status));
    return;
  }
  // Our columns go in and come back, so that the next request has them.
  WriteBatch& batch = appender_->batch();
  std::swap(batch, scratch_.batch);
  batch.Clear();
  FillFloats(&batch);
  FillRest(&batch);
  absl::StatusOr<WriteResult> written = appender_->Commit();
  std::swap(batch, scratch_.batch);
  if (!written.ok()) {
    Fail(HttpStatusOf(written.status()), Message(written.status()));
    return;
  }
  result_.samples_stored = written->samples_stored;
  result_.histograms_stored = written->histograms_stored;
  result_.exemplars_stored = written->exemplars_stored;
  NameRejected(*written);
  Conclude();
}

void RemoteWriter::Request::NameRejected(const WriteResult& written) {
  const int64_t exemplars =
      written.rejected[static_cast<size_t>(Rejection::kExemplar)];
  result_.samples_rejected += written.rejected_total() - exemplars;
  result_.exemplars_rejected += exemplars;
  for (const WriteResult::Rejected& r : written.examples) {
    if (r.reason == Rejection::kExemplar) continue;
    const auto it =
        std::find(scratch_.refs.begin(), scratch_.refs.end(), r.ref);
    if (it == scratch_.refs.end()) continue;
    const size_t series = static_cast<size_t>(it - scratch_.refs.begin());
    Name(fmt::format("{} at {}: {}", LabelsText(series), r.timestamp_ms,
                     RejectionText(r.reason)));
  }
}

void RemoteWriter::Request::Conclude() {
  if (result_.samples_rejected == 0 && series_rejected_ == 0) return;
  std::string text =
      fmt::format("{} samples stored, {} rejected, {} series invalid:\n",
                  result_.samples_stored + result_.histograms_stored,
                  result_.samples_rejected, series_rejected_);
  for (const std::string& line : named_) text += "  " + line + "\n";
  result_.http_status = 400;
  result_.text = std::move(text);
}

RemoteWriter::RemoteWriter(RemoteWriteOptions options)
    : options_(std::move(options)), cache_(options_.cache_entries_max) {}

RemoteWriter::~RemoteWriter() = default;

std::unique_ptr<RemoteWriter::Scratch> RemoteWriter::TakeScratch() {
  MutexLock lock(&mutex_);
  if (idle_.empty()) return std::make_unique<Scratch>();
  std::unique_ptr<Scratch> scratch = std::move(idle_.back());
  idle_.pop_back();
  return scratch;
}

void RemoteWriter::ReturnScratch(std::unique_ptr<Scratch> scratch) {
  if (scratch->bytes() > kKeptBytes) return;
  MutexLock lock(&mutex_);
  if (idle_.size() < kKeptScratches) idle_.push_back(std::move(scratch));
}

RemoteWriteResult RemoteWriter::Write(std::string_view content_type,
                                      std::string_view content_encoding,
                                      std::string_view body) {
  requests_.fetch_add(1, std::memory_order_relaxed);
  RemoteWriteResult result;
  const absl::StatusOr<WriteVersion> version = VersionOf(content_type);
  absl::Status supported = version.status();
  supported.Update(CheckEncoding(content_encoding));
  if (!supported.ok()) {
    result.http_status = 415;
    result.text = fmt::format("{}\n", Message(supported));
  } else {
    std::unique_ptr<Scratch> scratch = TakeScratch();
    result = Request(this, scratch.get(), *version).Run(body);
    result.counts_asked = *version == WriteVersion::k2;
    ReturnScratch(std::move(scratch));
  }
  if (result.http_status != 204) ++requests_failed_;
  return result;
}

RemoteWriteStats RemoteWriter::Stats() const {
  RemoteWriteStats stats;
  stats.requests = requests_;
  stats.requests_failed = requests_failed_;
  stats.samples = samples_;
  stats.samples_rejected = samples_rejected_;
  stats.exemplars = exemplars_;
  stats.series_missed = series_missed_;
  stats.cache_entries = static_cast<int64_t>(cache_.size());
  stats.cache_bytes = static_cast<int64_t>(cache_.bytes());
  return stats;
}

}  // namespace varve
