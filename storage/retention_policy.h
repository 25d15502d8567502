#pragma once

#include <cstdint>
#include <limits>

namespace varve {

/// How long and how much is kept. What comes first decides.
struct RetentionPolicy {
  /// A day goes as soon as all of it is older than this. 0: no limit.
  int64_t time_ms = 0;
  /// Blocks, their index and the log together. The oldest blocks go first, a
  /// day at a time; of the newest day, a window at a time, but its last one is
  /// never dropped: it is written before anything can be dropped for it.
  /// 0: no limit.
  uint64_t bytes = 0;

  /// Samples before this are neither accepted nor served.
  int64_t StartMs(int64_t now_ms) const {
    constexpr int64_t kBegin = std::numeric_limits<int64_t>::min() / 4;
    return time_ms == 0 ? kBegin : now_ms - time_ms;
  }
  friend bool operator==(const RetentionPolicy&,
                         const RetentionPolicy&) = default;
};

}  // namespace varve
