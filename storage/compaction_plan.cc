#include "storage/compaction_plan.h"

#include <algorithm>
#include <map>
#include <utility>

namespace varve {
namespace {

using Blocks = std::vector<BlockInfo>;

uint64_t Bytes(const BlockInfo& info) {
  return info.file_bytes + info.index_bytes;
}

bool Same(const BlockInfo& a, const BlockInfo& b) {
  return a.day == b.day && a.part == b.part;
}

bool Contains(const Blocks& blocks, const BlockInfo& info) {
  return std::any_of(blocks.begin(), blocks.end(),
                     [&](const BlockInfo& b) { return Same(b, info); });
}

/// The smallest blocks, as many as are not much larger than those before.
Blocks Tier(Blocks blocks) {
  std::sort(
      blocks.begin(), blocks.end(), [](const BlockInfo& a, const BlockInfo& b) {
        return std::pair(Bytes(a), a.order) < std::pair(Bytes(b), b.order);
      });
  // From the large end: a block that is too large for those below it goes.
  uint64_t sum = 0;
  for (const BlockInfo& block : blocks) sum += Bytes(block);
  while (blocks.size() > 1) {
    sum -= Bytes(blocks.back());
    if (Bytes(blocks.back()) <= kCompactionRatio * sum) return blocks;
    blocks.pop_back();
  }
  return {};
}

/// A block of the day that overlaps one of the chosen, stands between them in
/// the order, and is not one of them.
const BlockInfo* FindBetween(const Blocks& chosen, const Blocks& day) {
  uint16_t first = UINT16_MAX;
  uint16_t last = 0;
  for (const BlockInfo& c : chosen) {
    first = std::min(first, c.order);
    last = std::max(last, c.order);
  }
  for (const BlockInfo& x : day) {
    if (x.order < first || x.order > last || Contains(chosen, x)) continue;
    for (const BlockInfo& c : chosen) {
      if (x.min_ms <= c.max_ms && x.max_ms >= c.min_ms) return &x;
    }
  }
  return nullptr;
}

/// Makes the choice one that keeps the order: takes in what stands between, or
/// leaves out what comes after it.
Blocks Ordered(Blocks chosen, const Blocks& day,
               const CompactionPlanOptions& options) {
  while (chosen.size() > 1) {
    const BlockInfo* between = FindBetween(chosen, day);
    if (between == nullptr) return chosen;
    if (between->damaged || options.excluded(*between)) {
      std::erase_if(
          chosen, [&](const BlockInfo& c) { return c.order > between->order; });
    } else {
      chosen.push_back(*between);
    }
  }
  return {};
}

Blocks PlanDay(const Blocks& day, const CompactionPlanOptions& options) {
  Blocks good;
  for (const BlockInfo& info : day) {
    if (!info.damaged && !options.excluded(info)) good.push_back(info);
  }
  if (good.size() < 2) return {};
  if (options.complete(good[0].day)) {
    Blocks chosen = Tier(good);
    if (chosen.size() == good.size() || chosen.size() > kCompactionPartsMax) {
      return Ordered(std::move(chosen), day, options);
    }
    return {};
  }
  std::map<int64_t, Blocks> windows;
  for (const BlockInfo& info : good) {
    windows[info.window.start_ms].push_back(info);
  }
  for (auto& [start, parts] : windows) {
    Blocks chosen = Tier(std::move(parts));
    if (chosen.size() <= kCompactionPartsMax) continue;
    chosen = Ordered(std::move(chosen), day, options);
    if (!chosen.empty()) return chosen;
  }
  return {};
}

}  // namespace

std::vector<BlockInfo> PlanCompaction(std::span<const BlockInfo> blocks,
                                      const CompactionPlanOptions& options) {
  std::map<int32_t, Blocks> days;
  for (const BlockInfo& info : blocks) days[info.day].push_back(info);
  for (const auto& [number, day] : days) {
    Blocks chosen = PlanDay(day, options);
    if (!chosen.empty()) return chosen;
  }
  return {};
}

}  // namespace varve
