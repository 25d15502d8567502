#include <algorithm>
#include <numeric>
#include <utility>

#include "storage/index_reader.h"
#include "storage/status_macros.h"
#include "storage/verify_block.h"

namespace varve {

namespace {

/// Ordinals whose series are summed up at once: 16 bytes each. Each such slice
/// reads the catalogue once.
constexpr uint32_t kOrdinalsPerPass = 1 << 20;

/// A number whose sum over a set tells the set: splitmix64.
uint64_t Mixed(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

}  // namespace

/// Reads an index from end to end.
class IndexVerifier {
 public:
  explicit IndexVerifier(std::shared_ptr<const IndexReader> index)
      : index_(std::move(index)), labels_(index_) {}

  absl::Status Run() {
    VARVE_RETURN_IF_ERROR(CheckTerms());
    VARVE_RETURN_IF_ERROR(CheckLabels());
    const uint64_t pairs = PairCount();
    for (uint64_t first = 0; first < pairs; first += kOrdinalsPerPass) {
      const uint64_t end = std::min(pairs, first + kOrdinalsPerPass);
      VARVE_RETURN_IF_ERROR(CheckPostings(static_cast<uint32_t>(first),
                                          static_cast<uint32_t>(end)));
    }
    return absl::OkStatus();
  }

 private:
  struct Sum {
    uint64_t count = 0;
    uint64_t mixed = 0;
    void Add(uint32_t id) {
      ++count;
      mixed += Mixed(id);
    }
    friend bool operator==(const Sum&, const Sum&) = default;
  };

  uint64_t PairCount() const {
    if (index_->names_.empty()) return 0;
    const auto& last = index_->names_.back();
    return uint64_t{last.first} + last.count;
  }

  /// Values ascend, and every row begins where its key says.
  absl::Status CheckTerms() const {
    for (const IndexName& name : index_->names_) {
      std::string last;
      for (size_t i = 0; i < name.row_count; ++i) {
        const size_t row = name.first_row + i;
        VARVE_ASSIGN_OR_RETURN(const TermsRow terms, index_->ReadTerms(row));
        const std::string& key = index_->terms_[row].key;
        const bool key_fits =
            i == 0 ? key.empty() : key > last && key <= terms.value(0);
        if (!key_fits) {
          return DataLoss("row T{}: its key does not fit its values",
                          terms.first());
        }
        for (uint32_t k = 0; k < terms.size(); ++k) {
          const std::string_view value = terms.value(k);
          if (value.empty() || value <= last) {
            return DataLoss("row T{}: values of {} are out of order",
                            terms.first(), Quote(name.name));
          }
          last = value;
        }
      }
    }
    return absl::OkStatus();
  }

  /// The label sets ascend, so that each stands once.
  absl::Status CheckLabels() {
    Labels last;
    for (uint32_t id = 0; id < index_->series(); ++id) {
      if (id % kCatalogueSeries == 0) {
        VARVE_RETURN_IF_ERROR(CheckColumns(id / kCatalogueSeries));
      }
      VARVE_ASSIGN_OR_RETURN(Labels labels, labels_.Read(id));
      if (labels.empty() || (id > 0 && !SeriesLess(last, labels))) {
        return DataLoss("row C{}: series {} {} does not come after {}",
                        id / kCatalogueSeries, id, labels.ToString(),
                        last.ToString());
      }
      last = std::move(labels);
    }
    return absl::OkStatus();
  }

  absl::Status CheckColumns(uint32_t group) const {
    VARVE_ASSIGN_OR_RETURN(const auto row, index_->ReadCatalogue(group));
    const auto& columns = row.columns();
    for (size_t i = 1; i < columns.size(); ++i) {
      if (columns[i].name <= columns[i - 1].name) {
        return DataLoss("row C{}: its columns are out of order", group);
      }
    }
    return absl::OkStatus();
  }

  /// What the catalogue says of the ordinals [first, end) is what the posting
  /// lists say.
  absl::Status CheckPostings(uint32_t first, uint32_t end) const {
    std::vector<Sum> sums(end - first);
    for (uint32_t id = 0; id < index_->series(); id += kCatalogueSeries) {
      VARVE_ASSIGN_OR_RETURN(const auto row,
                             index_->ReadCatalogue(id / kCatalogueSeries));
      const uint32_t count = std::min(kCatalogueSeries, index_->series() - id);
      for (const CatalogueRow::Column& column : row.columns()) {
        for (uint32_t i = 0; i < count; ++i) {
          const uint32_t cell = row.Cell(column, i);
          if (cell == 0 || cell - 1 < first || cell - 1 >= end) continue;
          sums[cell - 1 - first].Add(id + i);
        }
      }
    }
    for (const IndexName& name : index_->names_) {
      const uint32_t begin = std::max(first, name.first);
      const uint32_t stop = std::min(end, name.first + name.count);
      for (uint32_t at = begin; at < stop; at += kTermsMax) {
        VARVE_RETURN_IF_ERROR(
            ComparePostings(name, at, std::min(stop, at + kTermsMax),
                            std::span(sums).subspan(at - first)));
      }
    }
    return absl::OkStatus();
  }

  absl::Status ComparePostings(const IndexName& name, uint32_t begin,
                               uint32_t end, std::span<const Sum> sums) const {
    QueryContext context;
    std::vector<uint32_t> ordinals(end - begin);
    std::iota(ordinals.begin(), ordinals.end(), begin);
    VARVE_ASSIGN_OR_RETURN(const auto lists,
                           index_->ReadPostings(context, name, ordinals));
    for (size_t i = 0; i < lists.size(); ++i) {
      Ids ids;
      VARVE_RETURN_IF_ERROR(AppendPosting(lists[i], index_->series(), &ids));
      Sum sum;
      for (const uint32_t id : ids) sum.Add(id);
      if (sum == sums[i]) continue;
      return DataLoss(
          "the posting list of pair {} has {} series that are not the {} of "
          "the catalogue",
          ordinals[i], sum.count, sums[i].count);
    }
    return absl::OkStatus();
  }

  const std::shared_ptr<const IndexReader> index_;
  SeriesLabels labels_;
};

bool VerifyIndexRows(std::shared_ptr<const IndexRows> rows, uint32_t series,
                     const std::string& file, Findings* findings) {
  auto index = IndexReader::Open(std::move(rows), series);
  absl::Status status = index.status();
  if (status.ok()) status = IndexVerifier(*std::move(index)).Run();
  if (status.ok()) return true;
  findings->Damage(file, fmt::format("index rows: {}", Message(status)));
  return false;
}

}  // namespace varve
