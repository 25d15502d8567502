#include <algorithm>
#include <array>
#include <bit>
#include <memory>
#include <vector>

#include "storage/adaptive_ints.h"
#include "storage/check.h"
#include "storage/packed_block.h"

// Choosing a mode. A block from the middle of the column is planned in every
// mode that may win; the column is planned in those that come near the best.

namespace varve {
namespace {

struct ModePlan {
  IntMode mode = IntMode::kConstant;
  uint64_t slope = 0;  // of kLine
  size_t bytes = SIZE_MAX;
  std::vector<BlockPlan> blocks;
};

class IntColumn {
 public:
  /// `values` must outlive the column.
  explicit IntColumn(std::span<const int64_t> values);

  size_t bytes() const { return plan_.bytes; }
  void Put(std::string* out) const;

 private:
  bool has_blocks() const {
    return plan_.mode != IntMode::kConstant && plan_.mode != IntMode::kLinear;
  }
  uint64_t x(size_t i) const { return static_cast<uint64_t>(values_[i]); }
  uint64_t y(size_t i) const {
    return shift_ == 0 ? x(i)
                       : static_cast<uint64_t>(
                             static_cast<int64_t>(x(i) - x(0)) >> shift_);
  }
  uint64_t Origin(IntMode mode) const {
    return shift_ == 0 && mode == IntMode::kPlain ? 0 : x(0);
  }

  void FindDeltas();
  void ChooseMode();
  void PlanSimple(IntMode mode);
  size_t BlockWords(IntMode mode) const;
  size_t HeadBytes(const ModePlan& plan) const;
  void Fill(const ModePlan& plan, size_t begin, std::span<uint64_t> out) const;
  double Estimate(const ModePlan& plan) const;
  void PlanBlocks(ModePlan* plan) const;
  std::vector<uint64_t> Slopes() const;

  std::span<const int64_t> values_;
  unsigned shift_ = 0;
  std::unique_ptr<uint64_t[]> deltas_;   // of y
  std::unique_ptr<uint64_t[]> changes_;  // those that are not 0
  size_t change_count_ = 0;
  ModePlan plan_;
};

IntColumn::IntColumn(std::span<const int64_t> values) : values_(values) {
  if (values.size() == 1) {
    PlanSimple(IntMode::kConstant);
  } else {
    FindDeltas();
    if (plan_.bytes == SIZE_MAX) ChooseMode();
  }
}

/// Settles constant and linear columns.
void IntColumn::FindDeltas() {
  const size_t n = values_.size() - 1;
  deltas_ = std::make_unique_for_overwrite<uint64_t[]>(n);
  uint64_t any = 0;
  uint64_t bends = 0;
  const uint64_t first = x(1) - x(0);
  for (size_t i = 0; i < n; ++i) {
    deltas_[i] = x(i + 1) - x(i);
    any |= deltas_[i];
    bends |= deltas_[i] ^ first;
  }
  if (bends == 0) {
    PlanSimple(any == 0 ? IntMode::kConstant : IntMode::kLinear);
    return;
  }
  // A shift takes a byte.
  shift_ = static_cast<unsigned>(std::countr_zero(any));
  if (shift_ * n < 16) shift_ = 0;
  changes_ = std::make_unique_for_overwrite<uint64_t[]>(n + 1);
  for (size_t i = 0; i < n; ++i) {
    deltas_[i] =
        static_cast<uint64_t>(static_cast<int64_t>(deltas_[i]) >> shift_);
    changes_[change_count_] = deltas_[i];
    change_count_ += deltas_[i] != 0 ? 1 : 0;
  }
}

void IntColumn::PlanSimple(IntMode mode) {
  plan_.mode = mode;
  plan_.bytes = HeadBytes(plan_);
}

size_t IntColumn::BlockWords(IntMode mode) const {
  switch (mode) {
    case IntMode::kPlain:
      return values_.size();
    case IntMode::kDelta2:
      return values_.size() - 2;
    case IntMode::kBitmap:
      return change_count_;
    default:
      return values_.size() - 1;
  }
}

size_t IntColumn::HeadBytes(const ModePlan& plan) const {
  const size_t common =
      1 + (shift_ > 0 ? 1 : 0) + ZigZagBytes(Origin(plan.mode));
  switch (plan.mode) {
    case IntMode::kLinear:
      return common + ZigZagBytes(x(1) - x(0));
    case IntMode::kDelta2:
      return common + ZigZagBytes(deltas_[0]);
    case IntMode::kBitmap:
      return common + (values_.size() - 1 + 7) / 8;
    case IntMode::kLine:
      return common + ZigZagBytes(plan.slope);
    default:
      return common;
  }
}

/// The words from number `begin` on that the mode's blocks hold.
void IntColumn::Fill(const ModePlan& plan, size_t begin,
                     std::span<uint64_t> out) const {
  const size_t n = out.size();
  switch (plan.mode) {
    case IntMode::kPlain:
      for (size_t i = 0; i < n; ++i) out[i] = y(begin + i);
      return;
    case IntMode::kDelta:
      std::copy_n(deltas_.get() + begin, n, out.data());
      return;
    case IntMode::kDelta2: {
      const uint64_t* d = deltas_.get() + begin;
      for (size_t i = 0; i < n; ++i) out[i] = d[i + 1] - d[i];
      return;
    }
    case IntMode::kBitmap:
      std::copy_n(changes_.get() + begin, n, out.data());
      return;
    default: {
      uint64_t line = y(0) + (begin + 1) * plan.slope;
      for (size_t i = 0; i < n; ++i, line += plan.slope) {
        out[i] = y(begin + i + 1) - line;
      }
    }
  }
}

/// Bytes of the column if all blocks are like the one in the middle.
double IntColumn::Estimate(const ModePlan& plan) const {
  const size_t count = BlockWords(plan.mode);
  const size_t head = HeadBytes(plan);
  if (count == 0) return static_cast<double>(head);
  const size_t n = std::min(count, kPackedBlock);
  std::array<uint64_t, kPackedBlock> words;
  const std::span<uint64_t> block(words.data(), n);
  Fill(plan, (count - n) / 2, block);
  return static_cast<double>(head) + static_cast<double>(count) /
                                         static_cast<double>(n) *
                                         PlanBlock(block).bytes;
}

void IntColumn::PlanBlocks(ModePlan* plan) const {
  const size_t count = BlockWords(plan->mode);
  plan->bytes = HeadBytes(*plan);
  plan->blocks.reserve((count + kPackedBlock - 1) / kPackedBlock);
  std::array<uint64_t, kPackedBlock> words;
  for (size_t i = 0; i < count; i += kPackedBlock) {
    const std::span<uint64_t> block(words.data(),
                                    std::min(kPackedBlock, count - i));
    Fill(*plan, i, block);
    plan->blocks.push_back(PlanBlock(block));
    plan->bytes += plan->blocks.back().bytes;
  }
}

/// What the slope of a line with noise may be: that of the ends, and the median
/// of some deltas, which a gap does not change.
std::vector<uint64_t> IntColumn::Slopes() const {
  const size_t n = values_.size() - 1;
  const auto rise = static_cast<int64_t>(y(n) - y(0));
  const auto steps = static_cast<int64_t>(n);
  const int64_t rest = rise % steps;
  const int64_t round = rest > steps / 2 ? 1 : rest < -(steps / 2) ? -1 : 0;
  std::array<int64_t, 15> sample;
  for (size_t i = 0; i < sample.size(); ++i) {
    sample[i] = static_cast<int64_t>(deltas_[i * (n - 1) / 14]);
  }
  std::nth_element(sample.begin(), sample.begin() + 7, sample.end());
  std::vector<uint64_t> slopes = {static_cast<uint64_t>(rise / steps + round)};
  if (static_cast<uint64_t>(sample[7]) != slopes[0]) {
    slopes.push_back(static_cast<uint64_t>(sample[7]));
  }
  return slopes;
}

void IntColumn::ChooseMode() {
  const size_t n = values_.size();
  std::vector<ModePlan> plans(3);
  plans[0].mode = IntMode::kDelta;
  plans[1].mode = IntMode::kDelta2;
  plans[2].mode = IntMode::kPlain;
  // Without any gap between the changes a bitmap says nothing.
  if (change_count_ < n - 1) plans.push_back({IntMode::kBitmap, 0, 0, {}});
  if (n >= 16 && change_count_ > n / 2) {
    for (const uint64_t slope : Slopes()) {
      plans.push_back({IntMode::kLine, slope, 0, {}});
    }
  }
  double best = 1e300;
  std::vector<double> estimates;
  for (const ModePlan& plan : plans) {
    estimates.push_back(Estimate(plan));
    best = std::min(best, estimates.back());
  }
  const double limit = n <= kPackedBlock ? best : best * 1.1 + 4;
  for (size_t i = 0; i < plans.size(); ++i) {
    if (estimates[i] > limit) continue;
    PlanBlocks(&plans[i]);
    if (plans[i].bytes < plan_.bytes) plan_ = std::move(plans[i]);
  }
}

void IntColumn::Put(std::string* out) const {
  const bool shifted = shift_ > 0 && has_blocks();
  PutU8(out, static_cast<uint8_t>(internal::kAdaptiveInts |
                                  static_cast<uint8_t>(plan_.mode) |
                                  (shifted ? internal::kIntShifted : 0)));
  if (shifted) PutU8(out, static_cast<uint8_t>(shift_));
  PutZigZag(out, static_cast<int64_t>(Origin(plan_.mode)));
  if (plan_.mode == IntMode::kLinear) {
    PutZigZag(out, static_cast<int64_t>(x(1) - x(0)));
  } else if (plan_.mode == IntMode::kDelta2) {
    PutZigZag(out, static_cast<int64_t>(deltas_[0]));
  } else if (plan_.mode == IntMode::kLine) {
    PutZigZag(out, static_cast<int64_t>(plan_.slope));
  } else if (plan_.mode == IntMode::kBitmap) {
    const size_t begin = out->size();
    out->resize(begin + (values_.size() - 1 + 7) / 8);
    char* bitmap = out->data() + begin;
    for (size_t i = 0; i + 1 < values_.size(); ++i) {
      const unsigned bit = deltas_[i] != 0 ? 1U << (i & 7) : 0;
      bitmap[i >> 3] = static_cast<char>(bitmap[i >> 3] | bit);
    }
  }
  std::array<uint64_t, kPackedBlock> words;
  const size_t count = has_blocks() ? BlockWords(plan_.mode) : 0;
  for (size_t i = 0; i < count; i += kPackedBlock) {
    const std::span<uint64_t> block(words.data(),
                                    std::min(kPackedBlock, count - i));
    Fill(plan_, i, block);
    PutPackedBlock(out, block, plan_.blocks[i / kPackedBlock]);
  }
}

}  // namespace

void PutAdaptiveInts(std::string* out, std::span<const int64_t> values) {
  if (values.empty()) return;
  const IntColumn column(values);
  column.Put(out);
}

size_t AdaptiveIntsBytes(std::span<const int64_t> values) {
  return values.empty() ? 0 : IntColumn(values).bytes();
}

}  // namespace varve
