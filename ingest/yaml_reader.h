#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ingest/yaml.h"

namespace varve {

/// Collects what is wrong with a document, so that a user sees all of it at
/// once. Single-thread.
class YamlProblems {
 public:
  /// `file` stands in front of every line.
  explicit YamlProblems(std::string file) : file_(std::move(file)) {}

  void Add(int line, std::string_view text);
  bool empty() const { return problems_.empty(); }
  const std::string& file() const { return file_; }
  /// OK, or InvalidArgument with "file:line: text" per problem in the order of
  /// lines; at most 10 are spelled out.
  absl::Status ToStatus() const;

 private:
  std::string file_;
  std::vector<std::pair<int, std::string>> problems_;
};

/// Reads one mapping field by field into typed variables. A field that is
/// absent leaves its variable alone; one that is null sets the zero value, as
/// Go's YAML does. What does not fit becomes a problem that names the field.
/// Done() reports the fields that nobody asked for. Single-thread; node and
/// problems must outlive it.
class YamlReader {
 public:
  /// `where` names the mapping in messages: "global", "scrape_configs[2]";
  /// empty for the whole document. A null node counts as an empty mapping;
  /// anything else is a problem.
  YamlReader(const YamlNode& node, std::string where, YamlProblems* problems);

  void String(std::string_view name, std::string* value);
  void Bool(std::string_view name, bool* value);
  void Uint(std::string_view name, uint64_t* value);
  void Int(std::string_view name, int64_t* value);
  void Double(std::string_view name, double* value);
  /// "1m30s" into milliseconds.
  void Duration(std::string_view name, int64_t* ms);
  /// "10MB" into bytes.
  void Bytes(std::string_view name, uint64_t* value);
  /// A list of scalars.
  void Strings(std::string_view name, std::vector<std::string>* value);
  /// A mapping of scalars to scalars.
  void StringMap(std::string_view name,
                 std::vector<std::pair<std::string, std::string>>* value);
  /// The raw value; nullptr when absent.
  const YamlNode* Child(std::string_view name);
  /// Calls `each` with every item of a list and its name "where.name[0]".
  void List(
      std::string_view name,
      const std::function<void(const YamlNode&, const std::string&)>& each);
  /// The field is known and accepted whatever it holds.
  void Ignore(std::string_view name) { Child(name); }
  /// Reports unknown fields.
  void Done();

  bool Has(std::string_view name) const { return node_.Find(name) != nullptr; }
  /// The line of the field, or of the mapping when it is absent.
  int Line(std::string_view name) const;
  int line() const { return node_.line; }
  const std::string& where() const { return where_; }
  YamlProblems* problems() const { return problems_; }
  /// A problem at the line of `name`.
  void Problem(std::string_view name, std::string_view text);

 private:
  // The scalar to convert; nullptr when absent, or null (then *is_null), or no
  // scalar (then a problem was added).
  const YamlNode* Scalar(std::string_view name, std::string_view wanted,
                         bool* is_null);
  void Mismatch(const YamlNode& node, std::string_view name,
                std::string_view wanted);

  static const YamlNode kEmpty;
  const YamlNode& node_;
  std::string path_;
  std::string where_;
  YamlProblems* problems_;
  std::vector<std::string> asked_;
};

/// "a mapping", "a list", `"text"`, "null": how messages name a node.
std::string DescribeYaml(const YamlNode& node);

}  // namespace varve
