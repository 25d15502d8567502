#pragma once

#include <memory>
#include <vector>

#include "storage/series_source.h"

namespace varve {

/// Several sources as one: a series that stands in more than one of them
/// appears once, its samples merged by time. Where two sources hold the same
/// timestamp, the source that comes first in `sources` wins.
std::unique_ptr<SeriesSource> MakeMergeSource(
    std::vector<std::shared_ptr<const SeriesSource>> sources);

/// Appends batch[from, to) to `out`, which is empty or of the batch's kind.
void AppendColumns(const SampleColumns& batch, size_t from, size_t to,
                   SampleColumns* out);

/// Several series sets as one, in the same way. Warnings and errors are theirs.
std::unique_ptr<SeriesSet> MakeMergeSet(
    std::vector<std::unique_ptr<SeriesSet>> sets);

/// Several cursors over the same series as one; the first wins on equal times.
std::unique_ptr<SeriesCursor> MakeMergeCursor(
    std::vector<std::unique_ptr<SeriesCursor>> cursors);

}  // namespace varve
