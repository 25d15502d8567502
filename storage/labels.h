#pragma once

#include <compare>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace varve {

inline constexpr std::string_view kMetricName = "__name__";

/// Packed size of a label set that is stored, at most. Log records, index rows
/// and memory are laid out for it; the limits of other systems are far below.
inline constexpr size_t kLabelSetBytesMax = size_t{64} << 10;

/// A label as seen inside a label set; the views live as long as the set.
struct LabelView {
  std::string_view name;
  std::string_view value;
  friend bool operator==(const LabelView&, const LabelView&) = default;
  friend auto operator<=>(const LabelView&, const LabelView&) = default;
};

/// A label set: names strictly ascending by bytes, no empty value (an empty
/// value means that the label is absent). Immutable; a value type.
///
/// The labels stand in one string, per label: varint length and bytes of the
/// name, varint length and bytes of the value. So a set costs one allocation,
/// equality is one memcmp, and a copy is cheap. Thread-compatible.
class Labels {
 public:
  class Iterator {
   public:
    using value_type = LabelView;
    using difference_type = std::ptrdiff_t;

    Iterator() = default;
    explicit Iterator(const char* at, const char* end) : at_(at), end_(end) {
      Read();
    }
    const LabelView& operator*() const { return label_; }
    const LabelView* operator->() const { return &label_; }
    Iterator& operator++() {
      at_ = next_;
      Read();
      return *this;
    }
    Iterator operator++(int) {
      Iterator old = *this;
      ++*this;
      return old;
    }
    friend bool operator==(const Iterator& a, const Iterator& b) {
      return a.at_ == b.at_;
    }

   private:
    void Read();

    const char* at_ = nullptr;
    const char* end_ = nullptr;
    const char* next_ = nullptr;
    LabelView label_;
  };

  Labels() = default;
  /// Sorts; of equal names the last wins; empty values are left out. For tests
  /// and constants; input from outside is validated by its parser.
  Labels(std::initializer_list<LabelView> labels);
  /// The same over any list. The views may point anywhere.
  static Labels FromUnsorted(std::vector<LabelView> labels);
  /// REQUIRES: names strictly ascending, no empty value.
  static Labels FromSorted(const std::vector<LabelView>& labels);

  Iterator begin() const {
    return Iterator(packed_.data(), packed_.data() + packed_.size());
  }
  Iterator end() const {
    const char* end = packed_.data() + packed_.size();
    return Iterator(end, end);
  }

  bool empty() const { return packed_.empty(); }
  /// O(labels).
  size_t size() const;
  /// The value, or "" when the label is absent. O(labels).
  std::string_view Get(std::string_view name) const;
  bool Has(std::string_view name) const { return !Get(name).empty(); }
  std::string_view metric_name() const { return Get(kMetricName); }

  /// XXH3 over the packed bytes; stable across processes and versions.
  uint64_t Hash() const;
  /// The packed form described above.
  std::string_view packed() const { return packed_; }

  /// As Prometheus prints it: `{a="1", b="2"}` and, with a metric name,
  /// `m{a="1"}`; names that are no identifiers are quoted.
  std::string ToString() const;

  friend bool operator==(const Labels&, const Labels&) = default;
  /// Prometheus's labels.Compare: pair by pair, name before value; a prefix
  /// comes first.
  friend std::strong_ordering operator<=>(const Labels& a, const Labels& b);

 private:
  friend class LabelsBuilder;
  std::string packed_;
};

/// The order of series inside blocks and series sets: metric name first, then
/// labels.Compare.
bool SeriesLess(const Labels& a, const Labels& b);

/// Edits a label set. Single-thread.
class LabelsBuilder {
 public:
  LabelsBuilder() = default;
  explicit LabelsBuilder(const Labels& base);

  /// An empty value removes the label.
  LabelsBuilder& Set(std::string_view name, std::string_view value);
  LabelsBuilder& Del(std::string_view name);
  /// Keeps only the given names. `names` need not be sorted.
  LabelsBuilder& Keep(const std::vector<std::string>& names);
  std::string_view Get(std::string_view name) const;
  Labels Build() const;
  const std::vector<std::pair<std::string, std::string>>& entries() const {
    return entries_;
  }

 private:
  std::vector<std::pair<std::string, std::string>> entries_;  // by name
};

/// True for [a-zA-Z_:][a-zA-Z0-9_:]*, the names that need no quotes.
bool IsLegacyMetricName(std::string_view name);
/// True for [a-zA-Z_][a-zA-Z0-9_]*.
bool IsLegacyLabelName(std::string_view name);
/// True for well-formed UTF-8 (no surrogates, nothing above U+10FFFF).
bool IsValidUtf8(std::string_view text);
/// Go's strconv.Quote for text that Prometheus prints in double quotes.
std::string Quote(std::string_view text);

}  // namespace varve
