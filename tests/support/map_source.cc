#include "tests/support/map_source.h"

#include <set>

#include "storage/block_source.h"

namespace varve {
namespace {

constexpr size_t kBatchSamples = 120;

bool AllMatch(const Labels& labels, std::span<const Matcher> matchers) {
  for (const Matcher& m : matchers) {
    if (!m.Matches(labels.Get(m.name()))) return false;
  }
  return true;
}

class MapCursor final : public SeriesCursor {
 public:
  explicit MapCursor(std::vector<MapSource::Point> points)
      : points_(std::move(points)) {}

  absl::StatusOr<bool> Next(SampleColumns* out) override {
    out->Clear();
    if (at_ == points_.size()) return false;
    const bool floats = points_[at_].histogram == nullptr;
    out->kind =
        floats ? SampleColumns::Kind::kFloat : SampleColumns::Kind::kHistogram;
    while (at_ < points_.size() && out->size() < kBatchSamples &&
           (points_[at_].histogram == nullptr) == floats) {
      const MapSource::Point& p = points_[at_++];
      out->timestamps.push_back(p.timestamp_ms);
      if (floats) {
        out->values.push_back(p.value);
      } else {
        out->histograms.push_back(p.histogram);
      }
      out->start_timestamps.push_back(p.start_timestamp_ms);
    }
    return true;
  }

 private:
  std::vector<MapSource::Point> points_;
  size_t at_ = 0;
};

class MapSet final : public SeriesSet {
 public:
  using Entry = std::pair<Labels, std::vector<MapSource::Point>>;
  explicit MapSet(std::vector<Entry> entries) : entries_(std::move(entries)) {}

  absl::StatusOr<bool> Next() override { return ++at_ <= entries_.size(); }
  const Labels& labels() const override { return entries_[at_ - 1].first; }
  std::unique_ptr<SeriesCursor> Cursor() override {
    return std::make_unique<MapCursor>(entries_[at_ - 1].second);
  }

 private:
  std::vector<Entry> entries_;
  size_t at_ = 0;
};

std::vector<std::string> Limited(const std::set<std::string>& all,
                                 int64_t limit) {
  std::vector<std::string> out(all.begin(), all.end());
  if (limit > 0 && out.size() > static_cast<size_t>(limit) + 1) {
    out.resize(static_cast<size_t>(limit) + 1);
  }
  return out;
}

}  // namespace

void MapSource::Add(const Labels& labels, int64_t timestamp_ms, double value,
                    int64_t start_ms) {
  series_[labels][timestamp_ms] = Point{timestamp_ms, value, nullptr, start_ms};
}

void MapSource::Add(const Labels& labels, int64_t timestamp_ms,
                    Histogram histogram, int64_t start_ms) {
  series_[labels][timestamp_ms] =
      Point{timestamp_ms, 0,
            std::make_shared<const Histogram>(std::move(histogram)), start_ms};
}

absl::StatusOr<std::unique_ptr<SeriesSet>> MapSource::Select(
    QueryContext& context, std::span<const Matcher> matchers,
    const SelectHints& hints) const {
  if (absl::Status s = context.Check(); !s.ok()) return s;
  std::vector<MapSet::Entry> entries;
  for (const auto& [labels, points] : series_) {
    if (!AllMatch(labels, matchers)) continue;
    std::vector<Point> in_range;
    for (auto it = points.lower_bound(hints.start_ms);
         it != points.end() && it->first <= hints.end_ms; ++it) {
      in_range.push_back(it->second);
      // So that no test passes whose caller asks for less than it needs.
      Point& point = in_range.back();
      if (NeedsOnlyPresence(hints) && !IsStaleNan(point.value))
        point.value = 12345;
    }
    if (!in_range.empty()) entries.emplace_back(labels, std::move(in_range));
  }
  return std::make_unique<MapSet>(std::move(entries));
}

absl::StatusOr<std::vector<std::string>> MapSource::LabelNames(
    QueryContext& context, std::span<const Matcher> matchers,
    const SelectHints& hints) const {
  std::set<std::string> names;
  auto set = Select(context, matchers, hints);
  if (!set.ok()) return set.status();
  while (*(*set)->Next()) {
    for (const LabelView& l : (*set)->labels()) names.emplace(l.name);
  }
  return Limited(names, hints.limit);
}

absl::StatusOr<std::vector<std::string>> MapSource::LabelValues(
    QueryContext& context, std::string_view name,
    std::span<const Matcher> matchers, const SelectHints& hints) const {
  std::set<std::string> values;
  auto set = Select(context, matchers, hints);
  if (!set.ok()) return set.status();
  while (*(*set)->Next()) {
    if (const auto v = (*set)->labels().Get(name); !v.empty()) {
      values.emplace(v);
    }
  }
  return Limited(values, hints.limit);
}

}  // namespace varve
