#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace varve {

// Index rows as they are read; their bytes are in storage/index.md. Damage is
// DataLoss.

/// A label name of the index.
struct IndexName {
  std::string name;
  uint32_t first = 0;  ///< ordinal of its first value
  uint32_t count = 0;  ///< of values
  size_t first_row = 0;
  size_t row_count = 0;  ///< of terms rows
};

/// Some values of one label, in order. Immutable.
class TermsRow {
 public:
  TermsRow() = default;
  /// `first` and `count` are what the row must say of itself.
  static absl::StatusOr<TermsRow> Parse(std::string_view row, uint32_t first,
                                        uint32_t count);

  uint32_t first() const { return first_; }  ///< ordinal
  uint32_t size() const { return static_cast<uint32_t>(ends_.size()); }
  std::string_view value(size_t i) const {
    const uint32_t begin = i == 0 ? 0 : ends_[i - 1];
    return std::string_view(text_).substr(begin, ends_[i] - begin);
  }
  bool Has(uint32_t ordinal) const {
    return ordinal >= first_ && ordinal - first_ < ends_.size();
  }
  /// REQUIRES: Has(ordinal).
  std::string_view ValueOf(uint32_t ordinal) const {
    return value(ordinal - first_);
  }
  std::optional<uint32_t> Find(std::string_view value) const;

 private:
  uint32_t first_ = 0;
  std::string text_;  // the values, one after the other
  std::vector<uint32_t> ends_;
};

/// The labels of up to 256 series, in columns. Cells are looked up in the row
/// as it stands, so that a few series cost little. Immutable.
class CatalogueRow {
 public:
  struct Column {
    uint32_t name = 0;  ///< place among the index's names
    uint8_t width = 0;  ///< of an index into the cells; 0: see `step`
    uint8_t step = 0;   ///< 0: one cell for all series, 1: a cell each
    uint32_t cells = 0;
    uint32_t indexes = 0;
  };

  CatalogueRow() = default;
  /// With `only`, the column of that name alone.
  static absl::StatusOr<CatalogueRow> Parse(std::string row, uint32_t series,
                                            std::span<const IndexName> names,
                                            std::optional<uint32_t> only);

  /// By name, ascending.
  const std::vector<Column>& columns() const { return columns_; }
  const Column* Find(uint32_t name) const;
  /// Ordinal + 1 of the series' value, 0 when it has none. REQUIRES: series is
  /// below the row's number of them.
  uint32_t Cell(const Column& column, uint32_t series) const {
    if (column.width == 0) return cells_[column.cells + series * column.step];
    const char* at = row_.data() + column.indexes + series * column.width;
    const auto low = static_cast<uint8_t>(at[0]);
    if (column.width == 1) return cells_[column.cells + low];
    return cells_[column.cells + (low | static_cast<uint8_t>(at[1]) << 8)];
  }
  /// False when every series has a value. May say true when all have one.
  bool MayBeAbsent(const Column& column) const {
    return column.step == 1 || cells_[column.cells] == 0;
  }

 private:
  bool ParseColumn(std::string_view bytes, uint32_t series,
                   std::span<const IndexName> names,
                   std::optional<uint32_t> only);
  bool ParseRuns(std::string_view bytes, uint32_t series, Column* column,
                 uint32_t count);
  bool ParseIndexes(std::string_view bytes, Column* column, uint32_t count);

  std::string row_;
  std::vector<Column> columns_;
  std::vector<uint32_t> cells_;
};

}  // namespace varve
