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

absl::Status IndexReader::ForEachRow(
    const std::function<absl::Status(IndexRow kind, uint32_t number,
                                     std::string_view value)>& f) const {
  const auto give = [&](IndexRow kind, uint32_t number) -> absl::Status {
    VARVE_ASSIGN_OR_RETURN(const std::string row, rows_->Get(kind, number));
    return f(kind, number, row);
  };
  for (const TermsKey& terms : terms_) {
    VARVE_ASSIGN_OR_RETURN(const std::string row,
                           rows_->Get(IndexRow::kPostings, terms.first));
    Decoder in(row);
    for (uint32_t k = 0; k < terms.count; ++k) {
      const bool elsewhere = in.Varint() == 0;
      if (!in.ok()) return Malformed("postings");
      if (!elsewhere) continue;
      VARVE_RETURN_IF_ERROR(give(IndexRow::kPosting, terms.first + k));
    }
  }
  const uint32_t groups =
      series_ / kCatalogueSeries + (series_ % kCatalogueSeries != 0);
  for (uint32_t group = 0; group < groups; ++group) {
    VARVE_RETURN_IF_ERROR(give(IndexRow::kCatalogue, group));
  }
  VARVE_RETURN_IF_ERROR(give(IndexRow::kNames, 0));
  for (const IndexRow kind : {IndexRow::kPostings, IndexRow::kTerms}) {
    for (const TermsKey& terms : terms_) {
      VARVE_RETURN_IF_ERROR(give(kind, terms.first));
    }
  }
  return give(IndexRow::kTermKeys, 0);
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

size_t IndexReader::FindRow(const Name& name, uint32_t ordinal) const {
  // Rows are full but for the last one, unless their values are long.
  const size_t full = name.first_row + (ordinal - name.first) / kTermsMax;
  const TermsKey& guess = terms_[full];
  if (ordinal >= guess.first && ordinal - guess.first < guess.count) {
    return full;
  }
  const auto begin = terms_.begin() + static_cast<ptrdiff_t>(full);
  const auto end =
      terms_.begin() + static_cast<ptrdiff_t>(name.first_row + name.row_count);
  const auto it = std::upper_bound(
      begin, end, ordinal,
      [](uint32_t o, const TermsKey& t) { return o < t.first; });
  return static_cast<size_t>(it - terms_.begin()) - 1;
}

absl::StatusOr<TermsRow> IndexReader::ReadTerms(size_t row) const {
  const TermsKey& key = terms_[row];
  VARVE_ASSIGN_OR_RETURN(const std::string bytes,
                         rows_->Get(IndexRow::kTerms, key.first));
  return TermsRow::Parse(bytes, key.first, key.count);
}

absl::StatusOr<std::optional<uint32_t>> IndexReader::FindOrdinal(
    const Name& name, std::string_view value) const {
  VARVE_ASSIGN_OR_RETURN(const TermsRow terms, ReadTerms(FindRow(name, value)));
  return terms.Find(value);
}

absl::StatusOr<CatalogueRow> IndexReader::ReadCatalogue(
    uint32_t group, std::optional<uint32_t> only) const {
  const uint32_t series =
      std::min(kCatalogueSeries, series_ - group * kCatalogueSeries);
  VARVE_ASSIGN_OR_RETURN(std::string row,
                         rows_->Get(IndexRow::kCatalogue, group));
  return CatalogueRow::Parse(std::move(row), series, names_, only);
}

absl::StatusOr<std::vector<std::string>> IndexReader::ReadPostings(
    const QueryContext& context, const Name& name,
    std::span<const uint32_t> ordinals) const {
  std::vector<std::string> lists;
  lists.reserve(ordinals.size());
  for (size_t i = 0; i < ordinals.size();) {
    VARVE_RETURN_IF_ERROR(context.Check());
    const TermsKey& key = terms_[FindRow(name, ordinals[i])];
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
    const QueryContext& context, const Name& name,
    std::span<const uint32_t> ordinals) const {
  VARVE_ASSIGN_OR_RETURN(const std::vector<std::string> lists,
                         ReadPostings(context, name, ordinals));
  return Union(lists);
}

SeriesLabels::SeriesLabels(std::shared_ptr<const IndexReader> index,
                           std::span<const std::string> only)
    : index_(std::move(index)) {
  for (const IndexName& name : index_->names_) {
    wanted_.push_back(std::find(only.begin(), only.end(), name.name) !=
                      only.end());
  }
}

absl::StatusOr<Labels> SeriesLabels::Read(uint32_t id) {
  const uint32_t group = id / kCatalogueSeries;
  if (group_ != group) {
    group_.reset();
    VARVE_ASSIGN_OR_RETURN(catalogue_, index_->ReadCatalogue(group));
    group_ = group;
  }
  constexpr size_t kTermsKept = 4096;
  if (terms_.size() > kTermsKept) {
    terms_.clear();
    last_.clear();
  }
  last_.resize(index_->names_.size());
  labels_.clear();
  for (const CatalogueRow::Column& column : catalogue_.columns()) {
    if (!wanted_.empty() && !wanted_[column.name]) continue;
    const uint32_t cell = catalogue_.Cell(column, id % kCatalogueSeries);
    if (cell == 0) continue;
    const IndexName& name = index_->names_[column.name];
    VARVE_ASSIGN_OR_RETURN(const std::string_view value, Value(name, cell - 1));
    labels_.push_back({name.name, value});
  }
  return Labels::FromSorted(labels_);
}

absl::StatusOr<std::string_view> SeriesLabels::Value(const IndexName& name,
                                                     uint32_t ordinal) {
  const TermsRow*& last = last_[index_->NumberOf(name)];
  if (last != nullptr && last->Has(ordinal)) return last->ValueOf(ordinal);
  const size_t row = index_->FindRow(name, ordinal);
  std::unique_ptr<const TermsRow>& terms = terms_[row];
  if (terms == nullptr) {
    VARVE_ASSIGN_OR_RETURN(TermsRow read, index_->ReadTerms(row));
    terms = std::make_unique<const TermsRow>(std::move(read));
  }
  last = terms.get();
  return last->ValueOf(ordinal);
}

}  // namespace varve
