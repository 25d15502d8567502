#include <absl/container/flat_hash_map.h>

#include <deque>
#include <optional>

#include "query/binary.h"
#include "query/bounds.h"
#include "query/label_key.h"
#include "storage/status_macros.h"

// Arithmetic and comparison between two vectors.
//
// One side is the "one" side of the matching (the right one unless the matching
// is one-to-many): its rows are held in memory. The rows of the other side, the
// "many" side, stream through, and each meets the rows of its match group.
// Labels are matched once for the whole range; what is refused depends on which
// points exist at the same step, so that is checked per step.

namespace varve::promql {
namespace {

/// As Prometheus prints label sets in errors: the name is a label like others.
std::string LabelText(const Labels& labels) {
  std::string out = "{";
  for (const LabelView& label : labels) {
    if (out.size() > 1) out += ", ";
    out += IsLegacyLabelName(label.name) ? std::string(label.name)
                                         : Quote(label.name);
    out += '=';
    out += Quote(label.value);
  }
  return out + "}";
}

bool HasPoint(const Row& row) {
  for (size_t i = 0; i < row.values.size(); ++i) {
    if (row.Has(i)) return true;
  }
  return false;
}

/// Sets bit `step` and tells whether it was set before.
bool TestAndSet(std::vector<uint8_t>* bits, size_t steps, size_t step) {
  if (bits->empty()) bits->resize(steps);
  return std::exchange((*bits)[step], 1) != 0;
}

class VectorBinary final : public Operator {
 public:
  VectorBinary(const BinaryExpr& expr, EvalContext& context, OperatorPtr lhs,
               OperatorPtr rhs)
      : Operator(context, lhs->grid()),
        expr_(expr),
        matching_(*expr.matching),
        swapped_(matching_.card == Cardinality::kOneToMany),
        subset_(matching_.on ? LabelSubset::Only(matching_.labels)
                             : LabelSubset::Without(matching_.labels)),
        many_(swapped_ ? std::move(rhs) : std::move(lhs)),
        one_(swapped_ ? std::move(lhs) : std::move(rhs)),
        fill_one_(swapped_ ? matching_.fill_lhs : matching_.fill_rhs),
        fill_many_(swapped_ ? matching_.fill_rhs : matching_.fill_lhs),
        held_(context.query),
        check_(context.query) {}

  absl::StatusOr<const std::vector<SeriesInfo>*> Series() override;
  absl::StatusOr<bool> Next(Row* row) override;

 private:
  /// The series of both sides with the same matching labels.
  struct Group {
    Labels labels;
    std::vector<uint32_t> ones;  ///< into one_rows_
    uint32_t many_count = 0;
    /// Steps with a match, noted only where it matters.
    std::vector<uint8_t> matched;
  };
  /// An output series: of one pair of series, or of several pairs that give the
  /// same labels, whose points are collected in `held`.
  struct Output {
    uint32_t group = 0;
    uint32_t pairs = 0;
    bool one_group = true;
    std::vector<uint8_t> matched;  ///< used if pairs > 1 and one_group
    Row held;
  };
  struct Conflict {
    size_t step;
    std::string text;
  };

  absl::StatusOr<uint32_t> GroupOf(const Labels& labels);
  absl::Status ReadOneSide();
  void FindConflicts(const Group& group);
  absl::StatusOr<uint32_t> AddPair(uint32_t group, const SeriesInfo& many,
                                   const SeriesInfo& one);
  absl::Status AddPairs(const SeriesInfo& many);
  Labels ResultLabels(const Labels& many, const Labels& one) const;

  absl::Status Meet(const Row& many);
  /// A row of `value` at the steps that `taken` does not have.
  const Row& FillRow(double value, const std::vector<uint8_t>& taken);
  absl::Status FillManySide();
  absl::Status Combine(const Row& many, const Row& one, uint32_t output);
  absl::Status NoteMatch(Output* output, size_t step);

  const BinaryExpr& expr_;
  const VectorMatching& matching_;
  const bool swapped_;
  const LabelSubset subset_;
  const OperatorPtr many_;
  const OperatorPtr one_;
  const std::optional<double> fill_one_;
  const std::optional<double> fill_many_;

  HeldBytes held_;
  PacedCheck check_;
  const std::vector<SeriesInfo>* one_series_ = nullptr;
  std::vector<Row> one_rows_;
  std::vector<Group> groups_;
  absl::flat_hash_map<std::string, uint32_t> group_index_;
  std::vector<uint32_t> many_group_;  ///< by series of the many side
  /// By series of the many side: where its outputs begin in pair_outputs_, one
  /// for each of its group's `ones` and one more for the filled side.
  std::vector<size_t> first_pair_;
  std::vector<uint32_t> pair_outputs_;
  std::vector<uint32_t> fill_outputs_;  ///< by one_rows_, if fill_many_

  std::vector<SeriesInfo> series_;
  std::vector<Output> outputs_;
  absl::flat_hash_map<std::string, uint32_t> output_index_;
  /// Steps at which a group has two points on the one side: an error if the
  /// many side has any point there.
  std::vector<Conflict> conflicts_;

  Row input_;
  Row fill_row_;
  std::deque<Row> ready_;
  bool many_read_ = false;
  size_t next_held_ = 0;
};

absl::StatusOr<const std::vector<SeriesInfo>*> VectorBinary::Series() {
  VARVE_ASSIGN_OR_RETURN(const std::vector<SeriesInfo>* many, many_->Series());
  VARVE_ASSIGN_OR_RETURN(one_series_, one_->Series());
  VARVE_RETURN_IF_ERROR(ReadOneSide());
  for (const SeriesInfo& info : *many) VARVE_RETURN_IF_ERROR(AddPairs(info));
  if (fill_many_.has_value()) {
    for (const Row& row : one_rows_) {
      const SeriesInfo& info = (*one_series_)[row.series];
      VARVE_ASSIGN_OR_RETURN(const uint32_t g, GroupOf(info.labels));
      VARVE_ASSIGN_OR_RETURN(fill_outputs_.emplace_back(),
                             AddPair(g, {groups_[g].labels, false}, info));
    }
  }
  return &series_;
}

absl::Status VectorBinary::AddPairs(const SeriesInfo& many) {
  VARVE_ASSIGN_OR_RETURN(const uint32_t g, GroupOf(many.labels));
  ++groups_[g].many_count;
  many_group_.push_back(g);
  first_pair_.push_back(pair_outputs_.size());
  for (uint32_t one : groups_[g].ones) {
    VARVE_ASSIGN_OR_RETURN(
        pair_outputs_.emplace_back(),
        AddPair(g, many, (*one_series_)[one_rows_[one].series]));
  }
  if (fill_one_.has_value()) {
    VARVE_ASSIGN_OR_RETURN(pair_outputs_.emplace_back(),
                           AddPair(g, many, {groups_[g].labels, false}));
  }
  return absl::OkStatus();
}

absl::StatusOr<uint32_t> VectorBinary::GroupOf(const Labels& labels) {
  VARVE_RETURN_IF_ERROR(check_());
  Labels key = subset_.Of(labels);
  const auto next = static_cast<uint32_t>(groups_.size());
  const auto [it, is_new] =
      group_index_.try_emplace(std::string(key.packed()), next);
  if (is_new) {
    VARVE_RETURN_IF_ERROR(held_.Add(static_cast<int64_t>(sizeof(Group)) +
                                    2 * HeldBytes::BytesOf(key)));
    groups_.emplace_back();
    groups_.back().labels = std::move(key);
  }
  return it->second;
}

absl::Status VectorBinary::ReadOneSide() {
  Row row;
  while (true) {
    VARVE_ASSIGN_OR_RETURN(const bool more, one_->Next(&row));
    if (!more) break;
    if (!HasPoint(row)) continue;
    VARVE_RETURN_IF_ERROR(
        held_.Add(static_cast<int64_t>(steps() * sizeof(double) + 200)));
    VARVE_ASSIGN_OR_RETURN(const uint32_t g,
                           GroupOf((*one_series_)[row.series].labels));
    groups_[g].ones.push_back(static_cast<uint32_t>(one_rows_.size()));
    one_rows_.push_back(std::move(row));
    row = Row();
  }
  for (const Group& group : groups_) {
    if (group.ones.size() > 1) FindConflicts(group);
  }
  // Filling matches the one side also where the many side has nothing at all.
  if (!conflicts_.empty() && (fill_one_ || fill_many_)) {
    return absl::FailedPreconditionError(conflicts_[0].text);
  }
  return absl::OkStatus();
}

void VectorBinary::FindConflicts(const Group& group) {
  for (size_t step = 0; step < steps(); ++step) {
    const Row* first = nullptr;
    for (uint32_t one : group.ones) {
      const Row& row = one_rows_[one];
      if (!row.Has(step)) continue;
      if (first == nullptr) {
        first = &row;
        continue;
      }
      conflicts_.push_back(
          {step,
           fmt::format("found duplicate series for the match group {} on the "
                       "{} hand-side of the operation: [{}, {}];many-to-many "
                       "matching not allowed: matching labels must be unique "
                       "on one side",
                       LabelText(group.labels), swapped_ ? "left" : "right",
                       LabelText((*one_series_)[first->series].labels),
                       LabelText((*one_series_)[row.series].labels))});
      break;
    }
  }
}

absl::StatusOr<uint32_t> VectorBinary::AddPair(uint32_t group,
                                               const SeriesInfo& many,
                                               const SeriesInfo& one) {
  VARVE_RETURN_IF_ERROR(check_());
  SeriesInfo info;
  info.labels = ResultLabels(many.labels, one.labels);
  if (expr_.return_bool) DropName(context_.options, &info);
  const auto next = static_cast<uint32_t>(outputs_.size());
  const auto [it, is_new] =
      output_index_.try_emplace(std::string(info.labels.packed()), next);
  VARVE_RETURN_IF_ERROR(held_.Add(sizeof(uint32_t)));
  if (is_new) {
    VARVE_RETURN_IF_ERROR(held_.Add(static_cast<int64_t>(sizeof(Output)) +
                                    2 * HeldBytes::BytesOf(info.labels)));
    series_.push_back(std::move(info));
    outputs_.emplace_back();
    outputs_.back().group = group;
  }
  Output& output = outputs_[it->second];
  ++output.pairs;
  output.one_group = output.one_group && output.group == group;
  return it->second;
}

Labels VectorBinary::ResultLabels(const Labels& many, const Labels& one) const {
  LabelsBuilder labels(ChangesMetric(expr_.op) ? WithoutMetadataLabels(many)
                                               : many);
  if (matching_.card == Cardinality::kOneToOne) {
    if (matching_.on) {
      labels.Keep(matching_.labels);
    } else {
      for (const std::string& name : matching_.labels) labels.Del(name);
    }
  }
  for (const std::string& name : matching_.include) {
    labels.Set(name, one.Get(name));
  }
  return labels.Build();
}

absl::StatusOr<bool> VectorBinary::Next(Row* row) {
  while (true) {
    if (!ready_.empty()) {
      std::swap(*row, ready_.front());
      ready_.pop_front();
      return true;
    }
    if (!many_read_) {
      VARVE_ASSIGN_OR_RETURN(const bool more, many_->Next(&input_));
      if (more) {
        VARVE_RETURN_IF_ERROR(Meet(input_));
      } else {
        many_read_ = true;
        if (fill_many_.has_value()) VARVE_RETURN_IF_ERROR(FillManySide());
      }
      continue;
    }
    if (next_held_ == outputs_.size()) return false;
    const size_t output = next_held_++;
    if (outputs_[output].held.values.empty()) continue;
    *row = std::move(outputs_[output].held);
    row->series = static_cast<uint32_t>(output);
    return true;
  }
}

absl::Status VectorBinary::Meet(const Row& many) {
  for (const Conflict& conflict : conflicts_) {
    if (many.Has(conflict.step)) {
      return absl::FailedPreconditionError(conflict.text);
    }
  }
  const Group& group = groups_[many_group_[many.series]];
  const uint32_t* outputs = pair_outputs_.data() + first_pair_[many.series];
  for (size_t k = 0; k < group.ones.size(); ++k) {
    VARVE_RETURN_IF_ERROR(Combine(many, one_rows_[group.ones[k]], outputs[k]));
  }
  if (!fill_one_.has_value()) return absl::OkStatus();
  std::vector<uint8_t> taken(steps(), 0);
  for (uint32_t one : group.ones) {
    for (size_t i = 0; i < steps(); ++i) taken[i] |= one_rows_[one].Has(i);
  }
  return Combine(many, FillRow(*fill_one_, taken), outputs[group.ones.size()]);
}

const Row& VectorBinary::FillRow(double value,
                                 const std::vector<uint8_t>& taken) {
  fill_row_.Clear(grid_.count);
  for (size_t i = 0; i < steps(); ++i) {
    if (taken.empty() || taken[i] == 0) fill_row_.values[i] = value;
  }
  return fill_row_;
}

absl::Status VectorBinary::FillManySide() {
  for (size_t i = 0; i < one_rows_.size(); ++i) {
    const uint32_t output = fill_outputs_[i];
    VARVE_ASSIGN_OR_RETURN(const uint32_t group,
                           GroupOf((*one_series_)[one_rows_[i].series].labels));
    // A copy, since combining notes its own matches.
    const std::vector<uint8_t> taken = groups_[group].matched;
    VARVE_RETURN_IF_ERROR(
        Combine(FillRow(*fill_many_, taken), one_rows_[i], output));
  }
  return absl::OkStatus();
}

absl::Status VectorBinary::Combine(const Row& many, const Row& one,
                                   uint32_t output_number) {
  Output& output = outputs_[output_number];
  const bool direct = output.pairs == 1;
  Row made;
  if (direct || output.held.values.empty()) made.Clear(grid_.count);
  if (!direct && output.held.values.empty()) {
    VARVE_RETURN_IF_ERROR(
        held_.Add(static_cast<int64_t>(steps() * sizeof(double))));
    output.held = std::move(made);
  }
  Row& target = direct ? made : output.held;
  for (size_t i = 0; i < steps(); ++i) {
    if (!many.Has(i) || !one.Has(i)) continue;
    const Operand m = Operand::Of(many, i);
    const Operand o = Operand::Of(one, i);
    VARVE_ASSIGN_OR_RETURN(ElementResult e,
                           swapped_ ? Element(expr_, context_, o, m)
                                    : Element(expr_, context_, m, o));
    if (!e.valid) continue;
    VARVE_RETURN_IF_ERROR(NoteMatch(&output, i));
    if (!e.keep && !expr_.return_bool) continue;
    if (!direct && target.Has(i)) {
      return FailedPrecondition(
          "vector cannot contain metrics with the same labelset");
    }
    if (expr_.return_bool) {
      target.SetFloat(i, e.keep ? 1 : 0);
    } else if (e.histogram != nullptr) {
      target.SetHistogram(i, std::move(e.histogram));
    } else {
      target.SetFloat(i, e.value);
    }
  }
  if (direct) {
    made.series = output_number;
    ready_.push_back(std::move(made));
  }
  return absl::OkStatus();
}

absl::Status VectorBinary::NoteMatch(Output* output, size_t step) {
  Group& group = groups_[output->group];
  const bool one_to_one = matching_.card == Cardinality::kOneToOne;
  if (fill_many_.has_value() || (one_to_one && group.many_count > 1)) {
    if (TestAndSet(&group.matched, steps(), step) && one_to_one) {
      return FailedPrecondition(
          "multiple matches for labels: many-to-one matching must be explicit "
          "(group_left/group_right)");
    }
  }
  if (!one_to_one && output->pairs > 1 && output->one_group &&
      TestAndSet(&output->matched, steps(), step)) {
    return FailedPrecondition(
        "multiple matches for labels: grouping labels must ensure unique "
        "matches");
  }
  return absl::OkStatus();
}

}  // namespace

OperatorPtr MakeVectorBinary(const PlanNode& node, EvalContext& context,
                             OperatorPtr lhs, OperatorPtr rhs) {
  return std::make_unique<VectorBinary>(As<BinaryExpr>(*node.expr), context,
                                        std::move(lhs), std::move(rhs));
}

}  // namespace varve::promql
