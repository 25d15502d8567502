#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace varve {

struct YamlNode;
using YamlPtr = std::shared_ptr<const YamlNode>;

/// A value of a YAML document. Aliases share their node; merge keys (`<<`) are
/// expanded. Immutable once parsed.
struct YamlNode {
  enum class Kind : uint8_t { kNull, kScalar, kSequence, kMap };

  Kind kind = Kind::kNull;
  /// Of a scalar: it stood in quotes, so it is text and no number or boolean.
  bool quoted = false;
  int line = 1;        ///< from 1
  std::string scalar;  ///< without quotes
  std::vector<YamlPtr> items;
  /// In the order of the document; no key twice.
  std::vector<std::pair<YamlPtr, YamlPtr>> entries;
  /// Nodes of this value with every alias written out; saturates.
  uint64_t expanded_size = 1;

  /// The value of a key of a map, or nullptr.
  const YamlNode* Find(std::string_view key) const;
};

struct YamlLimits {
  size_t bytes_max = size_t{16} << 20;
  int depth_max = 64;
  /// Aliases count as often as they are used, so that a small document cannot
  /// stand for a huge one.
  uint64_t nodes_max = 2'000'000;
};

/// Parses one document. InvalidArgument: "12: mapping key "a" stands twice" -
/// the message begins with the line, so that callers put a file name and a
/// colon in front. An empty document is a null node.
absl::StatusOr<YamlPtr> ParseYaml(std::string_view text,
                                  const YamlLimits& limits = {});

/// `text` as a scalar that reads back as this string.
std::string YamlQuote(std::string_view text);

}  // namespace varve
