#pragma once

#include <atomic>
#include <memory>

#include "storage/block_store.h"
#include "storage/clock.h"
#include "storage/head.h"
#include "storage/series_source.h"

namespace varve {

/// Head and blocks as one source; samples older than `retention_ms`, which may
/// change meanwhile, are not served (0: no limit).
/// `blocks` may be null. The arguments outlive the source.
std::unique_ptr<SeriesSource> MakeDbSource(
    const Head* head, const BlockStore* blocks, const Clock* clock,
    const std::atomic<int64_t>* retention_ms);

}  // namespace varve
