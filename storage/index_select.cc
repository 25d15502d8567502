// How IndexReader finds series and values: index_reader.cc reads the rows.

#include <algorithm>
#include <numeric>

#include "storage/index_reader.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

/// So many are looked up sooner than what they might be taken from.
constexpr size_t kFewValues = 8;

bool IsLiteral(const Matcher& m) { return !m.literals().empty(); }

/// Matches whatever the value is, as Grafana's ".*" for "all" does.
bool MatchesAll(const Matcher& m) {
  return m.type() == MatchType::kRegex &&
         (m.value() == ".*" || m.value() == "(.*)");
}

/// Matches every value that a label can have, but not its absence.
bool MatchesAllButEmpty(const Matcher& m) {
  return (m.type() == MatchType::kNotEqual && m.value().empty()) ||
         (m.type() == MatchType::kRegex && m.value() == ".+");
}

/// Groups of the catalogue that these ids stand in.
size_t GroupCount(std::span<const uint32_t> ids) {
  size_t count = 0;
  uint32_t last = UINT32_MAX;
  for (const uint32_t id : ids) {
    count += id / kCatalogueSeries != last ? 1 : 0;
    last = id / kCatalogueSeries;
  }
  return count;
}

size_t ResultLimit(int64_t limit) {
  return limit > 0 ? static_cast<size_t>(limit) + 1 : SIZE_MAX;
}

}  // namespace

template <typename F>
absl::StatusOr<bool> IndexReader::ForEachWithPrefix(const QueryContext& context,
                                                    const Name& name,
                                                    std::string_view prefix,
                                                    const F& f) const {
  const size_t end = name.first_row + name.row_count;
  for (size_t row = FindRow(name, prefix); row < end; ++row) {
    VARVE_RETURN_IF_ERROR(context.Check());
    VARVE_ASSIGN_OR_RETURN(const TermsRow terms, ReadTerms(row));
    for (size_t i = 0; i < terms.size(); ++i) {
      const std::string_view value = terms.value(i);
      if (!value.starts_with(prefix)) {
        if (value > prefix) return true;
        continue;
      }
      if (!f(terms.first() + static_cast<uint32_t>(i), value)) return false;
    }
  }
  return true;
}

template <typename F>
absl::Status IndexReader::ForEachValue(const QueryContext& context,
                                       const Name& name, const Matcher* matcher,
                                       const F& f) const {
  const auto prefixes =
      matcher == nullptr ? std::span<const std::string>() : matcher->prefixes();
  // Each is a row to read at least.
  if (prefixes.empty() || prefixes.size() > name.row_count) {
    return ForEachWithPrefix(context, name, "", f).status();
  }
  for (const std::string& prefix : prefixes) {
    VARVE_ASSIGN_OR_RETURN(const bool more,
                           ForEachWithPrefix(context, name, prefix, f));
    if (!more) break;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<uint32_t>> IndexReader::MatchingOrdinals(
    const QueryContext& context, const Name& name, const Matcher& matcher,
    bool wanted) const {
  std::vector<uint32_t> ordinals;
  const auto listed = wanted ? matcher.literals() : matcher.excluded();
  if (!listed.empty()) {
    for (const std::string& value : listed) {
      VARVE_RETURN_IF_ERROR(context.Check());
      VARVE_ASSIGN_OR_RETURN(const std::optional<uint32_t> ordinal,
                             FindOrdinal(name, value));
      if (ordinal) ordinals.push_back(*ordinal);
    }
    return ordinals;
  }
  // Prefixes say where matches are, so they do not help to find the others.
  VARVE_RETURN_IF_ERROR(
      ForEachValue(context, name, wanted ? &matcher : nullptr,
                   [&](uint32_t ordinal, std::string_view value) {
                     if (matcher.Matches(value) == wanted) {
                       ordinals.push_back(ordinal);
                     }
                     return true;
                   }));
  return ordinals;
}

std::vector<IndexReader::Candidates> IndexReader::Order(
    std::span<const Matcher> matchers, bool* nothing) const {
  std::vector<Candidates> order;
  for (const Matcher& m : matchers) {
    const Name* name = FindName(m.name());
    if (name == nullptr && !m.MatchesEmpty()) *nothing = true;
    if (name == nullptr || MatchesAll(m)) continue;
    order.push_back({&m, name, m.MatchesEmpty()});
  }
  // Cheap and selective ones first: literals, then what has a prefix, then
  // other regexes by the number of values to try; what only removes comes last.
  const auto rank = [](const Candidates& c) {
    if (c.exclude) return 3;
    if (IsLiteral(*c.matcher)) return 0;
    return c.matcher->prefixes().empty() ? 2 : 1;
  };
  std::stable_sort(order.begin(), order.end(),
                   [&](const Candidates& a, const Candidates& b) {
                     return rank(a) != rank(b) ? rank(a) < rank(b)
                                               : a.name->count < b.name->count;
                   });
  return order;
}

absl::Status IndexReader::SelectLiterals(const QueryContext& context,
                                         std::span<const Candidates> literals,
                                         std::optional<Ids>* ids) const {
  // A list's length stands at its beginning, so the shortest is decoded first.
  struct Lists {
    uint64_t length = 0;
    std::vector<std::string> lists;
  };
  std::vector<Lists> all;
  for (const Candidates& c : literals) {
    VARVE_ASSIGN_OR_RETURN(
        const std::vector<uint32_t> ordinals,
        MatchingOrdinals(context, *c.name, *c.matcher, true));
    Lists lists;
    VARVE_ASSIGN_OR_RETURN(lists.lists,
                           ReadPostings(context, *c.name, ordinals));
    for (const std::string& list : lists.lists) {
      lists.length += PostingLength(list);
    }
    if (lists.length == 0) {
      ids->emplace();
      return absl::OkStatus();
    }
    all.push_back(std::move(lists));
  }
  std::sort(all.begin(), all.end(),
            [](const Lists& a, const Lists& b) { return a.length < b.length; });
  for (const Lists& lists : all) {
    if (ids->has_value() && (*ids)->empty()) break;
    VARVE_ASSIGN_OR_RETURN(Ids next, Union(lists.lists));
    if (ids->has_value()) {
      Intersect(&**ids, next);
    } else {
      *ids = std::move(next);
    }
  }
  return absl::OkStatus();
}

bool IndexReader::CatalogueIsCheaper(const Name& name,
                                     std::span<const uint32_t> ids) const {
  // A catalogue row costs about as much to read and decode as two terms rows
  // with their postings.
  return ids.size() / kCatalogueSeries < name.row_count &&
         2 * GroupCount(ids) < name.row_count;
}

absl::Status IndexReader::FilterByCatalogue(const QueryContext& context,
                                            const Candidates& candidates,
                                            Ids* ids) const {
  const Name& name = *candidates.name;
  const uint32_t number = NumberOf(name);
  const bool empty_stays = candidates.matcher->MatchesEmpty();
  const bool any_stays = MatchesAllButEmpty(*candidates.matcher);
  absl::flat_hash_map<uint32_t, bool> stays;
  uint32_t group = UINT32_MAX;
  CatalogueRow catalogue;
  const CatalogueRow::Column* column = nullptr;
  TermsRow terms;
  size_t n = 0;
  for (const uint32_t id : *ids) {
    if (id / kCatalogueSeries != group) {
      VARVE_RETURN_IF_ERROR(context.Check());
      group = id / kCatalogueSeries;
      VARVE_ASSIGN_OR_RETURN(catalogue, ReadCatalogue(group, number));
      column = catalogue.Find(number);
    }
    const uint32_t cell =
        column == nullptr ? 0 : catalogue.Cell(*column, id % kCatalogueSeries);
    bool keep = empty_stays;
    if (cell != 0 && any_stays) {
      keep = true;
    } else if (cell != 0) {
      const auto [it, fresh] = stays.try_emplace(cell);
      if (fresh) {
        if (!terms.Has(cell - 1)) {
          VARVE_ASSIGN_OR_RETURN(terms, ReadTerms(FindRow(name, cell - 1)));
        }
        it->second = candidates.matcher->Matches(terms.ValueOf(cell - 1));
      }
      keep = it->second;
    }
    if (keep) (*ids)[n++] = id;
  }
  ids->resize(n);
  return absl::OkStatus();
}

absl::Status IndexReader::Narrow(const QueryContext& context,
                                 const Candidates& c,
                                 std::optional<Ids>* ids) const {
  if (MatchesAllButEmpty(*c.matcher)) {
    if (!ids->has_value()) *ids = AllIds();
    return FilterByCatalogue(context, c, &**ids);
  }
  const size_t excluded = c.matcher->excluded().size();
  const bool few = c.exclude && excluded > 0 && excluded <= kFewValues;
  if (ids->has_value() && !few && CatalogueIsCheaper(*c.name, **ids)) {
    return FilterByCatalogue(context, c, &**ids);
  }
  VARVE_ASSIGN_OR_RETURN(
      const std::vector<uint32_t> ordinals,
      MatchingOrdinals(context, *c.name, *c.matcher, !c.exclude));
  VARVE_ASSIGN_OR_RETURN(Ids found, UnionOf(context, *c.name, ordinals));
  if (!c.exclude && !ids->has_value()) {
    *ids = std::move(found);
    return absl::OkStatus();
  }
  if (!ids->has_value()) *ids = AllIds();
  if (c.exclude) {
    Subtract(&**ids, found);
  } else {
    Intersect(&**ids, found);
  }
  return absl::OkStatus();
}

Ids IndexReader::AllIds() const {
  Ids ids(series_);
  std::iota(ids.begin(), ids.end(), 0);
  return ids;
}

absl::StatusOr<Ids> IndexReader::Select(
    const QueryContext& context, std::span<const Matcher> matchers) const {
  bool nothing = false;
  const std::vector<Candidates> order = Order(matchers, &nothing);
  if (nothing) return Ids();
  const auto first_other = std::find_if(
      order.begin(), order.end(),
      [](const Candidates& c) { return c.exclude || !IsLiteral(*c.matcher); });
  const auto literals = static_cast<size_t>(first_other - order.begin());
  std::optional<Ids> ids;
  VARVE_RETURN_IF_ERROR(
      SelectLiterals(context, std::span(order).first(literals), &ids));
  for (auto it = first_other; it != order.end(); ++it) {
    if (ids.has_value() && ids->empty()) break;
    VARVE_RETURN_IF_ERROR(Narrow(context, *it, &ids));
  }
  return ids.has_value() ? *std::move(ids) : AllIds();
}

absl::StatusOr<std::vector<std::string>> IndexReader::LabelNames(
    const QueryContext& context, std::span<const Matcher> matchers,
    int64_t limit) const {
  std::vector<bool> seen(names_.size(), matchers.empty());
  if (!matchers.empty()) {
    VARVE_ASSIGN_OR_RETURN(const Ids ids, Select(context, matchers));
    size_t unseen = names_.size();
    for (size_t i = 0; i < ids.size() && unseen > 0;) {
      VARVE_RETURN_IF_ERROR(context.Check());
      const uint32_t group = ids[i] / kCatalogueSeries;
      size_t end = i;
      while (end < ids.size() && ids[end] / kCatalogueSeries == group) ++end;
      VARVE_ASSIGN_OR_RETURN(const CatalogueRow catalogue,
                             ReadCatalogue(group));
      for (const CatalogueRow::Column& column : catalogue.columns()) {
        if (seen[column.name]) continue;
        bool found = !catalogue.MayBeAbsent(column);
        for (size_t k = i; k < end && !found; ++k) {
          found = catalogue.Cell(column, ids[k] % kCatalogueSeries) != 0;
        }
        seen[column.name] = found;
        unseen -= found ? 1 : 0;
      }
      i = end;
    }
  }
  std::vector<std::string> names;
  for (size_t i = 0; i < names_.size() && names.size() < ResultLimit(limit);
       ++i) {
    if (seen[i]) names.push_back(names_[i].name);
  }
  return names;
}

absl::StatusOr<std::vector<uint32_t>> IndexReader::OrdinalsOf(
    const QueryContext& context, const Name& name,
    std::span<const uint32_t> ids) const {
  const uint32_t number = NumberOf(name);
  std::vector<uint32_t> cells;
  for (size_t i = 0; i < ids.size();) {
    VARVE_RETURN_IF_ERROR(context.Check());
    const uint32_t group = ids[i] / kCatalogueSeries;
    VARVE_ASSIGN_OR_RETURN(const CatalogueRow catalogue,
                           ReadCatalogue(group, number));
    const CatalogueRow::Column* column = catalogue.Find(number);
    for (; i < ids.size() && ids[i] / kCatalogueSeries == group; ++i) {
      if (column == nullptr) continue;
      const uint32_t cell = catalogue.Cell(*column, ids[i] % kCatalogueSeries);
      if (cell != 0) cells.push_back(cell - 1);
    }
    std::sort(cells.begin(), cells.end());
    cells.erase(std::unique(cells.begin(), cells.end()), cells.end());
  }
  return cells;
}

absl::StatusOr<std::vector<std::string>> IndexReader::ValuesOf(
    const QueryContext& context, const Name& name,
    std::span<const uint32_t> ids, size_t limit) const {
  std::vector<std::string> values;
  std::vector<uint32_t> ordinals;
  if (CatalogueIsCheaper(name, ids)) {
    VARVE_ASSIGN_OR_RETURN(ordinals, OrdinalsOf(context, name, ids));
  } else {
    const IdBits bits(series_, ids);
    for (size_t row = name.first_row; row < name.first_row + name.row_count;
         ++row) {
      std::vector<uint32_t> in_row(terms_[row].count);
      for (uint32_t i = 0; i < in_row.size(); ++i) {
        in_row[i] = terms_[row].first + i;
      }
      VARVE_ASSIGN_OR_RETURN(const std::vector<std::string> lists,
                             ReadPostings(context, name, in_row));
      for (size_t i = 0; i < lists.size() && ordinals.size() < limit; ++i) {
        VARVE_ASSIGN_OR_RETURN(const bool found,
                               PostingIntersects(lists[i], series_, bits));
        if (found) ordinals.push_back(in_row[i]);
      }
      if (ordinals.size() >= limit) break;
    }
  }
  TermsRow terms;
  for (const uint32_t ordinal : ordinals) {
    if (values.size() >= limit) break;
    if (!terms.Has(ordinal)) {
      VARVE_ASSIGN_OR_RETURN(terms, ReadTerms(FindRow(name, ordinal)));
    }
    values.emplace_back(terms.ValueOf(ordinal));
  }
  return values;
}

absl::StatusOr<std::vector<std::string>> IndexReader::LabelValues(
    const QueryContext& context, std::string_view label,
    std::span<const Matcher> matchers, int64_t limit) const {
  const Name* name = FindName(label);
  const size_t limit_count = ResultLimit(limit);
  std::vector<std::string> values;
  if (name == nullptr) return values;
  const bool own = std::all_of(
      matchers.begin(), matchers.end(),
      [&](const Matcher& m) { return m.name() == label || MatchesAll(m); });
  if (!own) {
    VARVE_ASSIGN_OR_RETURN(const Ids ids, Select(context, matchers));
    if (ids.empty()) return values;
    return ValuesOf(context, *name, ids, limit_count);
  }
  // Every value has a series, so only the matchers on the values count. One
  // with a prefix says where to look.
  const Matcher* narrow = nullptr;
  for (const Matcher& m : matchers) {
    if (m.name() == label && !m.prefixes().empty()) narrow = &m;
  }
  VARVE_RETURN_IF_ERROR(ForEachValue(
      context, *name, narrow, [&](uint32_t, std::string_view value) {
        const bool match = std::all_of(
            matchers.begin(), matchers.end(), [&](const Matcher& m) {
              return m.name() != label || m.Matches(value);
            });
        if (match) values.emplace_back(value);
        return values.size() < limit_count;
      }));
  return values;
}

}  // namespace varve
