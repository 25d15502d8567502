#include "storage/label_index.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "storage/check.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

/// Candidates up to which a matcher is put to each of them rather than to all
/// values of its label.
constexpr uint64_t kCandidatesPerValue = 4;
/// Matcher evaluations between two looks at the query's deadline.
constexpr size_t kCheckEvery = 1024;

/// The value of a name in a list of pairs, "" when it is not there.
template <typename PairOf>
std::string_view ValueOf(std::span<const PairId> ids, std::string_view name,
                         const PairOf& pair) {
  for (PairId id : ids) {
    const LabelView label = pair(id);
    if (label.name == name) return label.value;
  }
  return {};
}

/// Cheap and selective ones first.
int Rank(const Matcher& m) {
  if (m.MatchesEmpty()) return 3;
  if (m.type() == MatchType::kEqual) return 0;
  return m.literals().empty() ? 2 : 1;
}

}  // namespace

LabelIndex::~LabelIndex() {
  for (PairId id = 0; id < next_pair_; ++id) delete[] pairs_.at(id).value;
}

PairId LabelIndex::InternPair(std::string_view name, std::string_view value) {
  auto it = names_.find(name);
  if (it == names_.end()) {
    auto entry = std::make_unique<Name>();
    entry->text = name;
    const std::string_view key = entry->text;
    it = names_.emplace(key, std::move(entry)).first;
  }
  Name* entry = it->second.get();
  const auto found = entry->values.find(value);
  if (found != entry->values.end()) return found->second;
  PairId id;
  if (!free_pairs_.empty()) {
    id = free_pairs_.back();
    free_pairs_.pop_back();
  } else {
    id = next_pair_++;
  }
  Pair& pair = pairs_.Ensure(id);
  char* text = new char[value.size()];
  std::memcpy(text, value.data(), value.size());
  pair.name = entry;
  pair.value = text;
  pair.value_size = static_cast<uint32_t>(value.size());
  entry->values.emplace(std::string_view(text, value.size()), id);
  text_bytes_ += static_cast<int64_t>(value.size());
  return id;
}

void LabelIndex::Intern(const Labels& labels, std::vector<PairId>* ids) {
  ids->clear();
  for (const LabelView& label : labels) {
    ids->push_back(InternPair(label.name, label.value));
  }
}

void LabelIndex::Enter(SeriesRef ref, std::span<const PairId> ids) {
  for (PairId id : ids) pairs_.at(id).postings.Add(ref);
  all_.Add(ref);
  NoteCreated(ref);
}

void LabelIndex::NoteCreated(SeriesRef ref) {
  if (recent_.empty()) recent_.resize(kRecentMax);
  recent_[created_ % kRecentMax] = ref;
  ++created_;
}

void LabelIndex::InternPairs(std::span<const LabelView> pairs, PairId* ids) {
  WriterLock lock(&mutex_);
  for (const LabelView& pair : pairs) {
    *ids++ = InternPair(pair.name, pair.value);
  }
}

void LabelIndex::EnterMany(std::span<const SeriesRef> refs,
                           std::span<const PairId> pairs,
                           std::span<const uint32_t> positions,
                           std::span<const size_t> ends) {
  // Sorted by pair, by counting, so that each list is found once.
  std::vector<size_t> next(pairs.size() + 1);
  for (const uint32_t position : positions) ++next[position + 1];
  for (size_t i = 1; i < next.size(); ++i) next[i] += next[i - 1];
  std::vector<SeriesRef> sorted(positions.size());
  size_t at = 0;
  for (size_t i = 0; i < refs.size(); ++i) {
    for (; at < ends[i]; ++at) sorted[next[positions[at]]++] = refs[i];
  }
  WriterLock lock(&mutex_);
  size_t begin = 0;
  for (size_t i = 0; i < pairs.size(); ++i) {
    // `next` stands at the end of each pair's part now.
    pairs_.at(pairs[i]).postings.AddMany(
        std::span(sorted).subspan(begin, next[i] - begin));
    begin = next[i];
  }
  all_.AddMany(refs);
  for (const SeriesRef ref : refs) NoteCreated(ref);
}

void LabelIndex::RemoveUnused() {
  std::vector<PairId> unused;
  {
    WriterLock lock(&mutex_);
    for (auto& [text, name] : names_) {
      for (auto it = name->values.begin(); it != name->values.end();) {
        const PairId id = it->second;
        if (pairs_.at(id).postings.size() > 0) {
          ++it;
          continue;
        }
        text_bytes_ -= static_cast<int64_t>(it->first.size());
        unused.push_back(id);
        name->values.erase(it++);
      }
    }
  }
  FreePairs(unused);
}

void LabelIndex::RemoveSeries(SeriesRef ref, std::span<const PairId> ids,
                              std::vector<PairId>* unused) {
  WriterLock lock(&mutex_);
  RefSet gone;
  gone.Add(ref);
  all_.Subtract(gone);
  for (PairId id : ids) {
    Pair& pair = pairs_.at(id);
    pair.postings.Remove(ref);
    if (pair.postings.size() > 0) continue;
    const auto it = names_.find(pair.name->text);
    it->second->values.erase(std::string_view(pair.value, pair.value_size));
    text_bytes_ -= pair.value_size;
    unused->push_back(id);
  }
}

void LabelIndex::FreePairs(std::span<const PairId> ids) {
  WriterLock lock(&mutex_);
  for (PairId id : ids) {
    Pair& pair = pairs_.at(id);
    delete[] pair.value;
    pair.value = nullptr;
    pair.value_size = 0;
    free_pairs_.push_back(id);
  }
}

Labels LabelIndex::LabelsOf(std::span<const PairId> ids) const {
  std::vector<LabelView> views;
  views.reserve(ids.size());
  for (PairId id : ids) views.push_back(pair(id));
  return Labels::FromSorted(views);
}

bool LabelIndex::Less(std::span<const PairId> a,
                      std::span<const PairId> b) const {
  const size_t n = std::min(a.size(), b.size());
  for (size_t i = 0; i < n; ++i) {
    if (a[i] == b[i]) continue;
    const LabelView x = pair(a[i]);
    const LabelView y = pair(b[i]);
    if (x == y) continue;  // a pair that was removed and came again
    return x < y;
  }
  return a.size() < b.size();
}

bool LabelIndex::Equal(std::span<const PairId> ids,
                       const Labels& labels) const {
  size_t i = 0;
  for (const LabelView& label : labels) {
    if (i == ids.size() || pair(ids[i]) != label) return false;
    ++i;
  }
  return i == ids.size();
}

uint64_t LabelIndex::created() const {
  ReaderLock lock(&mutex_);
  return created_;
}

bool LabelIndex::CreatedSince(uint64_t since,
                              std::vector<SeriesRef>* refs) const {
  ReaderLock lock(&mutex_);
  if (created_ - since > kRecentMax) return false;
  for (uint64_t i = since; i < created_; ++i) {
    refs->push_back(recent_[i % kRecentMax]);
  }
  return true;
}

const LabelIndex::Name* LabelIndex::FindName(std::string_view name) const {
  const auto it = names_.find(name);
  return it == names_.end() ? nullptr : it->second.get();
}

/// The series that have a value of the matcher's label which it matches; with
/// `complement`, which it does not match.
absl::StatusOr<RefSet> LabelIndex::SetOf(QueryContext& context,
                                         const Matcher& matcher,
                                         bool complement) const {
  RefSet out;
  std::vector<std::pair<PairId, std::string_view>> values;
  {
    ReaderLock lock(&mutex_);
    const Name* name = FindName(matcher.name());
    if (name == nullptr) return out;
    const auto add = [&](std::string_view value) {
      const auto it = name->values.find(value);
      if (it != name->values.end()) pairs_.at(it->second).postings.AddTo(&out);
    };
    if (!complement && !matcher.literals().empty()) {
      for (const std::string& literal : matcher.literals()) add(literal);
      return out;
    }
    if (complement && !matcher.excluded().empty()) {
      for (const std::string& literal : matcher.excluded()) add(literal);
      return out;
    }
    values.reserve(name->values.size());
    for (const auto& [text, id] : name->values) values.emplace_back(id, text);
  }
  // Regexes run without the lock; the texts stay, the caller pins them.
  size_t kept = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    if (i % kCheckEvery == 0) VARVE_RETURN_IF_ERROR(context.Check());
    if (matcher.Matches(values[i].second) != complement) {
      values[kept++] = values[i];
    }
  }
  ReaderLock lock(&mutex_);
  for (size_t i = 0; i < kept; ++i) {
    pairs_.at(values[i].first).postings.AddTo(&out);
  }
  return out;
}

bool LabelIndex::Matches(std::span<const PairId> ids,
                         std::span<const Matcher> matchers) const {
  const auto pair_of = [this](PairId id) { return pair(id); };
  return std::all_of(matchers.begin(), matchers.end(), [&](const Matcher& m) {
    return m.Matches(ValueOf(ids, m.name(), pair_of));
  });
}

absl::StatusOr<std::vector<SeriesRef>> LabelIndex::Match(
    QueryContext& context, std::span<const Matcher> matchers, const void* owner,
    LabelsOfRef labels_of) const {
  std::vector<const Matcher*> order;
  for (const Matcher& m : matchers) order.push_back(&m);
  std::stable_sort(
      order.begin(), order.end(),
      [](const Matcher* a, const Matcher* b) { return Rank(*a) < Rank(*b); });

  std::optional<RefSet> found;
  std::vector<Matcher> each;  // put to every candidate at the end
  for (const Matcher* m : order) {
    VARVE_RETURN_IF_ERROR(context.Check());
    if (found && found->empty()) return std::vector<SeriesRef>();
    const bool scans =
        m->MatchesEmpty() ? m->excluded().empty() : m->literals().empty();
    if (found && scans) {
      ReaderLock lock(&mutex_);
      const Name* name = FindName(m->name());
      const size_t values = name == nullptr ? 0 : name->values.size();
      if (found->size() < values * kCandidatesPerValue) {
        each.push_back(*m);
        continue;
      }
    }
    const bool complement = m->MatchesEmpty();
    VARVE_ASSIGN_OR_RETURN(RefSet set, SetOf(context, *m, complement));
    if (!found && !complement) {
      found = std::move(set);
      continue;
    }
    if (!found) {
      ReaderLock lock(&mutex_);
      found = RefSet(all_);
    }
    if (complement) {
      found->Subtract(set);
    } else {
      found->IntersectWith(set);
    }
  }
  if (!found) {
    ReaderLock lock(&mutex_);
    found = RefSet(all_);
  }
  std::vector<SeriesRef> refs = found->ToVector();
  if (each.empty()) return refs;
  size_t kept = 0;
  for (size_t i = 0; i < refs.size(); ++i) {
    if (i % kCheckEvery == 0) VARVE_RETURN_IF_ERROR(context.Check());
    const auto ids = labels_of(owner, refs[i]);
    if (!ids.empty() && Matches(ids, each)) refs[kept++] = refs[i];
  }
  refs.resize(kept);
  return refs;
}

std::vector<std::string> LabelIndex::Names() const {
  std::vector<std::string> out;
  {
    ReaderLock lock(&mutex_);
    for (const auto& [text, name] : names_) {
      if (!name->values.empty()) out.emplace_back(text);
    }
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::vector<std::string> LabelIndex::Values(std::string_view name) const {
  std::vector<std::string> out;
  {
    ReaderLock lock(&mutex_);
    const Name* entry = FindName(name);
    if (entry == nullptr) return out;
    out.reserve(entry->values.size());
    for (const auto& [text, id] : entry->values) out.emplace_back(text);
  }
  std::sort(out.begin(), out.end());
  return out;
}

void LabelIndex::Count(std::vector<PairCount>* pairs,
                       std::vector<NameCount>* names) const {
  ReaderLock lock(&mutex_);
  for (const auto& [text, name] : names_) {
    if (name->values.empty()) continue;
    NameCount count{std::string(text), 0, 0};
    for (const auto& [value, id] : name->values) {
      const int64_t series = pairs_.at(id).postings.size();
      ++count.values;
      count.bytes += series * static_cast<int64_t>(value.size());
      pairs->push_back({count.name, std::string(value), series});
    }
    names->push_back(std::move(count));
  }
}

int64_t LabelIndex::bytes() const {
  ReaderLock lock(&mutex_);
  return pairs_.bytes() + text_bytes_;
}

}  // namespace varve
