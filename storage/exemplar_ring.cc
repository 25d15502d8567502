#include "storage/exemplar_ring.h"

#include <algorithm>
#include <bit>
#include <map>

namespace varve {
namespace {

constexpr size_t kLabelCharactersMax = 128;

size_t Characters(const Labels& labels) {
  size_t n = 0;
  for (const LabelView& label : labels) {
    for (const std::string_view text : {label.name, label.value}) {
      n += static_cast<size_t>(std::count_if(
          text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
    }
  }
  return n;
}

/// Whether `e` may follow `newest`: later, or at the same time and greater by
/// value, then by labels.
bool Follows(const Exemplar& newest, const Exemplar& e) {
  if (e.timestamp_ms != newest.timestamp_ms) {
    return e.timestamp_ms > newest.timestamp_ms;
  }
  if (std::bit_cast<uint64_t>(e.value) !=
      std::bit_cast<uint64_t>(newest.value)) {
    return e.value > newest.value;
  }
  return e.labels.Hash() > newest.labels.Hash();
}

bool AnyMatches(std::span<const std::vector<Matcher>> selectors,
                const Labels& labels) {
  return std::any_of(
      selectors.begin(), selectors.end(),
      [&](const std::vector<Matcher>& matchers) {
        return std::all_of(
            matchers.begin(), matchers.end(),
            [&](const Matcher& m) { return m.Matches(labels.Get(m.name())); });
      });
}

}  // namespace

bool ExemplarRing::Add(const Labels& series, const Exemplar& exemplar) {
  if (capacity_ == 0 || Characters(exemplar.labels) > kLabelCharactersMax) {
    return false;
  }
  MutexLock lock(&mutex_);
  auto it = newest_.find(series.packed());
  if (it != newest_.end() && !Follows(ring_[it->second].exemplar, exemplar)) {
    return false;
  }
  if (ring_.size() < capacity_) {
    ring_.emplace_back();
    next_ = ring_.size() - 1;
  } else if (const auto old = newest_.find(ring_[next_].series.packed());
             old != newest_.end() && old->second == next_) {
    newest_.erase(old);
  }
  newest_.insert_or_assign(std::string(series.packed()), next_);
  ring_[next_] = {series, exemplar};
  next_ = (next_ + 1) % capacity_;
  return true;
}

std::vector<std::pair<Labels, Exemplar>> ExemplarRing::All() const {
  std::vector<std::pair<Labels, Exemplar>> out;
  MutexLock lock(&mutex_);
  const size_t n = ring_.size();
  const size_t first = n < capacity_ ? 0 : next_;
  for (size_t i = 0; i < n; ++i) {
    const Entry& entry = ring_[(first + i) % n];
    out.emplace_back(entry.series, entry.exemplar);
  }
  return out;
}

std::vector<ExemplarSeries> ExemplarRing::Select(
    std::span<const std::vector<Matcher>> selectors, int64_t start_ms,
    int64_t end_ms) const {
  const auto less = [](const Labels& a, const Labels& b) {
    return SeriesLess(a, b);
  };
  std::map<Labels, std::vector<Exemplar>, decltype(less)> found(less);
  for (auto& [labels, exemplar] : All()) {
    if (exemplar.timestamp_ms < start_ms || exemplar.timestamp_ms > end_ms ||
        !AnyMatches(selectors, labels)) {
      continue;
    }
    found[labels].push_back(std::move(exemplar));
  }
  std::vector<ExemplarSeries> out;
  for (auto& [labels, exemplars] : found) {
    out.push_back({labels, std::move(exemplars)});
  }
  return out;
}

int64_t ExemplarRing::size() const {
  MutexLock lock(&mutex_);
  return static_cast<int64_t>(ring_.size());
}

}  // namespace varve
