#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "storage/labels.h"

namespace varve {

/// Kinds of index rows, the first byte of their keys; see storage/index.md.
enum class IndexRow : char {
  kPosting = 'B',    ///< a long posting list
  kCatalogue = 'C',  ///< the labels of 256 series
  kNames = 'N',      ///< the label names
  kPostings = 'P',   ///< the posting lists of a terms row's values
  kTerms = 'T',      ///< up to 64 values of one label
  kTermKeys = 'X',   ///< where each terms row begins
};

inline constexpr uint8_t kIndexVersion = 1;
inline constexpr uint32_t kCatalogueSeries = 256;
inline constexpr uint32_t kTermsMax = 64;
/// Longer posting lists get a row of their own.
inline constexpr size_t kPostingInlineBytes = 1024;

/// The key of a row: kind and number (0 where there is one of the kind).
std::string IndexRowKey(IndexRow kind, uint32_t number);

/// Makes the index rows of a block from its label sets, all in memory: 48 bytes
/// per series of 12 labels, plus each pair once. Single-thread.
class IndexWriter {
 public:
  IndexWriter() = default;

  /// The n-th label set is series n. REQUIRES: SeriesLess order.
  void AddSeries(const Labels& labels);
  uint32_t series() const { return static_cast<uint32_t>(ends_.size()); }

  /// All rows, keys ascending. The writer is used up.
  std::vector<std::pair<std::string, std::string>> Finish();

 private:
  struct Pair {
    std::string_view name;
    std::string_view value;
  };
  /// Of the sorted pairs, those of one label name.
  struct Name {
    std::string_view name;
    uint32_t first = 0;
    uint32_t count = 0;
  };
  using Rows = std::vector<std::pair<std::string, std::string>>;
  struct BytesHash {
    size_t operator()(std::string_view bytes) const;
  };

  using PairIds = absl::flat_hash_map<std::string_view, uint32_t, BytesHash>;
  /// A pair of the series before, by its place there.
  struct Last {
    std::string_view bytes;  // kept
    uint32_t number = 0;
  };

  std::string_view Keep(std::string_view bytes);
  PairIds::value_type FindOrAdd(std::string_view bytes, const LabelView& label);
  void SortPairs();
  void InvertSeries();
  void AddTermRows(const Name& name, Rows* rows, std::string* keys,
                   uint32_t* row_count);
  void AddTermRow(uint32_t first, uint32_t count, Rows* rows);
  std::string NamesRow() const;
  void AddCatalogueRows(Rows* rows);
  std::string CatalogueRow(uint32_t first, uint32_t count);

  /// Copies of the pairs' bytes, which the views point into.
  std::vector<std::unique_ptr<char[]>> arena_;
  size_t arena_left_ = 0;
  char* arena_at_ = nullptr;

  /// By the bytes of a pair in a packed label set.
  PairIds pair_ids_;
  std::vector<Last> last_;
  std::vector<Pair> pairs_;       // in order of arrival, then sorted
  std::vector<uint32_t> series_;  // pairs of all series, one after the other
  std::vector<uint64_t> ends_;    // per series, where its pairs end
  std::vector<Name> names_;       // sorted
  std::vector<uint32_t> pair_names_;  // per sorted pair: its name's place
  /// Scratch of CatalogueRow, per name; empty between rows.
  std::vector<std::vector<uint32_t>> columns_;
  std::vector<uint64_t> posting_ends_;  // per pair
  std::vector<uint32_t> postings_;
};

}  // namespace varve
