#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "query/ast.h"

namespace varve::promql {

/// Warnings and infos that a query collects while it runs, with the place in
/// the query text that each is about. The same text at the same place is kept
/// once. Single-thread.
class Annotations {
 public:
  explicit Annotations(std::string_view query) : query_(query) {}

  /// `text` without the prefix "PromQL warning: " and without the position.
  void Warn(std::string_view text, PositionRange position);
  void Info(std::string_view text, PositionRange position);

  /// The texts to show, in the order of their first appearance: at most
  /// kShownMax of each and then one that says how many more there are.
  std::vector<std::string> Warnings() const;
  std::vector<std::string> Infos() const;

 private:
  static constexpr size_t kShownMax = 10;
  /// Kept at most, so that a query cannot fill the memory with remarks.
  static constexpr size_t kKeptMax = 1000;

  void Add(std::string_view kind, std::string_view text, PositionRange position,
           std::vector<std::string>* list);

  const std::string query_;
  std::vector<std::string> warnings_;
  std::vector<std::string> infos_;
};

}  // namespace varve::promql
