#pragma once

#include <memory>

#include "storage/block_store.h"
#include "storage/clock.h"
#include "storage/head.h"
#include "storage/series_source.h"

namespace varve {

/// Head and blocks as one source; samples beyond the retention are not served.
/// `blocks` may be null. The arguments outlive the source.
std::unique_ptr<SeriesSource> MakeDbSource(const Head* head,
                                           const BlockStore* blocks,
                                           const Clock* clock,
                                           int64_t retention_ms);

}  // namespace varve
