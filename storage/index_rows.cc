#include "storage/index_rows.h"

#include <algorithm>

#include "storage/coding.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

absl::Status Malformed(std::string_view what) {
  return DataLoss("malformed index row: {}", what);
}

}  // namespace

absl::StatusOr<TermsRow> TermsRow::Parse(std::string_view row, uint32_t first,
                                         uint32_t count) {
  Decoder in(row);
  if (in.Varint() != first || in.Varint() != count) return Malformed("terms");
  TermsRow out;
  out.first_ = first;
  out.text_.reserve(2 * row.size());
  out.ends_.reserve(count);
  size_t last = 0;  // where the value before begins
  for (uint32_t i = 0; i < count && in.ok(); ++i) {
    const size_t begin = out.text_.size();
    const size_t shared = in.VarintAtMost(begin - last);
    out.text_.append(out.text_, last, shared);
    out.text_.append(in.Text());
    out.ends_.push_back(static_cast<uint32_t>(out.text_.size()));
    last = begin;
  }
  if (!in.done()) return Malformed("terms");
  return out;
}

std::optional<uint32_t> TermsRow::Find(std::string_view wanted) const {
  uint32_t begin = 0;
  uint32_t end = size();
  while (begin < end) {
    const uint32_t middle = (begin + end) / 2;
    if (value(middle) < wanted) {
      begin = middle + 1;
    } else {
      end = middle;
    }
  }
  if (begin == size() || value(begin) != wanted) return std::nullopt;
  return first_ + begin;
}

absl::StatusOr<CatalogueRow> CatalogueRow::Parse(
    std::string row, uint32_t series, std::span<const IndexName> names,
    std::optional<uint32_t> only) {
  CatalogueRow out;
  out.row_ = std::move(row);
  Decoder in(out.row_);
  if (in.Varint() != series) return Malformed("catalogue");
  const uint64_t columns = in.VarintAtMost(names.size());
  if (!only) out.columns_.reserve(columns);
  for (uint64_t i = 0; i < columns && in.ok(); ++i) {
    const std::string_view column = in.Text();
    if (!in.ok() || !out.ParseColumn(column, series, names, only)) {
      return Malformed("catalogue");
    }
  }
  if (!in.done()) return Malformed("catalogue");
  return out;
}

bool CatalogueRow::ParseColumn(std::string_view bytes, uint32_t series,
                               std::span<const IndexName> names,
                               std::optional<uint32_t> only) {
  Decoder in(bytes);
  Column column;
  column.name = static_cast<uint32_t>(in.VarintAtMost(UINT32_MAX));
  if (!in.ok() || column.name >= names.size()) return false;
  if (only && *only != column.name) return true;
  const IndexName& name = names[column.name];
  const auto count = static_cast<uint32_t>(in.VarintAtMost(series));
  if (count == 0) return false;
  column.cells = static_cast<uint32_t>(cells_.size());
  uint64_t last = 0;
  for (uint32_t i = 0; i < count; ++i) {
    last += in.VarintAtMost(UINT32_MAX);
    if (last != 0 && (last <= name.first || last > name.first + name.count)) {
      return false;
    }
    cells_.push_back(static_cast<uint32_t>(last));
  }
  if (count > 1) {
    const uint8_t mode = in.U8();
    const std::string_view rest = mode == 1 ? in.Text() : in.rest();
    if (!in.ok()) return false;
    if (mode == 1) {
      if (!in.done() || !ParseRuns(rest, series, &column, count)) return false;
    } else {
      column.width = count > 256 ? 2 : 1;
      if (rest.size() != size_t{series} * column.width ||
          !ParseIndexes(rest, &column, count)) {
        return false;
      }
    }
  } else if (!in.done()) {
    return false;
  }
  columns_.push_back(column);
  return true;
}

bool CatalogueRow::ParseRuns(std::string_view bytes, uint32_t series,
                             Column* column, uint32_t count) {
  const uint32_t distinct = column->cells;
  column->cells = static_cast<uint32_t>(cells_.size());
  column->step = 1;
  Decoder runs(bytes);
  while (runs.remaining() > 0) {
    const uint64_t index = runs.VarintAtMost(count - 1);
    const uint64_t run =
        runs.VarintAtMost(series - (cells_.size() - column->cells));
    if (!runs.ok()) return false;
    cells_.insert(cells_.end(), run, uint32_t{cells_[distinct + index]});
  }
  return cells_.size() - column->cells == series;
}

bool CatalogueRow::ParseIndexes(std::string_view bytes, Column* column,
                                uint32_t count) {
  column->indexes = static_cast<uint32_t>(bytes.data() - row_.data());
  uint32_t largest = 0;
  if (column->width == 1) {
    for (const char c : bytes) {
      largest = std::max<uint32_t>(largest, static_cast<uint8_t>(c));
    }
  } else {
    for (size_t i = 0; i < bytes.size(); i += 2) {
      largest = std::max<uint32_t>(largest, LoadFixed16(bytes.data() + i));
    }
  }
  return largest < count;
}

const CatalogueRow::Column* CatalogueRow::Find(uint32_t name) const {
  for (const Column& column : columns_) {
    if (column.name == name) return &column;
  }
  return nullptr;
}

}  // namespace varve
