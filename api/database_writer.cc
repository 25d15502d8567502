#include "api/database_writer.h"

#include <utility>

namespace varve {
namespace {

// As remote write: what is longer is surely a mistake, and would be kept for
// ever in the index.
constexpr size_t kLabelBytesMax = 64 << 10;

class DbWriter final : public Writer {
 public:
  explicit DbWriter(Db* db) : db_(db) {}

  void Add(const Labels& labels, int64_t timestamp_ms, double value) override {
    floats_.push_back({labels, timestamp_ms, value});
  }
  void AddHistogram(const Labels& labels, int64_t timestamp_ms,
                    Histogram histogram) override {
    histograms_.push_back(
        {labels, timestamp_ms,
         std::make_shared<const Histogram>(std::move(histogram))});
  }
  void AddExemplar(const Labels& labels, Exemplar exemplar) override {
    exemplars_.push_back({labels, std::move(exemplar)});
  }
  void AddMetadata(std::string family, Metadata metadata) override {
    metadata_.push_back({std::move(family), std::move(metadata)});
  }

  absl::StatusOr<WriteResult> Commit() override {
    auto result = Write();
    floats_.clear();
    histograms_.clear();
    exemplars_.clear();
    metadata_.clear();
    return result;
  }

 private:
  struct FloatSample {
    Labels labels;
    int64_t timestamp_ms;
    double value;
  };
  struct HistogramSample {
    Labels labels;
    int64_t timestamp_ms;
    std::shared_ptr<const Histogram> histogram;
  };

  absl::Status Validate() const {
    for (const FloatSample& s : floats_) {
      VARVE_RETURN_IF_ERROR(ValidateSeriesLabels(s.labels));
    }
    for (const HistogramSample& s : histograms_) {
      VARVE_RETURN_IF_ERROR(ValidateSeriesLabels(s.labels));
    }
    for (const auto& [labels, exemplar] : exemplars_) {
      VARVE_RETURN_IF_ERROR(ValidateSeriesLabels(labels));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<WriteResult> Write() {
    VARVE_RETURN_IF_ERROR(Validate());
    const std::unique_ptr<Appender> appender = db_->BeginAppend();
    WriteBatch& batch = appender->batch();
    for (const FloatSample& s : floats_) {
      VARVE_ASSIGN_OR_RETURN(const SeriesRef ref, appender->Resolve(s.labels));
      batch.Add(ref, s.timestamp_ms, s.value);
    }
    for (const HistogramSample& s : histograms_) {
      VARVE_ASSIGN_OR_RETURN(const SeriesRef ref, appender->Resolve(s.labels));
      batch.histograms.push_back(
          {ref, s.timestamp_ms, kNoStartTimestamp, s.histogram});
    }
    for (const auto& [labels, exemplar] : exemplars_) {
      VARVE_ASSIGN_OR_RETURN(const SeriesRef ref, appender->Resolve(labels));
      batch.exemplars.push_back({ref, exemplar});
    }
    batch.metadata = metadata_;
    return appender->Commit();
  }

  Db* const db_;
  std::vector<FloatSample> floats_;
  std::vector<HistogramSample> histograms_;
  std::vector<std::pair<Labels, Exemplar>> exemplars_;
  std::vector<WriteBatch::FamilyMetadata> metadata_;
};

}  // namespace

std::unique_ptr<Writer> MakeWriter(Db* db) {
  return std::make_unique<DbWriter>(db);
}

absl::Status ValidateSeriesLabels(const Labels& labels) {
  if (labels.metric_name().empty()) {
    return InvalidArgument("series {} has no metric name (label __name__)",
                           labels.ToString());
  }
  for (const LabelView& label : labels) {
    if (label.name.size() > kLabelBytesMax ||
        label.value.size() > kLabelBytesMax) {
      return InvalidArgument("label {} of series {} is longer than {} bytes",
                             Quote(label.name.substr(0, 100)),
                             Quote(labels.metric_name().substr(0, 100)),
                             kLabelBytesMax);
    }
    if (label.name.empty() || !IsValidUtf8(label.name) ||
        !IsValidUtf8(label.value)) {
      return InvalidArgument("label {} of series {} is not valid UTF-8",
                             Quote(label.name), Quote(labels.metric_name()));
    }
  }
  return absl::OkStatus();
}

}  // namespace varve
