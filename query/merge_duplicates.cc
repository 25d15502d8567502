#include "query/merge_duplicates.h"

#include <absl/container/flat_hash_map.h>

#include <limits>

#include "query/bounds.h"
#include "storage/status_macros.h"

namespace varve::promql {
namespace {

constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();

class MergeDuplicates final : public Operator {
 public:
  MergeDuplicates(OperatorPtr input, EvalContext& context, Duplicates mode,
                  bool remove_names)
      : Operator(context, input->grid()),
        input_(std::move(input)),
        mode_(mode),
        remove_names_(remove_names),
        held_bytes_(context.query) {}

  /// Nothing needs to be merged, then, since the labels stay unique.
  bool SetBatches(const Batching& batching) override {
    Batching without_names = batching;
    without_names.names_drop = true;
    batched_ = !remove_names_ && input_->SetBatches(without_names);
    return batched_;
  }

  absl::StatusOr<const std::vector<SeriesInfo>*> Series() override {
    VARVE_ASSIGN_OR_RETURN(const std::vector<SeriesInfo>* in, input_->Series());
    if (batched_) return in;
    absl::flat_hash_map<std::string, uint32_t> known;
    known.reserve(in->size());
    PacedCheck check(context_.query);
    for (const SeriesInfo& info : *in) {
      VARVE_RETURN_IF_ERROR(check());
      VARVE_RETURN_IF_ERROR(
          held_bytes_.Add(2 * HeldBytes::BytesOf(info.labels)));
      SeriesInfo out = info;
      if (remove_names_ && info.drop_name) {
        out = {WithoutMetadataLabels(info.labels), false};
      }
      const auto next = static_cast<uint32_t>(series_.size());
      const auto [it, is_new] =
          known.try_emplace(std::string(out.labels.packed()), next);
      output_of_.push_back(it->second);
      if (is_new) {
        series_.push_back(std::move(out));
        held_of_.push_back(kNone);
      } else if (held_of_[it->second] == kNone) {
        held_of_[it->second] = static_cast<uint32_t>(held_.size());
        held_.emplace_back();
      }
    }
    return &series_;
  }

  absl::StatusOr<bool> Next(Row* row) override {
    if (batched_) return input_->Next(row);
    while (!input_done_) {
      VARVE_ASSIGN_OR_RETURN(const bool more, input_->Next(row));
      if (!more) {
        input_done_ = true;
        break;
      }
      row->series = output_of_[row->series];
      const uint32_t held = held_of_[row->series];
      if (held == kNone) return true;
      VARVE_RETURN_IF_ERROR(Hold(*row, &held_[held]));
    }
    while (next_held_ < held_.size()) {
      Row& held = held_[next_held_++];
      if (held.values.empty()) continue;
      *row = std::move(held);
      return true;
    }
    return false;
  }

 private:
  static absl::Status Duplicate() {
    return FailedPrecondition(
        "vector cannot contain metrics with the same labelset");
  }

  /// Adds the points of `row` to what is held of the same labels.
  absl::Status Hold(const Row& row, Row* held) {
    bool any = false;
    for (size_t i = 0; i < row.values.size() && !any; ++i) any = row.Has(i);
    if (!any) return absl::OkStatus();
    if (held->values.empty()) {
      VARVE_RETURN_IF_ERROR(context_.query.ChargeBytes(
          static_cast<int64_t>(row.values.size() * sizeof(double))));
      *held = row;
      return absl::OkStatus();
    }
    if (mode_ == Duplicates::kForbid) return Duplicate();
    for (size_t i = 0; i < row.values.size(); ++i) {
      if (!row.Has(i)) continue;
      if (held->Has(i)) return Duplicate();
      if (row.HasHistogram(i)) {
        held->SetHistogram(i, row.histograms[i]);
      } else {
        held->SetFloat(i, row.values[i]);
      }
    }
    return absl::OkStatus();
  }

  const OperatorPtr input_;
  const Duplicates mode_;
  const bool remove_names_;
  bool batched_ = false;
  HeldBytes held_bytes_;
  std::vector<SeriesInfo> series_;
  std::vector<uint32_t> output_of_;  ///< input series -> output series
  std::vector<uint32_t> held_of_;    ///< output series -> held_, or kNone
  std::vector<Row> held_;            ///< no values: no point yet
  bool input_done_ = false;
  size_t next_held_ = 0;
};

}  // namespace

OperatorPtr MakeMergeDuplicates(OperatorPtr input, EvalContext& context,
                                Duplicates mode) {
  return std::make_unique<MergeDuplicates>(std::move(input), context, mode,
                                           false);
}

OperatorPtr MakeNameRemoval(OperatorPtr input, EvalContext& context) {
  return std::make_unique<MergeDuplicates>(std::move(input), context,
                                           Duplicates::kMerge, true);
}

}  // namespace varve::promql
