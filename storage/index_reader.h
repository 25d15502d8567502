#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "storage/index_rows.h"
#include "storage/index_writer.h"
#include "storage/labels.h"
#include "storage/matcher.h"
#include "storage/posting_list.h"
#include "storage/query_context.h"

namespace varve {

/// Where a block's index rows stand: in the RowStore, or one day in the block
/// file itself. Thread-safe.
class IndexRows {
 public:
  virtual ~IndexRows() = default;
  /// DataLoss also when there is no such row: all that are asked for exist.
  virtual absl::StatusOr<std::string> Get(IndexRow kind,
                                          uint32_t number) const = 0;
};

/// The label index of one block: which series match, and what their labels are.
/// Immutable and thread-safe; holds the label names and one key per 64 values
/// in memory, everything else is read when it is asked for.
class IndexReader {
 public:
  /// `series` is what the block says; another number in the index is DataLoss.
  static absl::StatusOr<std::shared_ptr<const IndexReader>> Open(
      std::shared_ptr<const IndexRows> rows, uint32_t series);

  uint32_t series() const { return series_; }

  /// Gives every row as it is stored, keys ascending. An error of `f` ends it.
  absl::Status ForEachRow(
      const std::function<absl::Status(IndexRow kind, uint32_t number,
                                       std::string_view value)>& f) const;

  /// Series that match all matchers.
  absl::StatusOr<Ids> Select(const QueryContext& context,
                             std::span<const Matcher> matchers) const;
  /// Sorted, at most `limit` + 1 if that is not 0.
  absl::StatusOr<std::vector<std::string>> LabelNames(
      const QueryContext& context, std::span<const Matcher> matchers,
      int64_t limit) const;
  absl::StatusOr<std::vector<std::string>> LabelValues(
      const QueryContext& context, std::string_view name,
      std::span<const Matcher> matchers, int64_t limit) const;

 private:
  friend class SeriesLabels;
  friend class IndexVerifier;

  using Name = IndexName;
  struct TermsKey {
    uint32_t first = 0;  // ordinal
    uint32_t count = 0;
    std::string key;  // above every value before the row, not above its first
  };
  /// Ordinals of values, ascending, and whether these are the values whose
  /// series stay or those whose series go.
  struct Candidates {
    const Matcher* matcher = nullptr;
    const Name* name = nullptr;
    bool exclude = false;
  };

  IndexReader(std::shared_ptr<const IndexRows> rows, uint32_t series)
      : rows_(std::move(rows)), series_(series) {}
  absl::Status ReadNames();
  absl::Status ReadTermKeys();

  const Name* FindName(std::string_view name) const;
  /// The terms row that would hold the value / holds the ordinal.
  size_t FindRow(const Name& name, std::string_view value) const;
  size_t FindRow(const Name& name, uint32_t ordinal) const;
  absl::StatusOr<TermsRow> ReadTerms(size_t row) const;
  absl::StatusOr<std::optional<uint32_t>> FindOrdinal(
      const Name& name, std::string_view value) const;
  /// With `only`, the column of that name alone.
  absl::StatusOr<CatalogueRow> ReadCatalogue(
      uint32_t group, std::optional<uint32_t> only = std::nullopt) const;
  uint32_t NumberOf(const Name& name) const {
    return static_cast<uint32_t>(&name - names_.data());
  }

  /// Calls f(ordinal, value) for the values that `matcher` (null: every value)
  /// might match by its prefixes, in order, until f gives false.
  template <typename F>
  absl::Status ForEachValue(const QueryContext& context, const Name& name,
                            const Matcher* matcher, const F& f) const;
  /// The same of one prefix; false when f gave that.
  template <typename F>
  absl::StatusOr<bool> ForEachWithPrefix(const QueryContext& context,
                                         const Name& name,
                                         std::string_view prefix,
                                         const F& f) const;
  absl::StatusOr<std::vector<uint32_t>> MatchingOrdinals(
      const QueryContext& context, const Name& name, const Matcher& matcher,
      bool wanted) const;
  /// The encoded lists of these ordinals of the name (ascending).
  absl::StatusOr<std::vector<std::string>> ReadPostings(
      const QueryContext& context, const Name& name,
      std::span<const uint32_t> ordinals) const;
  absl::StatusOr<Ids> Union(std::span<const std::string> postings) const;
  absl::StatusOr<Ids> UnionOf(const QueryContext& context, const Name& name,
                              std::span<const uint32_t> ordinals) const;

  Ids AllIds() const;
  std::vector<Candidates> Order(std::span<const Matcher> matchers,
                                bool* nothing) const;
  absl::Status SelectLiterals(const QueryContext& context,
                              std::span<const Candidates> literals,
                              std::optional<Ids>* ids) const;
  absl::Status Narrow(const QueryContext& context, const Candidates& candidates,
                      std::optional<Ids>* ids) const;
  /// Keeps or removes ids by looking at their labels.
  absl::Status FilterByCatalogue(const QueryContext& context,
                                 const Candidates& candidates, Ids* ids) const;
  /// Whether reading these series' labels costs less than reading all values.
  bool CatalogueIsCheaper(const Name& name,
                          std::span<const uint32_t> ids) const;
  absl::StatusOr<std::vector<uint32_t>> OrdinalsOf(
      const QueryContext& context, const Name& name,
      std::span<const uint32_t> ids) const;
  absl::StatusOr<std::vector<std::string>> ValuesOf(
      const QueryContext& context, const Name& name,
      std::span<const uint32_t> ids, size_t limit) const;

  const std::shared_ptr<const IndexRows> rows_;
  const uint32_t series_;
  std::vector<Name> names_;
  std::vector<TermsKey> terms_;
};

/// Reads label sets of one index; cheap for neighbours. Single-thread.
class SeriesLabels {
 public:
  explicit SeriesLabels(std::shared_ptr<const IndexReader> index)
      : index_(std::move(index)) {}
  /// Reads only the labels of these names.
  SeriesLabels(std::shared_ptr<const IndexReader> index,
               std::span<const std::string> only);
  /// REQUIRES: id < index->series().
  absl::StatusOr<Labels> Read(uint32_t id);

 private:
  absl::StatusOr<std::string_view> Value(const IndexName& name,
                                         uint32_t ordinal);

  const std::shared_ptr<const IndexReader> index_;
  std::vector<bool> wanted_;  ///< by number of the name; empty: all
  std::optional<uint32_t> group_;
  CatalogueRow catalogue_;
  std::vector<LabelView> labels_;  // scratch
  /// The row used last for each name, and all of them.
  std::vector<const TermsRow*> last_;
  absl::flat_hash_map<size_t, std::unique_ptr<const TermsRow>> terms_;
};

}  // namespace varve
