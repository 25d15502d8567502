#include <absl/container/flat_hash_map.h>

#include "query/binary.h"
#include "query/bounds.h"
#include "query/label_key.h"
#include "query/merge_duplicates.h"
#include "storage/status_macros.h"

// and, or, unless: which points of one side stand beside points of the other.

namespace varve::promql {
namespace {

/// Presence of points per match group and step.
class Presence {
 public:
  Presence(const VectorMatching& matching, QueryContext& query)
      : subset_(matching.on ? LabelSubset::Only(matching.labels)
                            : LabelSubset::Without(matching.labels)),
        held_(query),
        check_(query) {}

  /// The match group of each series; groups are numbered across calls.
  absl::StatusOr<std::vector<uint32_t>> GroupsOf(
      const std::vector<SeriesInfo>& series) {
    std::vector<uint32_t> out;
    out.reserve(series.size());
    for (const SeriesInfo& info : series) {
      VARVE_RETURN_IF_ERROR(check_());
      const Labels key = subset_.Of(info.labels);
      const auto next = static_cast<uint32_t>(groups_.size());
      const auto [it, is_new] =
          groups_.try_emplace(std::string(key.packed()), next);
      if (is_new) VARVE_RETURN_IF_ERROR(held_.Add(HeldBytes::BytesOf(key)));
      out.push_back(it->second);
    }
    return out;
  }

  absl::Status Allocate(size_t steps) {
    steps_ = steps;
    VARVE_RETURN_IF_ERROR(
        held_.Add(static_cast<int64_t>(groups_.size() * steps)));
    bits_.assign(groups_.size() * steps, 0);
    return absl::OkStatus();
  }
  void Add(uint32_t group, const Row& row) {
    uint8_t* bits = bits_.data() + group * steps_;
    for (size_t i = 0; i < steps_; ++i) bits[i] |= row.Has(i) ? 1 : 0;
  }
  /// Removes the points whose group has a point (or has none).
  void Mask(uint32_t group, bool keep_if_present, Row* row) const {
    const uint8_t* bits = bits_.data() + group * steps_;
    for (size_t i = 0; i < steps_; ++i) {
      if ((bits[i] != 0) != keep_if_present) row->Remove(i);
    }
  }

 private:
  const LabelSubset subset_;
  HeldBytes held_;
  PacedCheck check_;
  absl::flat_hash_map<std::string, uint32_t> groups_;
  size_t steps_ = 0;
  std::vector<uint8_t> bits_;
};

/// and, unless: the left side, masked by the right one.
class Intersection final : public Operator {
 public:
  Intersection(const BinaryExpr& expr, EvalContext& context, OperatorPtr lhs,
               OperatorPtr rhs)
      : Operator(context, lhs->grid()),
        keep_if_present_(expr.op == BinaryOp::kAnd),
        presence_(*expr.matching, context.query),
        lhs_(std::move(lhs)),
        rhs_(std::move(rhs)) {}

  absl::StatusOr<const std::vector<SeriesInfo>*> Series() override {
    VARVE_ASSIGN_OR_RETURN(const std::vector<SeriesInfo>* l, lhs_->Series());
    VARVE_ASSIGN_OR_RETURN(const std::vector<SeriesInfo>* r, rhs_->Series());
    VARVE_ASSIGN_OR_RETURN(lhs_groups_, presence_.GroupsOf(*l));
    VARVE_ASSIGN_OR_RETURN(rhs_groups_, presence_.GroupsOf(*r));
    VARVE_RETURN_IF_ERROR(presence_.Allocate(steps()));
    return l;
  }

  absl::StatusOr<bool> Next(Row* row) override {
    while (!rhs_read_) {
      VARVE_ASSIGN_OR_RETURN(const bool more, rhs_->Next(row));
      rhs_read_ = !more;
      if (more) presence_.Add(rhs_groups_[row->series], *row);
    }
    VARVE_ASSIGN_OR_RETURN(const bool more, lhs_->Next(row));
    if (more) presence_.Mask(lhs_groups_[row->series], keep_if_present_, row);
    return more;
  }

 private:
  const bool keep_if_present_;
  Presence presence_;
  const OperatorPtr lhs_;
  const OperatorPtr rhs_;
  std::vector<uint32_t> lhs_groups_;
  std::vector<uint32_t> rhs_groups_;
  bool rhs_read_ = false;
};

/// or: the left side, then the right one where the left has nothing. Label sets
/// may occur on both sides.
class Union final : public Operator {
 public:
  Union(const BinaryExpr& expr, EvalContext& context, OperatorPtr lhs,
        OperatorPtr rhs)
      : Operator(context, lhs->grid()),
        presence_(*expr.matching, context.query),
        lhs_(std::move(lhs)),
        rhs_(std::move(rhs)),
        held_(context.query) {}

  absl::StatusOr<const std::vector<SeriesInfo>*> Series() override {
    VARVE_ASSIGN_OR_RETURN(const std::vector<SeriesInfo>* l, lhs_->Series());
    VARVE_ASSIGN_OR_RETURN(const std::vector<SeriesInfo>* r, rhs_->Series());
    VARVE_ASSIGN_OR_RETURN(lhs_groups_, presence_.GroupsOf(*l));
    VARVE_ASSIGN_OR_RETURN(rhs_groups_, presence_.GroupsOf(*r));
    VARVE_RETURN_IF_ERROR(presence_.Allocate(steps()));
    VARVE_RETURN_IF_ERROR(held_.SetSeries(*l));
    VARVE_RETURN_IF_ERROR(
        held_.Add(static_cast<int64_t>(r->size() * sizeof(SeriesInfo))));
    series_ = *l;
    series_.insert(series_.end(), r->begin(), r->end());
    return &series_;
  }

  absl::StatusOr<bool> Next(Row* row) override {
    if (!lhs_read_) {
      VARVE_ASSIGN_OR_RETURN(const bool more, lhs_->Next(row));
      if (more) {
        presence_.Add(lhs_groups_[row->series], *row);
        return true;
      }
      lhs_read_ = true;
    }
    VARVE_ASSIGN_OR_RETURN(const bool more, rhs_->Next(row));
    if (more) {
      presence_.Mask(rhs_groups_[row->series], false, row);
      row->series += static_cast<uint32_t>(lhs_groups_.size());
    }
    return more;
  }

 private:
  Presence presence_;
  const OperatorPtr lhs_;
  const OperatorPtr rhs_;
  HeldBytes held_;
  std::vector<uint32_t> lhs_groups_;
  std::vector<uint32_t> rhs_groups_;
  std::vector<SeriesInfo> series_;
  bool lhs_read_ = false;
};

}  // namespace

OperatorPtr MakeSetOperator(const PlanNode& node, EvalContext& context,
                            OperatorPtr lhs, OperatorPtr rhs) {
  const auto& expr = As<BinaryExpr>(*node.expr);
  if (expr.op != BinaryOp::kOr) {
    return std::make_unique<Intersection>(expr, context, std::move(lhs),
                                          std::move(rhs));
  }
  return MakeMergeDuplicates(
      std::make_unique<Union>(expr, context, std::move(lhs), std::move(rhs)),
      context, Duplicates::kMerge);
}

}  // namespace varve::promql
