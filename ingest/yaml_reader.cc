#include "ingest/yaml_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "ingest/duration.h"
#include "storage/labels.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

constexpr size_t kProblemsMax = 10;
constexpr size_t kQuotedBytesMax = 80;

// Go's YAML reads all of these as booleans.
bool ParseBool(std::string_view text, bool* value) {
  for (const char* word : {"true", "True", "TRUE", "yes", "Yes", "YES", "on",
                           "On", "ON", "y", "Y"}) {
    if (text == word) return *value = true, true;
  }
  for (const char* word : {"false", "False", "FALSE", "no", "No", "NO", "off",
                           "Off", "OFF", "n", "N"}) {
    if (text == word) return *value = false, true;
  }
  return false;
}

template <typename T>
bool ParseNumber(std::string_view text, T* value) {
  if (text.starts_with('+')) text.remove_prefix(1);
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, *value);
  return error == std::errc() && at == end && !text.empty();
}

}  // namespace

const YamlNode YamlReader::kEmpty;

void YamlProblems::Add(int line, std::string_view text) {
  problems_.emplace_back(line, text);
}

absl::Status YamlProblems::ToStatus() const {
  if (problems_.empty()) return absl::OkStatus();
  std::vector<std::pair<int, std::string>> sorted = problems_;
  std::stable_sort(
      sorted.begin(), sorted.end(),
      [](const auto& a, const auto& b) { return a.first < b.first; });
  std::string text;
  for (size_t i = 0; i < std::min(sorted.size(), kProblemsMax); ++i) {
    if (i > 0) text += "\n";
    text += fmt::format("{}:{}: {}", file_, sorted[i].first, sorted[i].second);
  }
  if (sorted.size() > kProblemsMax) {
    text += fmt::format("\nand {} more", sorted.size() - kProblemsMax);
  }
  return absl::InvalidArgumentError(text);
}

std::string DescribeYaml(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::kNull:
      return "null";
    case YamlNode::Kind::kSequence:
      return "a list";
    case YamlNode::Kind::kMap:
      return "a mapping";
    case YamlNode::Kind::kScalar:
      break;
  }
  if (node.scalar.size() <= kQuotedBytesMax) return Quote(node.scalar);
  return Quote(node.scalar.substr(0, kQuotedBytesMax)) + "...";
}

YamlReader::YamlReader(const YamlNode& node, std::string where,
                       YamlProblems* problems)
    : node_(node.kind == YamlNode::Kind::kMap ? node : kEmpty),
      path_(std::move(where)),
      where_(path_.empty() ? "the file" : path_),
      problems_(problems) {
  if (node.kind != YamlNode::Kind::kMap && node.kind != YamlNode::Kind::kNull) {
    problems_->Add(node.line, fmt::format("{} must be a mapping, not {}",
                                          where_, DescribeYaml(node)));
  }
}

int YamlReader::Line(std::string_view name) const {
  for (const auto& [key, value] : node_.entries) {
    if (key->scalar == name) return key->line;
  }
  return node_.line;
}

void YamlReader::Problem(std::string_view name, std::string_view text) {
  problems_->Add(Line(name), text);
}

const YamlNode* YamlReader::Child(std::string_view name) {
  asked_.emplace_back(name);
  return node_.Find(name);
}

void YamlReader::Mismatch(const YamlNode& node, std::string_view name,
                          std::string_view wanted) {
  problems_->Add(node.line, fmt::format("{} in {} must be {}, not {}", name,
                                        where_, wanted, DescribeYaml(node)));
}

const YamlNode* YamlReader::Scalar(std::string_view name,
                                   std::string_view wanted, bool* is_null) {
  *is_null = false;
  const YamlNode* node = Child(name);
  if (node == nullptr) return nullptr;
  if (node->kind == YamlNode::Kind::kNull) {
    *is_null = true;
    return nullptr;
  }
  if (node->kind != YamlNode::Kind::kScalar) {
    Mismatch(*node, name, wanted);
    return nullptr;
  }
  return node;
}

void YamlReader::String(std::string_view name, std::string* value) {
  bool is_null;
  const YamlNode* node = Scalar(name, "a string", &is_null);
  if (node != nullptr) *value = node->scalar;
  if (is_null) value->clear();
}

void YamlReader::Bool(std::string_view name, bool* value) {
  bool is_null;
  const YamlNode* node = Scalar(name, "true or false", &is_null);
  if (is_null) *value = false;
  if (node != nullptr && (node->quoted || !ParseBool(node->scalar, value))) {
    Mismatch(*node, name, "true or false");
  }
}

void YamlReader::Uint(std::string_view name, uint64_t* value) {
  bool is_null;
  const YamlNode* node = Scalar(name, "a non-negative integer", &is_null);
  if (is_null) *value = 0;
  if (node != nullptr && (node->quoted || !ParseNumber(node->scalar, value))) {
    Mismatch(*node, name, "a non-negative integer");
  }
}

void YamlReader::Int(std::string_view name, int64_t* value) {
  bool is_null;
  const YamlNode* node = Scalar(name, "an integer", &is_null);
  if (is_null) *value = 0;
  if (node != nullptr && (node->quoted || !ParseNumber(node->scalar, value))) {
    Mismatch(*node, name, "an integer");
  }
}

void YamlReader::Double(std::string_view name, double* value) {
  bool is_null;
  const YamlNode* node = Scalar(name, "a number", &is_null);
  if (is_null) *value = 0;
  if (node != nullptr && (node->quoted || !ParseNumber(node->scalar, value))) {
    Mismatch(*node, name, "a number");
  }
}

void YamlReader::Duration(std::string_view name, int64_t* ms) {
  bool is_null;
  const YamlNode* node = Scalar(name, "a duration", &is_null);
  if (is_null) *ms = 0;
  if (node == nullptr) return;
  if (const auto parsed = ParseDurationMs(node->scalar)) {
    *ms = *parsed;
  } else {
    Mismatch(*node, name, "a duration such as 1m30s");
  }
}

void YamlReader::Bytes(std::string_view name, uint64_t* value) {
  bool is_null;
  const YamlNode* node = Scalar(name, "a size", &is_null);
  if (is_null) *value = 0;
  if (node == nullptr) return;
  if (const auto parsed = ParseByteSize(node->scalar)) {
    *value = *parsed;
  } else {
    Mismatch(*node, name, "a size with its unit such as 10MB");
  }
}

void YamlReader::Strings(std::string_view name,
                         std::vector<std::string>* value) {
  const YamlNode* node = Child(name);
  if (node == nullptr) return;
  value->clear();
  if (node->kind == YamlNode::Kind::kNull) return;
  if (node->kind != YamlNode::Kind::kSequence) {
    Mismatch(*node, name, "a list of strings");
    return;
  }
  for (const YamlPtr& item : node->items) {
    if (item->kind == YamlNode::Kind::kScalar ||
        item->kind == YamlNode::Kind::kNull) {
      value->push_back(item->kind == YamlNode::Kind::kNull ? "" : item->scalar);
    } else {
      Mismatch(*item, name, "a list of strings");
    }
  }
}

void YamlReader::StringMap(
    std::string_view name,
    std::vector<std::pair<std::string, std::string>>* value) {
  const YamlNode* node = Child(name);
  if (node == nullptr) return;
  value->clear();
  if (node->kind == YamlNode::Kind::kNull) return;
  if (node->kind != YamlNode::Kind::kMap) {
    Mismatch(*node, name, "a mapping of strings");
    return;
  }
  for (const auto& [key, v] : node->entries) {
    if (v->kind == YamlNode::Kind::kScalar ||
        v->kind == YamlNode::Kind::kNull) {
      value->emplace_back(key->scalar,
                          v->kind == YamlNode::Kind::kNull ? "" : v->scalar);
    } else {
      Mismatch(*v, fmt::format("{}.{}", name, key->scalar), "a string");
    }
  }
}

void YamlReader::List(
    std::string_view name,
    const std::function<void(const YamlNode&, const std::string&)>& each) {
  const YamlNode* node = Child(name);
  if (node == nullptr || node->kind == YamlNode::Kind::kNull) return;
  if (node->kind != YamlNode::Kind::kSequence) {
    Mismatch(*node, name, "a list");
    return;
  }
  for (size_t i = 0; i < node->items.size(); ++i) {
    const std::string where =
        path_.empty() ? std::string(name) : fmt::format("{}.{}", path_, name);
    each(*node->items[i], fmt::format("{}[{}]", where, i));
  }
}

void YamlReader::Done() {
  for (const auto& [key, value] : node_.entries) {
    if (std::find(asked_.begin(), asked_.end(), key->scalar) != asked_.end()) {
      continue;
    }
    problems_->Add(key->line, fmt::format("unknown field {} in {}",
                                          Quote(key->scalar), where_));
  }
}

}  // namespace varve
