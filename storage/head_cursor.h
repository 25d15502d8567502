#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "storage/gorilla.h"
#include "storage/label_index.h"
#include "storage/series_source.h"
#include "storage/side_table.h"
#include "storage/window_chunks.h"

namespace varve {

/// Where the samples of one series of the head stand.
struct HeadSeries {
  std::shared_ptr<const void> owner;  ///< keeps all of it alive
  /// Lists of closed chunks, ascending in time.
  std::vector<std::pair<const WindowChunks*, WindowChunks::Handle>> chunks;
  GorillaTail tail;  ///< count 0: no open chunk
  const SlabArena* blocks = nullptr;
  const SideTable::Slice* side = nullptr;
  int64_t start_ms = 0;
  int64_t end_ms = 0;
};

/// All of the series' samples in [start_ms, end_ms] in time order.
std::unique_ptr<SeriesCursor> MakeHeadCursor(HeadSeries series);

/// The value of __name__ in a list of pairs, or "".
std::string_view MetricOf(const LabelIndex& index,
                          std::span<const PairId> pairs);

}  // namespace varve
