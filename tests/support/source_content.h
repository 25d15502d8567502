#pragma once

#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <string>
#include <vector>

#include "storage/series_source.h"

namespace varve {

/// Everything a source gives for some matchers and a range, printed exactly:
/// series -> time -> "f<bits in hex>" or "h<...>", then "@<start>" if known.
using SourceContent = std::map<std::string, std::map<int64_t, std::string>>;

/// Also checks what every source promises: series and times ascend strictly,
/// times are inside the range, batches are not empty and consistent.
SourceContent ReadContent(
    const SeriesSource& source,
    int64_t start_ms = std::numeric_limits<int64_t>::min(),
    int64_t end_ms = std::numeric_limits<int64_t>::max(),
    const std::vector<Matcher>& matchers = {});

std::string PrintFloat(double value,
                       int64_t start_timestamp_ms = kNoStartTimestamp);
std::string PrintHistogram(const Histogram& histogram,
                           int64_t start_timestamp_ms = kNoStartTimestamp);

}  // namespace varve
