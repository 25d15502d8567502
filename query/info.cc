#include "query/info.h"

#include <algorithm>
#include <map>
#include <set>

#include "query/info_table.h"
#include "query/merge_duplicates.h"
#include "storage/status_macros.h"

namespace varve::promql {
namespace {

constexpr std::string_view kDefaultInfoMetric = "target_info";

/// What the second argument asks for.
struct InfoRequest {
  std::vector<Matcher> names;  ///< of the info metrics
  /// A series that has one of the metrics' names is one of them, not one to add
  /// labels to. (Not so when no name was asked for.)
  bool passes_info_series = false;
  std::vector<Matcher> data;  ///< of the labels that are wanted

  bool IsInfoSeries(const Labels& labels) const {
    const std::string_view name = labels.Get(kMetricName);
    return passes_info_series &&
           std::all_of(names.begin(), names.end(),
                       [&](const Matcher& m) { return m.Matches(name); });
  }
  bool Wants(std::string_view label) const {
    return label != kMetricName &&
           (data.empty() ||
            std::any_of(data.begin(), data.end(),
                        [&](const Matcher& m) { return m.name() == label; }));
  }
  /// Whether a series without any info metric is part of the answer.
  bool KeepsBare() const {
    return std::all_of(data.begin(), data.end(),
                       [](const Matcher& m) { return m.MatchesEmpty(); });
  }
};

absl::StatusOr<InfoRequest> RequestOf(const Call& call) {
  InfoRequest out;
  if (call.arguments.size() > 1) {
    for (const Matcher& m : As<VectorSelector>(*call.arguments[1]).matchers) {
      (m.name() == kMetricName ? out.names : out.data).push_back(m);
    }
  }
  out.passes_info_series = call.arguments.size() == 1 || !out.names.empty();
  if (out.names.empty()) {
    VARVE_ASSIGN_OR_RETURN(
        Matcher name,
        Matcher::Create(MatchType::kEqual, std::string(kMetricName),
                        std::string(kDefaultInfoMetric)));
    out.names.push_back(std::move(name));
  }
  return out;
}

/// The first selector as the text is read; null if there is none.
const PlanNode* FirstSelector(const PlanNode& node) {
  if (node.kind == PlanKind::kSelector || node.kind == PlanKind::kRange) {
    return &node;
  }
  for (const PlanPtr& input : node.inputs) {
    if (const PlanNode* found = FirstSelector(*input)) return found;
  }
  return nullptr;
}

/// Which info series count at which steps, for all base series of an identity.
struct Timeline {
  /// From first_step on, until the next run.
  struct Run {
    size_t first_step = 0;
    size_t group = 0;
  };
  std::vector<Run> runs;
  /// The distinct sets of series that count together, by metric name.
  std::vector<std::vector<int32_t>> groups;
};

Timeline MakeTimeline(const InfoTable& table, const InfoIdentity& identity,
                      size_t steps) {
  Timeline out;
  const std::vector<const InfoTable::Metric*> metrics =
      table.MetricsOf(identity);
  std::map<std::vector<int32_t>, size_t> known;
  std::vector<int32_t> group;
  for (size_t step = 0; step < steps; ++step) {
    group.clear();
    for (const InfoTable::Metric* metric : metrics) {
      const int32_t series = metric->newest[step];
      if (series != InfoTable::kNone) group.push_back(series);
    }
    if (!out.runs.empty() && group == out.groups[out.runs.back().group]) {
      continue;
    }
    const auto [it, is_new] = known.try_emplace(group, out.groups.size());
    if (is_new) out.groups.push_back(group);
    out.runs.push_back({step, it->second});
  }
  return out;
}

class Info final : public Operator {
 public:
  Info(const PlanNode& node, EvalContext& context, InfoRequest request,
       OperatorPtr base)
      : Operator(context, base->grid()),
        base_(std::move(base)),
        request_(std::move(request)),
        table_(context, grid_, AnchorOf(node)),
        held_(context.query) {}

  absl::StatusOr<const std::vector<SeriesInfo>*> Series() override {
    VARVE_ASSIGN_OR_RETURN(const std::vector<SeriesInfo>* base,
                           base_->Series());
    VARVE_RETURN_IF_ERROR(ReadInfoSeries(*base));
    PacedCheck check(context_.query);
    for (const SeriesInfo& series : *base) {
      VARVE_RETURN_IF_ERROR(check());
      VARVE_RETURN_IF_ERROR(Enrich(series));
    }
    return &series_;
  }

  absl::StatusOr<bool> Next(Row* row) override {
    for (;;) {
      while (next_group_ < groups_left_) {
        const size_t group = next_group_++;
        VARVE_ASSIGN_OR_RETURN(const bool shown, Show(group, row));
        if (shown) return true;
      }
      VARVE_ASSIGN_OR_RETURN(const bool more, base_->Next(&base_row_));
      if (!more) return false;
      VARVE_RETURN_IF_ERROR(CheckProblems());
      next_group_ = 0;
      groups_left_ = TimelineOf(bases_[base_row_.series]).groups.size();
    }
  }

 private:
  /// What becomes of a base series while a group of info series counts.
  struct Outcome {
    enum class Kind : uint8_t { kSeries, kDropped, kConflict };
    Kind kind = Kind::kDropped;
    uint32_t series = 0;   ///< kSeries: in series_
    std::string conflict;  ///< kConflict: the label with two values
  };
  struct Base {
    const Timeline* timeline = nullptr;
    size_t first_outcome = 0;  ///< in outcomes_, one per group of the timeline
  };

  static TimeAnchor AnchorOf(const PlanNode& node) {
    const PlanNode* selector = FirstSelector(*node.inputs[0]);
    return selector == nullptr ? TimeAnchor() : selector->anchor;
  }

  absl::Status ReadInfoSeries(const std::vector<SeriesInfo>& base) {
    std::set<InfoIdentity> identities;
    PacedCheck check(context_.query);
    for (const SeriesInfo& series : base) {
      VARVE_RETURN_IF_ERROR(check());
      if (request_.IsInfoSeries(series.labels)) continue;
      InfoIdentity id = InfoIdentity::Of(series.labels);
      if (id.empty() || identities.contains(id)) continue;
      VARVE_RETURN_IF_ERROR(held_.Add(HeldBytes::BytesOf(series.labels)));
      identities.insert(std::move(id));
    }
    if (identities.empty()) return absl::OkStatus();
    std::vector<Matcher> matchers = request_.names;
    matchers.insert(matchers.end(), request_.data.begin(), request_.data.end());
    return table_.Read(std::move(matchers), identities);
  }

  /// Finds the output series of the next base series.
  absl::Status Enrich(const SeriesInfo& series) {
    Base& base = bases_.emplace_back();
    base.first_outcome = outcomes_.size();
    if (request_.IsInfoSeries(series.labels)) {
      base.timeline = &unchanged_;
      return Output(series);
    }
    VARVE_ASSIGN_OR_RETURN(base.timeline,
                           TimelineOf(InfoIdentity::Of(series.labels)));
    for (const std::vector<int32_t>& group : base.timeline->groups) {
      VARVE_RETURN_IF_ERROR(EnrichWith(series, group));
    }
    return absl::OkStatus();
  }

  absl::Status EnrichWith(const SeriesInfo& series,
                          const std::vector<int32_t>& group) {
    if (group.empty()) {
      if (request_.KeepsBare()) return Output(series);
      outcomes_.emplace_back();
      return absl::OkStatus();
    }
    std::map<std::string_view, std::string_view> added;
    for (const int32_t info : group) {
      for (const LabelView& label : table_.LabelsOf(info)) {
        if (!request_.Wants(label.name) ||
            !series.labels.Get(label.name).empty()) {
          continue;
        }
        const auto [it, is_new] = added.try_emplace(label.name, label.value);
        if (is_new || it->second == label.value) continue;
        outcomes_.push_back(
            {Outcome::Kind::kConflict, 0, std::string(label.name)});
        return absl::OkStatus();
      }
    }
    LabelsBuilder builder(series.labels);
    for (const auto& [name, value] : added) builder.Set(name, value);
    return Output({builder.Build(), series.drop_name});
  }

  absl::Status Output(SeriesInfo series) {
    VARVE_RETURN_IF_ERROR(held_.Add(HeldBytes::BytesOf(series.labels)));
    outcomes_.push_back(
        {Outcome::Kind::kSeries, static_cast<uint32_t>(series_.size()), ""});
    series_.push_back(std::move(series));
    return absl::OkStatus();
  }

  absl::StatusOr<const Timeline*> TimelineOf(const InfoIdentity& identity) {
    const auto [it, is_new] = timelines_.try_emplace(identity);
    if (!is_new) return &it->second;
    it->second = MakeTimeline(table_, identity, steps());
    size_t bytes = it->second.runs.size() * sizeof(Timeline::Run);
    for (const auto& group : it->second.groups) {
      bytes += sizeof(group) + group.size() * sizeof(group[0]);
    }
    VARVE_RETURN_IF_ERROR(held_.Add(static_cast<int64_t>(bytes)));
    return &it->second;
  }
  static const Timeline& TimelineOf(const Base& base) { return *base.timeline; }

  /// Errors count only where there is something to add labels to.
  absl::Status CheckProblems() const {
    if (!table_.has_problems()) return absl::OkStatus();
    for (size_t step = 0; step < steps(); ++step) {
      if (base_row_.Has(step)) {
        VARVE_RETURN_IF_ERROR(table_.Problem(step));
      }
    }
    return absl::OkStatus();
  }

  /// The part of the base row that belongs to a group; false: nothing.
  absl::StatusOr<bool> Show(size_t group, Row* row) {
    const Base& base = bases_[base_row_.series];
    const Outcome& outcome = outcomes_[base.first_outcome + group];
    if (outcome.kind == Outcome::Kind::kDropped) return false;
    if (base.timeline->groups.size() == 1 &&
        outcome.kind == Outcome::Kind::kSeries) {
      std::swap(*row, base_row_);
      row->series = outcome.series;
      return true;
    }
    row->Clear(grid_.count);
    row->series = outcome.series;
    bool any = false;
    const std::vector<Timeline::Run>& runs = base.timeline->runs;
    for (size_t i = 0; i < runs.size(); ++i) {
      if (runs[i].group != group) continue;
      const size_t end = i + 1 < runs.size() ? runs[i + 1].first_step : steps();
      for (size_t step = runs[i].first_step; step < end; ++step) {
        if (!base_row_.Has(step)) continue;
        any = true;
        if (base_row_.HasHistogram(step)) {
          row->SetHistogram(step, base_row_.histograms[step]);
        } else {
          row->SetFloat(step, base_row_.values[step]);
        }
      }
    }
    if (any && outcome.kind == Outcome::Kind::kConflict) {
      return FailedPrecondition("conflicting label: {}", outcome.conflict);
    }
    return any;
  }

  const OperatorPtr base_;
  const InfoRequest request_;
  InfoTable table_;
  const Timeline unchanged_{{{0, 0}}, {{}}};  ///< one group at all steps
  std::map<InfoIdentity, Timeline> timelines_;
  std::vector<Base> bases_;        ///< one per series of base_
  std::vector<Outcome> outcomes_;  ///< of all bases, one after the other
  std::vector<SeriesInfo> series_;
  HeldBytes held_;
  Row base_row_;
  size_t next_group_ = 0;
  size_t groups_left_ = 0;
};

}  // namespace

absl::StatusOr<OperatorPtr> MakeInfo(const PlanNode& node, EvalContext& context,
                                     OperatorPtr base) {
  VARVE_ASSIGN_OR_RETURN(InfoRequest request, RequestOf(As<Call>(*node.expr)));
  return MakeMergeDuplicates(
      std::make_unique<Info>(node, context, std::move(request),
                             std::move(base)),
      context, Duplicates::kMerge);
}

}  // namespace varve::promql
