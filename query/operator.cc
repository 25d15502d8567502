#include "query/operator.h"

#include "storage/status_macros.h"

namespace varve::promql {

absl::Status NotInBatches() {
  return absl::AbortedError("series cannot be read in batches");
}

bool IsNotInBatches(const absl::Status& status) {
  return absl::IsAborted(status);
}

absl::StatusOr<std::vector<double>> ReadScalar(Operator& scalar) {
  VARVE_RETURN_IF_ERROR(scalar.Series().status());
  Row row;
  VARVE_ASSIGN_OR_RETURN(const bool more, scalar.Next(&row));
  if (!more) row.Clear(scalar.grid().count);
  return std::move(row.values);
}

void DropName(const EngineOptions& options, SeriesInfo* series) {
  if (options.delayed_name_removal) {
    series->drop_name = true;
    return;
  }
  series->labels = WithoutMetadataLabels(series->labels);
}

Labels WithoutMetadataLabels(const Labels& labels) {
  std::vector<LabelView> kept;
  for (const LabelView& label : labels) {
    if (!IsMetadataLabel(label.name)) kept.push_back(label);
  }
  return Labels::FromSorted(kept);
}

}  // namespace varve::promql
