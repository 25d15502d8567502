#pragma once

#include <memory>

#include "api/varve.h"

namespace varve {

/// `db` must outlive the writer.
std::unique_ptr<Writer> MakeWriter(Db* db);

/// InvalidArgument when the set cannot be stored: no metric name, bad UTF-8,
/// over-long.
absl::Status ValidateSeriesLabels(const Labels& labels);

}  // namespace varve
