#include "storage/index_reader.h"

#include <algorithm>

#include "storage/coding.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

absl::Status Malformed(std::string_view what) {
  return DataLoss("malformed index row: {}", what);
}

}  // namespace

absl::StatusOr<std::shared_ptr<const IndexReader>> IndexReader::Open(
    std::shared_ptr<const IndexRows> rows, uint32_t series) {
  std::shared_ptr<IndexReader> index(new IndexReader(std::move(rows), series));
  VARVE_RETURN_IF_ERROR(index->ReadNames());
  VARVE_RETURN_IF_ERROR(index->ReadTermKeys());
  return std::shared_ptr<const IndexReader>(std::move(index));
}

absl::Status IndexReader::ReadNames() {
  VARVE_ASSIGN_OR_RETURN(const std::string row,
                         rows_->Get(IndexRow::kNames, 0));
  Decoder in(row);
  const uint8_t version = in.U8();
  if (in.ok() && version != kIndexVersion) {
    return Unimplemented("index version {}, this varve reads only version {}",
                         version, kIndexVersion);
  }
  const uint64_t series = in.Varint();
  if (in.ok() && series != series_) {
    return DataLoss("index of {} series, the block has {}", series, series_);
  }
  const uint64_t count = in.VarintAtMost(in.remaining());
  uint64_t ordinal = 0;
  for (uint64_t i = 0; i < count && in.ok(); ++i) {
    Name name;
    name.name = in.Text();
    name.first = static_cast<uint32_t>(in.VarintAtMost(UINT32_MAX));
    name.count = static_cast<uint32_t>(in.VarintAtMost(UINT32_MAX));
    if (name.first != ordinal || name.count == 0 ||
        (i > 0 && name.name <= names_.back().name)) {
      in.Fail();
    }
    ordinal += name.count;
    if (ordinal > UINT32_MAX) in.Fail();
    names_.push_back(std::move(name));
  }
  return in.done() ? absl::OkStatus() : Malformed("names");
}

absl::Status IndexReader::ReadTermKeys() {
  VARVE_ASSIGN_OR_RETURN(const std::string row,
                         rows_->Get(IndexRow::kTermKeys, 0));
  Decoder in(row);
  const uint64_t count = in.VarintAtMost(in.remaining());
  uint64_t ordinal = 0;
  auto name = names_.begin();
  std::string last;
  for (uint64_t i = 0; i < count && in.ok(); ++i) {
    TermsKey terms;
    terms.first = static_cast<uint32_t>(ordinal);
    terms.count = static_cast<uint32_t>(in.VarintAtMost(kTermsMax));
    terms.key = last.substr(0, in.VarintAtMost(last.size()));
    terms.key += in.Text();
    last = terms.key;
    if (name == names_.end() || terms.count == 0) return Malformed("term keys");
    if (ordinal == name->first) name->first_row = i;
    ++name->row_count;
    ordinal += terms.count;
    const uint64_t end = uint64_t{name->first} + name->count;
    if (ordinal > end) return Malformed("term keys");
    if (ordinal == end) {
      ++name;
      last.clear();
    }
    terms_.push_back(std::move(terms));
  }
  const bool good = in.done() && name == names_.end();
  return good ? absl::OkStatus() : Malformed("term keys");
}

const IndexReader::Name* IndexReader::FindName(std::string_view name) const {
  const auto it = std::lower_bound(
      names_.begin(), names_.end(), name,
      [](const Name& n, std::string_view v) { return n.name < v; });
  return it != names_.end() && it->name == name ? &*it : nullptr;
}

size_t IndexReader::FindRow(const Name& name, std::string_view value) const {
  const auto begin = terms_.begin() + static_cast<ptrdiff_t>(name.first_row);
  const auto end = begin + static_cast<ptrdiff_t>(name.row_count);
  // The first row's key is "", so there is one.
  const auto it = std::upper_bound(
      begin, end, value,
      [](std::string_view v, const TermsKey& t) { return v < t.key; });
  return static_cast<size_t>(it - terms_.begin()) - 1;
}

size_t IndexReader::FindRow(uint32_t ordinal) const {
  const auto it = std::upper_bound(
      terms_.begin(), terms_.end(), ordinal,
      [](uint32_t o, const TermsKey& t) { return o < t.first; });
  return static_cast<size_t>(it - terms_.begin()) - 1;
}

absl::StatusOr<IndexReader::Terms> IndexReader::ReadTerms(size_t row) const {
  const TermsKey& key = terms_[row];
  VARVE_ASSIGN_OR_RETURN(const std::string bytes,
                         rows_->Get(IndexRow::kTerms, key.first));
  Decoder in(bytes);
  Terms terms;
  terms.first = key.first;
  if (in.Varint() != key.first || in.Varint() != key.count) {
    return Malformed("terms");
  }
  std::string last;
  for (uint32_t i = 0; i < key.count && in.ok(); ++i) {
    last.resize(in.VarintAtMost(last.size()));
    last += in.Text();
    terms.values.push_back(last);
  }
  if (!in.done()) return Malformed("terms");
  return terms;
}

absl::StatusOr<std::optional<uint32_t>> IndexReader::FindOrdinal(
    const Name& name, std::string_view value) const {
  VARVE_ASSIGN_OR_RETURN(const Terms terms, ReadTerms(FindRow(name, value)));
  const auto it =
      std::lower_bound(terms.values.begin(), terms.values.end(), value);
  if (it == terms.values.end() || *it != value) {
    return std::optional<uint32_t>();
  }
  return std::optional<uint32_t>(
      terms.first + static_cast<uint32_t>(it - terms.values.begin()));
}

absl::StatusOr<IndexReader::Catalogue> IndexReader::ReadCatalogue(
    uint32_t group) const {
  const uint32_t series =
      std::min(kCatalogueSeries, series_ - group * kCatalogueSeries);
  VARVE_ASSIGN_OR_RETURN(const std::string row,
                         rows_->Get(IndexRow::kCatalogue, group));
  Decoder in(row);
  if (in.Varint() != series) return Malformed("catalogue");
  Catalogue catalogue(in.VarintAtMost(names_.size()));
  for (Column& column : catalogue) {
    Decoder cells(in.Text());
    column.name = static_cast<uint32_t>(cells.Varint());
    std::vector<uint32_t> distinct(cells.VarintAtMost(series));
    if (distinct.empty() || column.name >= names_.size()) {
      return Malformed("catalogue");
    }
    const Name& name = names_[column.name];
    uint64_t last = 0;
    for (uint32_t& v : distinct) {
      last += cells.VarintAtMost(UINT32_MAX);
      if (last != 0 && (last <= name.first || last > name.first + name.count)) {
        return Malformed("catalogue");
      }
      v = static_cast<uint32_t>(last);
    }
    column.values.reserve(series);
    const uint8_t mode = distinct.size() == 1 ? 0 : cells.U8();
    if (mode == 0) {
      column.values.assign(series, distinct[0]);
    } else if (mode == 1) {
      Decoder runs(cells.Text());
      while (runs.remaining() > 0) {
        const uint64_t index = runs.VarintAtMost(distinct.size() - 1);
        const uint64_t run = runs.VarintAtMost(series - column.values.size());
        column.values.insert(column.values.end(), run, distinct[index]);
      }
      if (!runs.ok()) return Malformed("catalogue");
    } else {
      const bool wide = distinct.size() > 256;
      for (uint32_t i = 0; i < series && cells.ok(); ++i) {
        const size_t index = wide ? cells.Fixed16() : cells.U8();
        if (index >= distinct.size()) return Malformed("catalogue");
        column.values.push_back(distinct[index]);
      }
    }
    if (!cells.done() || column.values.size() != series) {
      return Malformed("catalogue");
    }
  }
  if (!in.done()) return Malformed("catalogue");
  return catalogue;
}

absl::StatusOr<std::vector<std::string>> IndexReader::ReadPostings(
    const QueryContext& context, std::span<const uint32_t> ordinals) const {
  std::vector<std::string> lists;
  lists.reserve(ordinals.size());
  for (size_t i = 0; i < ordinals.size();) {
    VARVE_RETURN_IF_ERROR(context.Check());
    const TermsKey& key = terms_[FindRow(ordinals[i])];
    VARVE_ASSIGN_OR_RETURN(const std::string row,
                           rows_->Get(IndexRow::kPostings, key.first));
    Decoder in(row);
    std::vector<uint64_t> lengths(key.count);
    for (uint64_t& length : lengths) {
      length = in.VarintAtMost(kPostingInlineBytes);
    }
    for (uint32_t k = 0; k < key.count && i < ordinals.size(); ++k) {
      const std::string_view list = in.Bytes(lengths[k]);
      if (!in.ok()) return Malformed("postings");
      if (ordinals[i] != key.first + k) continue;
      if (lengths[k] > 0) {
        lists.emplace_back(list);
      } else {
        VARVE_ASSIGN_OR_RETURN(std::string long_list,
                               rows_->Get(IndexRow::kPosting, ordinals[i]));
        lists.push_back(std::move(long_list));
      }
      ++i;
    }
  }
  return lists;
}

absl::StatusOr<Ids> IndexReader::Union(
    std::span<const std::string> postings) const {
  Ids ids;
  for (const std::string& list : postings) {
    VARVE_RETURN_IF_ERROR(AppendPosting(list, series_, &ids));
  }
  SortUnion(series_, &ids);
  return ids;
}

absl::StatusOr<Ids> IndexReader::UnionOf(
    const QueryContext& context, std::span<const uint32_t> ordinals) const {
  VARVE_ASSIGN_OR_RETURN(const std::vector<std::string> lists,
                         ReadPostings(context, ordinals));
  return Union(lists);
}

absl::StatusOr<Labels> SeriesLabels::Read(uint32_t id) {
  const uint32_t group = id / kCatalogueSeries;
  if (group_ != group) {
    group_.reset();
    VARVE_ASSIGN_OR_RETURN(catalogue_, index_->ReadCatalogue(group));
    group_ = group;
  }
  constexpr size_t kTermsKept = 4096;
  if (terms_.size() > kTermsKept) terms_.clear();
  std::vector<LabelView> labels;
  labels.reserve(catalogue_.size());
  for (const IndexReader::Column& column : catalogue_) {
    const uint32_t cell = column.values[id % kCatalogueSeries];
    if (cell == 0) continue;
    VARVE_ASSIGN_OR_RETURN(const std::string_view value, Value(cell - 1));
    labels.push_back({index_->names_[column.name].name, value});
  }
  return Labels::FromSorted(labels);
}

absl::StatusOr<std::string_view> SeriesLabels::Value(uint32_t ordinal) {
  const size_t row = index_->FindRow(ordinal);
  auto it = terms_.find(row);
  if (it == terms_.end()) {
    VARVE_ASSIGN_OR_RETURN(IndexReader::Terms terms, index_->ReadTerms(row));
    it = terms_
             .emplace(row, std::make_unique<const IndexReader::Terms>(
                               std::move(terms)))
             .first;
  }
  return std::string_view(it->second->values[ordinal - it->second->first]);
}

}  // namespace varve
