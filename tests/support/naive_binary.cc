#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>
#include <set>

#include "storage/status_macros.h"
#include "tests/support/naive_promql.h"

namespace varve::promql {
namespace {

absl::Status Failed(std::string_view what) {
  return FailedPrecondition("{}", what);
}

Labels Signature(const VectorMatching& matching, const Labels& labels) {
  LabelsBuilder out(labels);
  if (matching.on) return out.Keep(matching.labels).Build();
  for (const std::string& name : matching.labels) out.Del(name);
  return out.Del(kMetricName).Build();
}
std::string Key(const VectorMatching& matching, const Labels& labels) {
  return std::string(Signature(matching, labels).packed());
}

bool Compare(BinaryOp op, double a, double b) {
  switch (op) {
    case BinaryOp::kEql:
      return a == b;
    case BinaryOp::kNeq:
      return a != b;
    case BinaryOp::kGtr:
      return a > b;
    case BinaryOp::kLss:
      return a < b;
    case BinaryOp::kGte:
      return a >= b;
    default:
      return a <= b;
  }
}

double Arithmetic(BinaryOp op, double a, double b) {
  switch (op) {
    case BinaryOp::kAdd:
      return a + b;
    case BinaryOp::kSub:
      return a - b;
    case BinaryOp::kMul:
      return a * b;
    case BinaryOp::kDiv:
      return a / b;
    case BinaryOp::kMod:
      return std::fmod(a, b);
    case BinaryOp::kPow:
      return std::pow(a, b);
    default:
      return std::atan2(a, b);
  }
}

NaiveVector SetOperation(const BinaryExpr& binary, const NaiveVector& lhs,
                         const NaiveVector& rhs) {
  const VectorMatching& matching = *binary.matching;
  std::set<std::string> left, right;
  for (const NaivePoint& p : lhs) left.insert(Key(matching, p.labels));
  for (const NaivePoint& p : rhs) right.insert(Key(matching, p.labels));
  NaiveVector out;
  for (const NaivePoint& p : lhs) {
    const bool found = right.contains(Key(matching, p.labels));
    if (binary.op == BinaryOp::kOr || found == (binary.op == BinaryOp::kAnd)) {
      out.push_back(p);
    }
  }
  for (const NaivePoint& p : rhs) {
    if (binary.op != BinaryOp::kOr) break;
    if (!left.contains(Key(matching, p.labels))) out.push_back(p);
  }
  return out;
}

/// The labels of a result; `many` is the side that may have several.
Labels ResultLabels(const BinaryExpr& binary, const Labels& many,
                    const Labels& one) {
  const VectorMatching& matching = *binary.matching;
  LabelsBuilder out(many);
  if (!IsComparison(binary.op) || binary.return_bool) out.Del(kMetricName);
  if (matching.card == Cardinality::kOneToOne) {
    if (matching.on) {
      out.Keep(matching.labels);
    } else {
      for (const std::string& name : matching.labels) out.Del(name);
    }
  }
  for (const std::string& name : matching.include) {
    out.Set(name, one.Get(name));
  }
  return out.Build();
}

class Matching {
 public:
  Matching(const BinaryExpr& binary, bool swapped)
      : binary_(binary), swapped_(swapped) {}

  /// One point of each side that belong together.
  absl::Status Pair(const NaivePoint& many, const NaivePoint& one,
                    const std::string& key) {
    NaivePoint made;
    bool holds = true;
    VARVE_ASSIGN_OR_RETURN(const bool valid,
                           NaiveElement(binary_.op, swapped_ ? one : many,
                                        swapped_ ? many : one, &made, &holds));
    if (!valid) return absl::OkStatus();
    const Labels labels = ResultLabels(binary_, many.labels, one.labels);
    std::set<std::string>& seen = matched_[key];
    const bool one_to_one = binary_.matching->card == Cardinality::kOneToOne;
    if (one_to_one && !seen.empty()) return Failed("many-to-one");
    if (!seen.emplace(one_to_one ? "" : labels.packed()).second) {
      return Failed("grouping labels must ensure unique matches");
    }
    if (binary_.return_bool) {
      made.value = holds ? 1 : 0;
    } else if (IsComparison(binary_.op)) {
      if (!holds) return absl::OkStatus();
      made = swapped_ ? one : many;
    }
    made.labels = labels;
    out_.push_back(std::move(made));
    return absl::OkStatus();
  }
  bool matched(const std::string& key) const { return matched_.contains(key); }
  const NaiveVector& out() const { return out_; }

 private:
  const BinaryExpr& binary_;
  const bool swapped_;
  std::map<std::string, std::set<std::string>> matched_;
  NaiveVector out_;
};

struct ClassicBucket {
  double upper = 0;
  double count = 0;
};

std::optional<double> Bound(std::string_view text) {
  if (text == "+Inf") return INFINITY;
  double v = 0;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), v);
  if (text.empty() || end.ptr != text.data() + text.size()) return std::nullopt;
  return v;
}

bool Close(double a, double b) {
  if (a == b) return true;
  return std::abs(a - b) / (std::abs(a) + std::abs(b)) < 1e-12;
}

double ClassicQuantile(double q, std::vector<ClassicBucket> buckets) {
  if (std::isnan(q)) return NAN;
  if (q < 0) return -INFINITY;
  if (q > 1) return INFINITY;
  std::sort(buckets.begin(), buckets.end(),
            [](const auto& a, const auto& b) { return a.upper < b.upper; });
  if (buckets.back().upper != INFINITY) return NAN;
  std::vector<ClassicBucket> b;
  for (const ClassicBucket& x : buckets) {
    if (!b.empty() && b.back().upper == x.upper) {
      b.back().count += x.count;
    } else {
      b.push_back(x);
    }
  }
  double before = b[0].count;
  for (ClassicBucket& x : b) {
    if (x.count < before || Close(before, x.count)) x.count = before;
    before = x.count;
  }
  if (b.size() < 2 || b.back().count == 0) return NAN;
  const double rank = q * b.back().count;
  size_t i = 0;
  while (i + 1 < b.size() && !(b[i].count >= rank)) ++i;
  if (i + 1 == b.size()) return b[i - 1].upper;
  if (i == 0 && b[0].upper <= 0) return b[0].upper;
  const double lower = i == 0 ? 0 : b[i - 1].upper;
  const double below = i == 0 ? 0 : b[i - 1].count;
  return lower + (b[i].upper - lower) * ((rank - below) / (b[i].count - below));
}

}  // namespace

absl::StatusOr<bool> NaiveElement(BinaryOp op, const NaivePoint& lhs,
                                  const NaivePoint& rhs, NaivePoint* out,
                                  bool* holds) {
  const NaiveHistogram* l = lhs.histogram.get();
  const NaiveHistogram* r = rhs.histogram.get();
  const auto give = [&](const NaiveHistogram& h) {
    out->histogram = std::make_shared<const NaiveHistogram>(h);
    return true;
  };
  if (l == nullptr && r == nullptr) {
    if (IsComparison(op)) {
      *holds = Compare(op, lhs.value, rhs.value);
    } else {
      out->value = Arithmetic(op, lhs.value, rhs.value);
    }
    return true;
  }
  if (l != nullptr && r != nullptr) {
    if (op == BinaryOp::kEql || op == BinaryOp::kNeq) {
      return absl::UnimplementedError("equal histograms");
    }
    if (op == BinaryOp::kAdd) return give(l->Plus(*r, 1));
    if (op == BinaryOp::kSub) return give(l->Plus(*r, -1));
    return false;
  }
  if (op == BinaryOp::kMul) {
    return give(l != nullptr ? l->Scaled(rhs.value) : r->Scaled(lhs.value));
  }
  if (op != BinaryOp::kDiv || l == nullptr) return false;
  if (rhs.value == 0) return absl::UnimplementedError("division by zero");
  return give(l->Scaled(1 / rhs.value));
}

absl::StatusOr<NaiveVector> NaiveVectorBinary(const BinaryExpr& binary,
                                              const NaiveVector& lhs,
                                              const NaiveVector& rhs) {
  if (IsSetOperator(binary.op)) return SetOperation(binary, lhs, rhs);
  const VectorMatching& matching = *binary.matching;
  const bool swapped = matching.card == Cardinality::kOneToMany;
  const NaiveVector& many = swapped ? rhs : lhs;
  const NaiveVector& one = swapped ? lhs : rhs;
  const auto fill_one = swapped ? matching.fill_lhs : matching.fill_rhs;
  const auto fill_many = swapped ? matching.fill_rhs : matching.fill_lhs;
  if ((many.empty() || one.empty()) && !fill_one && !fill_many) {
    return NaiveVector();
  }
  std::map<std::string, const NaivePoint*> ones;
  for (const NaivePoint& p : one) {
    if (!ones.emplace(Key(matching, p.labels), &p).second) {
      return Failed("many-to-many");
    }
  }
  Matching result(binary, swapped);
  for (const NaivePoint& p : many) {
    const std::string key = Key(matching, p.labels);
    const auto it = ones.find(key);
    if (it == ones.end() && !fill_one) continue;
    const NaivePoint filled{Signature(matching, p.labels), fill_one.value_or(0),
                            nullptr};
    VARVE_RETURN_IF_ERROR(
        result.Pair(p, it != ones.end() ? *it->second : filled, key));
  }
  for (const NaivePoint& p : one) {
    const std::string key = Key(matching, p.labels);
    if (!fill_many || result.matched(key)) continue;
    const NaivePoint filled{Signature(matching, p.labels), *fill_many, nullptr};
    VARVE_RETURN_IF_ERROR(result.Pair(filled, p, key));
  }
  std::set<std::string> seen;
  for (const NaivePoint& p : result.out()) {
    if (!seen.emplace(p.labels.packed()).second) return Failed("equal labels");
  }
  return result.out();
}

absl::StatusOr<NaiveVector> NaiveHistogramQuantile(double q,
                                                   const NaiveVector& input) {
  struct Group {
    Labels labels;
    std::vector<ClassicBucket> buckets;
    const NaiveHistogram* native = nullptr;
  };
  std::map<std::string, Group> groups;
  for (const NaivePoint& p : input) {
    LabelsBuilder builder(NaiveWithoutName(p.labels));
    if (p.histogram == nullptr) builder.Del("le");
    const Labels labels = builder.Build();
    Group& group = groups[std::string(labels.packed())];
    group.labels = labels;
    if (p.histogram != nullptr) {
      if (group.native != nullptr) return Failed("equal labels");
      group.native = p.histogram.get();
    } else if (const auto upper = Bound(p.labels.Get("le"))) {
      group.buckets.push_back({*upper, p.value});
    }
  }
  NaiveVector out;
  for (const auto& [key, group] : groups) {
    if (group.native != nullptr && !group.buckets.empty()) continue;
    if (group.native != nullptr) {
      out.push_back({group.labels, group.native->Quantile(q), nullptr});
    } else if (!group.buckets.empty()) {
      out.push_back({group.labels, ClassicQuantile(q, group.buckets), nullptr});
    }
  }
  return out;
}

}  // namespace varve::promql
