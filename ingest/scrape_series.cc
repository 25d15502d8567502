#include "ingest/scrape_series.h"

#include <absl/container/flat_hash_set.h>

#include <algorithm>

#include "storage/status_macros.h"

namespace varve {
namespace {

// Metadata stays this many scrapes after its last mention.
constexpr uint64_t kMetadataScrapes = 10;

std::string_view Shorten(std::string_view text) { return text.substr(0, 50); }

}  // namespace

std::vector<std::string> EmptyLabelNames(std::string_view raw) {
  std::vector<std::string> names;
  std::string name;
  bool is_value = false;  // the next string is a value, not a quoted name
  for (size_t at = raw.find('{'); at < raw.size(); ++at) {
    const char c = raw[at];
    if (c == '"') {
      const size_t from = ++at;
      while (at < raw.size() && raw[at] != '"') at += raw[at] == '\\' ? 2 : 1;
      at = std::min(at, raw.size());
      const std::string_view text = raw.substr(from, at - from);
      if (!is_value) {
        name = text;
      } else if (text.empty()) {
        names.push_back(name);
      }
    } else if (c == '=') {
      is_value = true;
    } else if (c == ',' || c == '{') {
      is_value = false;
      name.clear();
    } else if (c != ' ' && c != '\t') {
      name += c;
    }
  }
  return names;
}

Labels JoinTargetLabels(const Labels& exposed, const Labels& target,
                        bool honor_labels) {
  LabelsBuilder builder(exposed);
  std::vector<LabelView> conflicts;
  for (const LabelView& label : target) {
    const std::string_view own = exposed.Get(label.name);
    if (own.empty()) {
      builder.Set(label.name, label.value);
    } else if (!honor_labels) {
      conflicts.push_back({label.name, own});
      builder.Set(label.name, label.value);
    }
  }
  std::stable_sort(conflicts.begin(), conflicts.end(),
                   [](const LabelView& a, const LabelView& b) {
                     return a.name.size() < b.name.size();
                   });
  for (const LabelView& conflict : conflicts) {
    std::string name(conflict.name);
    do {
      name.insert(0, "exported_");
    } while (!builder.Get(name).empty());
    builder.Set(name, conflict.value);
  }
  return builder.Build();
}

// One body on its way into a batch.
struct ScrapeSeries::Body {
  std::string_view text;
  TextFormat format;
  int64_t timestamp_ms;
  uint64_t sample_limit;
  WriteBatch* batch;
  uint64_t epoch;
  ScrapeCounts* counts;

  size_t kept = 0;  // entries tracked now that were tracked before
  size_t tracked = 0;
  // Series to be created once the body is known to be good, and what waits for
  // their refs: positions in batch->refs and batch->exemplars.
  std::vector<std::pair<Entry*, Labels>> fresh = {};
  std::vector<std::pair<size_t, Entry*>> floats_waiting = {};
  std::vector<std::pair<size_t, Entry*>> exemplars_waiting = {};
  uint64_t added = 0;  // samples that count for the limit
};

absl::Status ScrapeSeries::Append(std::string_view text, TextFormat format,
                                  int64_t timestamp_ms, uint64_t sample_limit,
                                  Appender* appender, ScrapeCounts* counts) {
  WriteBatch& batch = appender->batch();
  Body body{.text = text,
            .format = format,
            .timestamp_ms = timestamp_ms,
            .sample_limit = sample_limit,
            .batch = &batch,
            .epoch = appender->series_epoch(),
            .counts = counts};
  const size_t floats = batch.refs.size();
  const size_t exemplars = batch.exemplars.size();
  last_ = nullptr;
  seen_count_ = 0;
  absl::Status status = Parse(&body);
  if (status.ok()) status = Resolve(&body, appender);
  if (status.ok() && body.kept != previous_count_) {
    status = MarkStale(timestamp_ms, appender, false);
  }
  if (!status.ok()) {
    batch.refs.resize(floats);
    batch.timestamps.resize(floats);
    batch.values.resize(floats);
    batch.exemplars.resize(exemplars);
    return status;
  }
  previous_ = iteration_++;
  previous_count_ = body.tracked;
  TakeMetadata(&batch);
  Flush();
  return absl::OkStatus();
}

absl::Status ScrapeSeries::Parse(Body* body) {
  TextParser parser(body->text, body->format);
  for (TextEntry line;;) {
    VARVE_RETURN_IF_ERROR(parser.Next(&line));
    switch (line.kind) {
      case TextEntry::Kind::kEnd:
        if (body->counts->sample_limit_exceeded) {
          return ResourceExhausted("sample limit exceeded");
        }
        return absl::OkStatus();
      case TextEntry::Kind::kSeries:
        VARVE_RETURN_IF_ERROR(OnSample(line, body));
        break;
      case TextEntry::Kind::kComment:
        break;
      default:
        OnMetadata(line);
        break;
    }
  }
}

ScrapeSeries::Entry* ScrapeSeries::Lookup(std::string_view raw) {
  Entry* expected = last_ == nullptr ? first_ : last_->next;
  if (expected != nullptr && expected->raw == raw) return expected;
  const auto found = entries_.find(raw);
  return found == entries_.end() ? nullptr : found->second.get();
}

absl::Status ScrapeSeries::OnSample(const TextEntry& line, Body* body) {
  ++body->counts->scraped;
  Entry* entry = Lookup(line.series);
  const bool known = entry != nullptr && entry->type == line.type &&
                     (entry->dropped || entry->epoch == body->epoch ||
                      entry->seen == iteration_);
  if (!known) {
    VARVE_RETURN_IF_ERROR(Admit(line, &entry, body));
    if (entry == nullptr) return absl::OkStatus();  // over the sample limit
  }
  const bool again = entry->seen == iteration_ && known;
  if (entry->seen != iteration_) ++seen_count_;
  entry->seen = iteration_;
  if (last_ != entry) {
    if (last_ == nullptr) {
      first_ = entry;
    } else {
      last_->next = entry;
    }
    last_ = entry;
  }
  if (entry->dropped) return absl::OkStatus();
  ++body->counts->post_relabel;
  const bool has_time = rules_.honor_timestamps && line.timestamp_ms;
  if (again && !has_time) return absl::OkStatus();  // a duplicate: first wins
  if (body->sample_limit > 0 && ++body->added > body->sample_limit) {
    body->counts->sample_limit_exceeded = true;
    return absl::OkStatus();
  }
  const int64_t time = has_time ? *line.timestamp_ms : body->timestamp_ms;
  if (entry->epoch != body->epoch) {
    body->floats_waiting.emplace_back(body->batch->refs.size(), entry);
  }
  body->batch->Add(entry->ref, time, line.value);
  if (!has_time || rules_.track_timestamps_staleness) Track(entry, body);
  if (line.exemplar) return AddExemplar(line, time, entry, body);
  return absl::OkStatus();
}

// A line whose series we do not know (any more): finds out what it is. A new
// entry is kept only while the sample limit holds, so that a target gone wild
// costs nothing that stays.
absl::Status ScrapeSeries::Admit(const TextEntry& line, Entry** entry,
                                 Body* body) {
  bool dropped = false;
  VARVE_ASSIGN_OR_RETURN(Labels labels,
                         MakeLabels(line.series, line.type, &dropped));
  if (!dropped) VARVE_RETURN_IF_ERROR(CheckLimits(labels));
  const bool over =
      !dropped && body->sample_limit > 0 && body->added >= body->sample_limit;
  if (over) {
    ++body->counts->post_relabel;
    body->counts->sample_limit_exceeded = true;
    *entry = nullptr;
    return absl::OkStatus();
  }
  if (*entry == nullptr) {
    auto made = std::make_unique<Entry>();
    made->raw = line.series;
    *entry = made.get();
    entries_.emplace((*entry)->raw, std::move(made));
    if (!dropped) ++body->counts->series_added;
  }
  (*entry)->type = line.type;
  (*entry)->dropped = dropped;
  (*entry)->epoch = 0;
  (*entry)->ref = kNoSeries;
  if (!dropped) body->fresh.emplace_back(*entry, std::move(labels));
  return absl::OkStatus();
}

absl::StatusOr<Labels> ScrapeSeries::MakeLabels(std::string_view raw,
                                                FamilyType type,
                                                bool* dropped) const {
  VARVE_ASSIGN_OR_RETURN(const Labels exposed,
                         ParseSeriesText(raw, type, rules_.names));
  Labels joined =
      JoinTargetLabels(exposed, rules_.target_labels, rules_.honor_labels);
  // An empty value says: not this label, and not the target's either.
  if (rules_.honor_labels && raw.find("\"\"") != std::string_view::npos) {
    LabelsBuilder without(joined);
    for (const std::string& name : EmptyLabelNames(raw)) without.Del(name);
    joined = without.Build();
  }
  *dropped = false;
  if (rules_.metric_relabel.empty()) return joined;
  LabelsBuilder builder(joined);
  if (!rules_.metric_relabel.Apply(&builder)) {
    *dropped = true;
    return Labels();
  }
  Labels labels = builder.Build();
  *dropped = labels.empty();
  return labels;
}

absl::Status ScrapeSeries::CheckLimits(const Labels& labels) const {
  const std::string_view metric = labels.metric_name();
  if (metric.empty()) {
    return InvalidArgument("missing metric name (__name__ label)");
  }
  if (!IsValidMetricName(metric, rules_.names)) {
    return InvalidArgument("invalid metric name or label names: {}",
                           labels.ToString());
  }
  uint64_t count = 0;
  for (const LabelView& label : labels) {
    ++count;
    if (!IsValidLabelName(label.name, rules_.names)) {
      return InvalidArgument("invalid metric name or label names: {}",
                             labels.ToString());
    }
    if (rules_.label_name_length_limit > 0 &&
        label.name.size() > rules_.label_name_length_limit) {
      return InvalidArgument(
          "label_name_length_limit exceeded (metric: {}, label name: {}, "
          "length: {}, limit: {})",
          Shorten(metric), Shorten(label.name), label.name.size(),
          rules_.label_name_length_limit);
    }
    if (rules_.label_value_length_limit > 0 &&
        label.value.size() > rules_.label_value_length_limit) {
      return InvalidArgument(
          "label_value_length_limit exceeded (metric: {}, label name: {}, "
          "value: {}, length: {}, limit: {})",
          Shorten(metric), Shorten(label.name), Quote(Shorten(label.value)),
          label.value.size(), rules_.label_value_length_limit);
    }
  }
  if (rules_.label_limit > 0 && count > rules_.label_limit) {
    return InvalidArgument(
        "label_limit exceeded (metric: {}, number of labels: {}, limit: {})",
        Shorten(metric), count, rules_.label_limit);
  }
  return absl::OkStatus();
}

void ScrapeSeries::Track(Entry* entry, Body* body) {
  if (entry->tracked == iteration_) return;
  if (entry->tracked == previous_) ++body->kept;
  entry->tracked_before = entry->tracked;
  entry->tracked = iteration_;
  ++body->tracked;
}

absl::Status ScrapeSeries::AddExemplar(const TextEntry& line, int64_t time,
                                       Entry* entry, Body* body) {
  VARVE_ASSIGN_OR_RETURN(Labels labels,
                         ParseExemplarLabels(line.exemplar->labels));
  if (entry->epoch != body->epoch) {
    body->exemplars_waiting.emplace_back(body->batch->exemplars.size(), entry);
  }
  body->batch->exemplars.push_back(
      {entry->ref,
       {std::move(labels), line.exemplar->value,
        line.exemplar->timestamp_ms.value_or(time)}});
  return absl::OkStatus();
}

absl::Status ScrapeSeries::Resolve(Body* body, Appender* appender) {
  for (const auto& [entry, labels] : body->fresh) {
    VARVE_ASSIGN_OR_RETURN(entry->ref, appender->Resolve(labels));
    entry->epoch = body->epoch;
  }
  for (const auto& [index, entry] : body->floats_waiting) {
    body->batch->refs[index] = entry->ref;
  }
  for (const auto& [index, entry] : body->exemplars_waiting) {
    body->batch->exemplars[index].ref = entry->ref;
  }
  return absl::OkStatus();
}

absl::Status ScrapeSeries::RefOf(Entry* entry, Appender* appender) {
  if (entry->epoch == appender->series_epoch()) return absl::OkStatus();
  bool dropped = false;
  VARVE_ASSIGN_OR_RETURN(const Labels labels,
                         MakeLabels(entry->raw, entry->type, &dropped));
  VARVE_ASSIGN_OR_RETURN(entry->ref, appender->Resolve(labels));
  entry->epoch = appender->series_epoch();
  return absl::OkStatus();
}

// Two texts can name one series ({a,b} and {b,a}), so a ref that has a sample
// in the batch is alive.
absl::Status ScrapeSeries::MarkStale(int64_t timestamp_ms, Appender* appender,
                                     bool everything) {
  WriteBatch& batch = appender->batch();
  absl::flat_hash_set<SeriesRef> alive;
  if (!everything) alive.insert(batch.refs.begin(), batch.refs.end());
  for (auto& [raw, entry] : entries_) {
    const bool now = entry->tracked == iteration_;
    const bool before =
        (now ? entry->tracked_before : entry->tracked) == previous_;
    if (!before || (now && !everything)) continue;
    VARVE_RETURN_IF_ERROR(RefOf(entry.get(), appender));
    if (alive.insert(entry->ref).second) {
      batch.Add(entry->ref, timestamp_ms, StaleNan());
    }
  }
  return absl::OkStatus();
}

absl::Status ScrapeSeries::AppendEmpty(int64_t timestamp_ms,
                                       Appender* appender) {
  if (previous_count_ > 0) {
    VARVE_RETURN_IF_ERROR(MarkStale(timestamp_ms, appender, true));
  }
  // What a failed body has touched must not pass for tracked.
  previous_ = ++iteration_;
  ++iteration_;
  previous_count_ = 0;
  // A target whose labels change and whose scrapes all fail would fill the
  // memory.
  if (entries_.size() > count_at_success_ * 2 + 1000) {
    first_ = nullptr;
    entries_.clear();
  }
  return absl::OkStatus();
}

absl::Status ScrapeSeries::AppendReport(std::string_view name,
                                        int64_t timestamp_ms, double value,
                                        Appender* appender) {
  auto report = std::find_if(reports_.begin(), reports_.end(),
                             [&](const Report& r) { return r.name == name; });
  if (report == reports_.end()) {
    reports_.push_back({std::string(name), kNoSeries, 0});
    report = reports_.end() - 1;
  }
  if (report->ref == kNoSeries || report->epoch != appender->series_epoch()) {
    const Labels labels = JoinTargetLabels(Labels{{kMetricName, name}},
                                           rules_.target_labels, false);
    VARVE_ASSIGN_OR_RETURN(report->ref, appender->Resolve(labels));
    report->epoch = appender->series_epoch();
  }
  appender->batch().Add(report->ref, timestamp_ms, value);
  return absl::OkStatus();
}

void ScrapeSeries::CollectLive(std::vector<SeriesRef>* refs) const {
  for (const auto& [raw, entry] : entries_) {
    if (previous_count_ > 0 && entry->tracked == previous_) {
      refs->push_back(entry->ref);
    }
  }
  for (const Report& report : reports_) refs->push_back(report.ref);
}

void ScrapeSeries::OnMetadata(const TextEntry& line) {
  FamilyEntry& family = families_[line.family];
  if (family.seen == 0) {
    family.changed = true;
    family.metadata.type = FamilyTypeText(FamilyType::kUnknown);
  }
  family.seen = iteration_;
  std::string* field = &family.metadata.type;
  std::string_view text;
  switch (line.kind) {
    case TextEntry::Kind::kHelp:
      field = &family.metadata.help;
      text = line.text;
      break;
    case TextEntry::Kind::kUnit:
      field = &family.metadata.unit;
      text = line.text;
      break;
    default:
      text = FamilyTypeText(line.type);
      break;
  }
  if (*field == text) return;
  *field = text;
  family.changed = true;
}

std::vector<std::pair<std::string, Metadata>> ScrapeSeries::FamilyMetadata()
    const {
  std::vector<std::pair<std::string, Metadata>> out;
  out.reserve(families_.size());
  for (const auto& [name, family] : families_) {
    out.emplace_back(name, family.metadata);
  }
  std::sort(out.begin(), out.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  return out;
}

void ScrapeSeries::TakeMetadata(WriteBatch* batch) {
  for (auto it = families_.begin(); it != families_.end();) {
    FamilyEntry& family = it->second;
    if (family.changed) batch->metadata.push_back({it->first, family.metadata});
    family.changed = false;
    if (iteration_ - family.seen > kMetadataScrapes) {
      families_.erase(it++);
    } else {
      ++it;
    }
  }
}

// Forgets what this body did not have. The links of those that stay were all
// set by this body, so none points to what goes.
void ScrapeSeries::Flush() {
  if (last_ != nullptr) {
    last_->next = nullptr;
  } else {
    first_ = nullptr;
  }
  if (seen_count_ != entries_.size()) {
    for (auto it = entries_.begin(); it != entries_.end();) {
      if (it->second->seen == previous_) {
        ++it;
      } else {
        entries_.erase(it++);
      }
    }
  }
  count_at_success_ = entries_.size();
}

}  // namespace varve
