#include <algorithm>
#include <cmath>
#include <functional>

#include "query/bounds.h"
#include "query/functions.h"
#include "storage/status_macros.h"

// sort(), sort_desc(), sort_by_label() and sort_by_label_desc(). They order the
// answer to an instant query; a range query's is always ordered by labels.

namespace varve::promql {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

/// The leading run of digits or of anything else.
std::string_view TakeChunk(std::string_view* text) {
  size_t length = 1;
  while (length < text->size() &&
         IsDigit((*text)[length]) == IsDigit((*text)[0])) {
    ++length;
  }
  const std::string_view chunk = text->substr(0, length);
  text->remove_prefix(length);
  return chunk;
}

/// Compares digits as a number of any length.
int CompareDigits(std::string_view a, std::string_view b) {
  a.remove_prefix(std::min(a.find_first_not_of('0'), a.size()));
  b.remove_prefix(std::min(b.find_first_not_of('0'), b.size()));
  if (a.size() != b.size()) return a.size() < b.size() ? -1 : 1;
  return a.compare(b);
}

/// Natural order: runs of digits are compared as numbers.
int CompareNatural(std::string_view a, std::string_view b) {
  while (!a.empty() && !b.empty()) {
    const std::string_view x = TakeChunk(&a);
    const std::string_view y = TakeChunk(&b);
    const bool digits = IsDigit(x[0]) && IsDigit(y[0]);
    const int order = digits ? CompareDigits(x, y) : x.compare(y);
    if (order != 0) return order;
  }
  return static_cast<int>(!a.empty()) - static_cast<int>(!b.empty());
}

/// Holds all rows of a query with one step and gives them in order.
class Sort final : public Operator {
 public:
  /// True when the first comes before the second.
  using Before = std::function<bool(const Row&, const SeriesInfo&, const Row&,
                                    const SeriesInfo&)>;

  Sort(EvalContext& context, OperatorPtr input, bool floats_only, Before before)
      : Operator(context, input->grid()),
        input_(std::move(input)),
        floats_only_(floats_only),
        before_(std::move(before)) {}

  absl::StatusOr<const std::vector<SeriesInfo>*> Series() override {
    VARVE_ASSIGN_OR_RETURN(series_, input_->Series());
    return series_;
  }

  absl::StatusOr<bool> Next(Row* row) override {
    if (steps() != 1) {
      VARVE_ASSIGN_OR_RETURN(const bool more, input_->Next(row));
      if (floats_only_) row->histograms.clear();
      return more;
    }
    if (!sorted_) VARVE_RETURN_IF_ERROR(ReadAll());
    sorted_ = true;
    if (next_ == rows_.size()) return false;
    *row = std::move(rows_[next_++]);
    return true;
  }

 private:
  absl::Status ReadAll() {
    for (Row row;;) {
      VARVE_ASSIGN_OR_RETURN(const bool more, input_->Next(&row));
      if (!more) break;
      if (floats_only_) row.histograms.clear();
      if (!row.Has(0)) continue;
      VARVE_RETURN_IF_ERROR(
          context_.query.ChargeBytes(2 * sizeof(Row) + 4 * sizeof(double)));
      rows_.push_back(std::move(row));
      row = Row();
    }
    return CheckedSort(context_.query, &rows_, [&](const Row& a, const Row& b) {
      return before_(a, (*series_)[a.series], b, (*series_)[b.series]);
    });
  }

  const OperatorPtr input_;
  const bool floats_only_;
  const Before before_;
  const std::vector<SeriesInfo>* series_ = nullptr;
  std::vector<Row> rows_;
  size_t next_ = 0;
  bool sorted_ = false;
};

// NaN comes last in both directions.
template <bool kDescending>
absl::StatusOr<OperatorPtr> MakeSort(OperatorCall call) {
  const auto before = [](const Row& a, const SeriesInfo&, const Row& b,
                         const SeriesInfo&) {
    const double x = a.values[0];
    const double y = b.values[0];
    if (std::isnan(x) || std::isnan(y)) return !std::isnan(x);
    return kDescending ? x > y : x < y;
  };
  return std::make_unique<Sort>(call.context, std::move(call.arguments[0]),
                                true, before);
}

template <bool kDescending>
absl::StatusOr<OperatorPtr> MakeSortByLabel(OperatorCall call) {
  std::vector<std::string> labels(call.strings.begin() + 1, call.strings.end());
  const auto before = [labels = std::move(labels)](
                          const Row&, const SeriesInfo& a, const Row&,
                          const SeriesInfo& b) {
    for (const std::string& label : labels) {
      const int order =
          CompareNatural(a.labels.Get(label), b.labels.Get(label));
      if (order != 0) return kDescending ? order > 0 : order < 0;
    }
    return kDescending ? b.labels < a.labels : a.labels < b.labels;
  };
  return std::make_unique<Sort>(call.context, std::move(call.arguments[0]),
                                false, before);
}

/// A range query's answer has an order of its own.
template <OperatorFactory kMake>
absl::StatusOr<OperatorPtr> MakeWarned(OperatorCall call) {
  if (call.grid.count > 1) {
    call.context.annotations.Warn(
        "sort is ineffective for range queries since results are always "
        "ordered by labels",
        call.node.position());
  }
  return kMake(std::move(call));
}

constexpr FunctionImpl kFunctions[] = {
    {.name = "sort", .make = MakeWarned<MakeSort<false>>},
    {.name = "sort_by_label", .make = MakeWarned<MakeSortByLabel<false>>},
    {.name = "sort_by_label_desc", .make = MakeWarned<MakeSortByLabel<true>>},
    {.name = "sort_desc", .make = MakeWarned<MakeSort<true>>},
};

}  // namespace

std::span<const FunctionImpl> SortFunctions() { return kFunctions; }

}  // namespace varve::promql
