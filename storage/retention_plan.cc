#include "storage/retention_plan.h"

#include <algorithm>
#include <tuple>

#include "storage/manifest.h"

namespace varve {
namespace {

uint64_t BytesOf(const BlockInfo& block) {
  return block.file_bytes + block.index_bytes;
}

bool Older(const BlockInfo& a, const BlockInfo& b) {
  return std::tie(a.day, a.window.start_ms, a.part) <
         std::tie(b.day, b.window.start_ms, b.part);
}

/// Whether a block goes together with one that is as old or older.
bool GoesWith(const BlockInfo& older, const BlockInfo& block,
              int32_t newest_day) {
  return older.day == block.day &&
         (block.day != newest_day ||
          older.window.start_ms == block.window.start_ms);
}

}  // namespace

RetentionPlan PlanRetention(std::span<const BlockInfo> blocks,
                            uint64_t other_bytes, const RetentionPolicy& policy,
                            int64_t now_ms) {
  std::vector<BlockInfo> left(blocks.begin(), blocks.end());
  std::sort(left.begin(), left.end(), Older);
  RetentionPlan plan;
  const int64_t first_day = DayOf(policy.StartMs(now_ms));
  auto begin = std::find_if(left.begin(), left.end(), [&](const BlockInfo& b) {
    return b.day >= first_day;
  });
  plan.expired.assign(left.begin(), begin);
  if (policy.bytes == 0) return plan;

  uint64_t bytes = other_bytes;
  for (auto it = begin; it != left.end(); ++it) bytes += BytesOf(*it);
  while (bytes > policy.bytes && begin != left.end()) {
    const auto end = std::find_if(begin, left.end(), [&](const BlockInfo& b) {
      return !GoesWith(*begin, b, left.back().day);
    });
    if (end == left.end()) break;
    for (; begin != end; ++begin) {
      bytes -= BytesOf(*begin);
      plan.too_much.push_back(*begin);
    }
  }
  return plan;
}

}  // namespace varve
