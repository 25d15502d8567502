#include "storage/index_writer.h"

#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <span>

#include "storage/coding.h"
#include "storage/posting_list.h"

namespace varve {
namespace {

constexpr size_t kArenaBytes = 1 << 20;
/// Terms rows of long values end earlier.
constexpr size_t kTermsBytes = 16 << 10;

size_t SharedPrefix(std::string_view a, std::string_view b) {
  const size_t n = std::min(a.size(), b.size());
  size_t i = 0;
  while (i < n && a[i] == b[i]) ++i;
  return i;
}

/// The shortest string s with before < s <= first. REQUIRES: before < first.
std::string_view Separator(std::string_view before, std::string_view first) {
  return first.substr(0, SharedPrefix(before, first) + 1);
}

/// One label over the series of a catalogue row: the distinct values (ordinal +
/// 1, 0 where the label is absent) and who has which.
void PutCatalogueColumn(std::string* out, uint32_t name,
                        std::span<const uint32_t> values) {
  std::vector<uint32_t> distinct;
  // Neighbours often have the same value, so most are left out before sorting.
  for (const uint32_t v : values) {
    if (distinct.empty() || distinct.back() != v) distinct.push_back(v);
  }
  std::sort(distinct.begin(), distinct.end());
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  std::string column;
  PutVarint(&column, name);
  PutVarint(&column, distinct.size());
  uint32_t last = 0;
  for (const uint32_t v : distinct) {
    PutVarint(&column, v - last);
    last = v;
  }
  if (distinct.size() > 1) {
    std::string indexes;
    std::string runs;
    const bool wide = distinct.size() > 256;
    size_t last_index = SIZE_MAX;
    size_t run = 0;
    const auto end_run = [&] {
      if (run == 0) return;
      PutVarint(&runs, last_index);
      PutVarint(&runs, run);
      run = 0;
    };
    for (const uint32_t v : values) {
      const auto index = static_cast<size_t>(
          std::lower_bound(distinct.begin(), distinct.end(), v) -
          distinct.begin());
      if (wide) {
        PutFixed16(&indexes, static_cast<uint16_t>(index));
      } else {
        PutU8(&indexes, static_cast<uint8_t>(index));
      }
      if (index != last_index) end_run();
      last_index = index;
      ++run;
    }
    end_run();
    const bool use_runs = runs.size() < indexes.size() / 4;
    PutU8(&column, use_runs ? 1 : 2);
    if (use_runs) {
      PutText(&column, runs);
    } else {
      column += indexes;
    }
  }
  PutText(out, column);
}

}  // namespace

std::string IndexRowKey(IndexRow kind, uint32_t number) {
  std::string key(1, static_cast<char>(kind));
  for (int shift = 24; shift >= 0; shift -= 8) {
    key.push_back(static_cast<char>(number >> shift));
  }
  return key;
}

size_t IndexWriter::BytesHash::operator()(std::string_view bytes) const {
  return XXH3_64bits(bytes.data(), bytes.size());
}

std::string_view IndexWriter::Keep(std::string_view bytes) {
  if (bytes.size() > arena_left_) {
    arena_left_ = std::max(bytes.size(), kArenaBytes);
    arena_.push_back(std::make_unique<char[]>(arena_left_));
    arena_at_ = arena_.back().get();
  }
  std::memcpy(arena_at_, bytes.data(), bytes.size());
  const std::string_view kept(arena_at_, bytes.size());
  arena_at_ += bytes.size();
  arena_left_ -= bytes.size();
  return kept;
}

IndexWriter::PairIds::value_type IndexWriter::FindOrAdd(
    std::string_view bytes, const LabelView& label) {
  const auto found = pair_ids_.find(bytes);
  if (found != pair_ids_.end()) return *found;
  const std::string_view kept = Keep(bytes);
  const auto moved = [&](std::string_view part) {
    return kept.substr(static_cast<size_t>(part.data() - bytes.data()),
                       part.size());
  };
  pairs_.push_back({moved(label.name), moved(label.value)});
  return *pair_ids_.emplace(kept, static_cast<uint32_t>(pairs_.size() - 1))
              .first;
}

void IndexWriter::AddSeries(const Labels& labels) {
  const char* begin = labels.packed().data();
  size_t place = 0;
  for (const LabelView& label : labels) {
    const char* end = label.value.data() + label.value.size();
    const std::string_view bytes(begin, static_cast<size_t>(end - begin));
    begin = end;
    // Neighbours in this order have most of their pairs in common.
    if (place == last_.size()) last_.emplace_back();
    Last& last = last_[place++];
    if (last.bytes != bytes) {
      const auto [kept, number] = FindOrAdd(bytes, label);
      last = {kept, number};
    }
    series_.push_back(last.number);
  }
  ends_.push_back(series_.size());
}

void IndexWriter::SortPairs() {
  std::vector<uint32_t> order(pairs_.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    const int names = pairs_[a].name.compare(pairs_[b].name);
    return names != 0 ? names < 0 : pairs_[a].value < pairs_[b].value;
  });
  std::vector<Pair> sorted;
  std::vector<uint32_t> ordinals(pairs_.size());
  sorted.reserve(pairs_.size());
  for (uint32_t ordinal = 0; ordinal < order.size(); ++ordinal) {
    const Pair& pair = pairs_[order[ordinal]];
    ordinals[order[ordinal]] = ordinal;
    if (names_.empty() || names_.back().name != pair.name) {
      names_.push_back({pair.name, ordinal, 0});
    }
    ++names_.back().count;
    pair_names_.push_back(static_cast<uint32_t>(names_.size() - 1));
    sorted.push_back(pair);
  }
  pairs_ = std::move(sorted);
  for (uint32_t& pair : series_) pair = ordinals[pair];
}

void IndexWriter::InvertSeries() {
  posting_ends_.assign(pairs_.size() + 1, 0);
  for (const uint32_t ordinal : series_) ++posting_ends_[ordinal + 1];
  std::partial_sum(posting_ends_.begin(), posting_ends_.end(),
                   posting_ends_.begin());
  // Now [i] is where list i begins; filling moves it to where it ends.
  posting_ends_.pop_back();
  postings_.resize(series_.size());
  uint64_t at = 0;
  for (uint32_t id = 0; id < ends_.size(); ++id) {
    for (; at < ends_[id]; ++at) postings_[posting_ends_[series_[at]]++] = id;
  }
}

void IndexWriter::AddTermRow(uint32_t first, uint32_t count, Rows* rows) {
  std::string terms;
  std::string lengths;
  std::string lists;
  PutVarint(&terms, first);
  PutVarint(&terms, count);
  std::string_view last;
  for (uint32_t ordinal = first; ordinal < first + count; ++ordinal) {
    const std::string_view value = pairs_[ordinal].value;
    const size_t shared = SharedPrefix(last, value);
    PutVarint(&terms, shared);
    PutText(&terms, value.substr(shared));
    last = value;
    const uint64_t begin = ordinal == 0 ? 0 : posting_ends_[ordinal - 1];
    std::string list;
    PutPosting(&list, std::span(postings_).subspan(
                          begin, posting_ends_[ordinal] - begin));
    if (list.size() > kPostingInlineBytes) {
      PutVarint(&lengths, 0);
      rows->emplace_back(IndexRowKey(IndexRow::kPosting, ordinal),
                         std::move(list));
    } else {
      PutVarint(&lengths, list.size());
      lists += list;
    }
  }
  rows->emplace_back(IndexRowKey(IndexRow::kTerms, first), std::move(terms));
  rows->emplace_back(IndexRowKey(IndexRow::kPostings, first), lengths + lists);
}

void IndexWriter::AddTermRows(const Name& name, Rows* rows, std::string* keys,
                              uint32_t* row_count) {
  std::string_view before;
  std::string_view last_key;
  for (uint32_t i = 0; i < name.count;) {
    const uint32_t first = name.first + i;
    uint32_t count = 0;
    for (size_t bytes = 0; i + count < name.count && count < kTermsMax;) {
      bytes += pairs_[first + count].value.size();
      if (count > 0 && bytes > kTermsBytes) break;
      ++count;
    }
    AddTermRow(first, count, rows);
    const std::string_view key =
        i == 0 ? std::string_view() : Separator(before, pairs_[first].value);
    const size_t shared = SharedPrefix(last_key, key);
    PutVarint(keys, count);
    PutVarint(keys, shared);
    PutText(keys, key.substr(shared));
    last_key = key;
    before = pairs_[first + count - 1].value;
    i += count;
    ++*row_count;
  }
}

std::string IndexWriter::NamesRow() const {
  std::string row;
  PutU8(&row, kIndexVersion);
  PutVarint(&row, series());
  PutVarint(&row, names_.size());
  for (const Name& name : names_) {
    PutText(&row, name.name);
    PutVarint(&row, name.first);
    PutVarint(&row, name.count);
  }
  return row;
}

std::string IndexWriter::CatalogueRow(uint32_t first, uint32_t count) {
  // The values of every name that occurs, series by series.
  std::vector<uint32_t> used;
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t id = first + i;
    for (uint64_t at = id == 0 ? 0 : ends_[id - 1]; at < ends_[id]; ++at) {
      const uint32_t ordinal = series_[at];
      std::vector<uint32_t>& column = columns_[pair_names_[ordinal]];
      if (column.empty()) {
        column.resize(count);
        used.push_back(pair_names_[ordinal]);
      }
      column[i] = ordinal + 1;
    }
  }
  std::sort(used.begin(), used.end());
  std::string row;
  PutVarint(&row, count);
  PutVarint(&row, used.size());
  for (const uint32_t name : used) {
    PutCatalogueColumn(&row, name, columns_[name]);
    columns_[name].clear();
  }
  return row;
}

void IndexWriter::AddCatalogueRows(Rows* rows) {
  columns_.resize(names_.size());
  for (uint32_t first = 0; first < series(); first += kCatalogueSeries) {
    const uint32_t count = std::min(kCatalogueSeries, series() - first);
    rows->emplace_back(
        IndexRowKey(IndexRow::kCatalogue, first / kCatalogueSeries),
        CatalogueRow(first, count));
  }
}

std::vector<std::pair<std::string, std::string>> IndexWriter::Finish() {
  SortPairs();
  InvertSeries();
  Rows rows;
  std::string keys;
  uint32_t key_count = 0;
  for (const Name& name : names_) {
    AddTermRows(name, &rows, &keys, &key_count);
  }
  std::string key_row;
  PutVarint(&key_row, key_count);
  key_row += keys;
  rows.emplace_back(IndexRowKey(IndexRow::kTermKeys, 0), std::move(key_row));
  rows.emplace_back(IndexRowKey(IndexRow::kNames, 0), NamesRow());
  AddCatalogueRows(&rows);
  std::sort(rows.begin(), rows.end());
  return rows;
}

}  // namespace varve
