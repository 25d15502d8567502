#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ingest/text_parser.h"
#include "storage/labels.h"

namespace varve {

enum class RelabelAction : uint8_t {
  kReplace,
  kKeep,
  kDrop,
  kKeepEqual,
  kDropEqual,
  kHashMod,
  kLabelMap,
  kLabelDrop,
  kLabelKeep,
  kLowercase,
  kUppercase,
};
/// The name in the configuration, "replace".
std::string_view RelabelActionName(RelabelAction action);
/// In any letter case, as Prometheus; false for an unknown name.
bool ParseRelabelAction(std::string_view name, RelabelAction* action);

bool IsValidLabelName(std::string_view name, NameScheme validation);
bool IsValidMetricName(std::string_view name, NameScheme validation);

/// One rule as it stands in the configuration.
struct RelabelConfig {
  std::vector<std::string> source_labels = {};
  std::string separator = ";";
  std::string regex = "(.*)";
  uint64_t modulus = 0;
  std::string target_label = {};
  std::string replacement = "$1";
  RelabelAction action = RelabelAction::kReplace;

  friend bool operator==(const RelabelConfig&, const RelabelConfig&) = default;
};

/// A list of relabel rules, validated and compiled. Cheap to copy; immutable,
/// so thread-safe.
class RelabelRules {
 public:
  /// No rules: every label set passes unchanged.
  RelabelRules() = default;
  /// InvalidArgument as Prometheus refuses a rule; the message begins with no
  /// position, callers add theirs.
  static absl::StatusOr<RelabelRules> Create(
      const std::vector<RelabelConfig>& configs,
      NameScheme validation = NameScheme::kUtf8);

  /// Applies the rules in order. False: the label set is dropped (and `labels`
  /// is left as the dropping rule saw it).
  bool Apply(LabelsBuilder* labels) const;
  bool empty() const { return rules_ == nullptr; }

 private:
  struct Rules;
  explicit RelabelRules(std::shared_ptr<const Rules> rules)
      : rules_(std::move(rules)) {}

  std::shared_ptr<const Rules> rules_;
};

}  // namespace varve
