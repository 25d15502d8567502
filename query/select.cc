#include "query/select.h"

#include <algorithm>

#include "storage/status_macros.h"

namespace varve::promql {
namespace {

/// Bytes held per selected series beside its labels: cursor, vectors.
constexpr int64_t kSeriesBytes = 200;
constexpr size_t kCheckEvery = 256;

SelectHints MakeHints(const PlanNode& node, const StepGrid& grid,
                      int64_t window_ms) {
  SelectHints hints;
  // Windows are left-open.
  hints.start_ms =
      node.anchor.Resolve(grid.start_ms) - window_ms - node.before_ms + 1;
  hints.end_ms = node.anchor.Resolve(grid.end_ms()) + node.after_ms;
  hints.step_ms = grid.count > 1 ? grid.step_ms : 0;
  hints.range_ms = node.kind == PlanKind::kRange ? node.range_ms : 0;
  hints.function = node.hint_function;
  if (node.hint_grouping != nullptr) {
    hints.grouping = node.hint_grouping->grouping;
    hints.by = !node.hint_grouping->without;
  }
  return hints;
}

}  // namespace

absl::StatusOr<SelectedSeries> SelectSeries(EvalContext& context,
                                            const VectorSelector& selector,
                                            const PlanNode& node,
                                            const StepGrid& grid,
                                            int64_t window_ms) {
  SelectedSeries out;
  if (grid.count == 0) return out;
  VARVE_ASSIGN_OR_RETURN(
      std::unique_ptr<SeriesSet> set,
      context.source.Select(context.query, selector.matchers,
                            MakeHints(node, grid, window_ms)));
  while (true) {
    VARVE_ASSIGN_OR_RETURN(const bool more, set->Next());
    if (!more) return out;
    if (out.infos.size() % kCheckEvery == 0) {
      VARVE_RETURN_IF_ERROR(context.query.Check());
    }
    const Labels& labels = set->labels();
    VARVE_RETURN_IF_ERROR(context.query.ChargeBytes(
        kSeriesBytes + static_cast<int64_t>(labels.packed().size())));
    out.infos.emplace_back().labels = labels;
    out.cursors.push_back(set->Cursor());
  }
}

}  // namespace varve::promql
