#include "ingest/relabel.h"

#include <locale.h>
#include <openssl/evp.h>
#include <re2/re2.h>
#include <wctype.h>

#include <array>
#include <charconv>
#include <optional>

#include "storage/status_macros.h"

namespace varve {
namespace {

constexpr std::array<std::pair<std::string_view, RelabelAction>, 11> kActions =
    {{{"replace", RelabelAction::kReplace},
      {"keep", RelabelAction::kKeep},
      {"drop", RelabelAction::kDrop},
      {"keepequal", RelabelAction::kKeepEqual},
      {"dropequal", RelabelAction::kDropEqual},
      {"hashmod", RelabelAction::kHashMod},
      {"labelmap", RelabelAction::kLabelMap},
      {"labeldrop", RelabelAction::kLabelDrop},
      {"labelkeep", RelabelAction::kLabelKeep},
      {"lowercase", RelabelAction::kLowercase},
      {"uppercase", RelabelAction::kUppercase}}};

re2::StringPiece Piece(std::string_view text) {
  return {text.data(), text.size()};
}

bool IsWordByte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         (c >= '0' && c <= '9') || c == '_';
}

// A replacement text cut into literals and references to groups, by Go's rules:
// `$name` takes the longest word, so `$1x` is group "1x" (which is empty) and
// not group 1; `$$` is a dollar; a dollar before anything else is itself.
class Template {
 public:
  static Template Parse(std::string_view text, const RE2& regex) {
    Template t;
    while (!text.empty()) {
      const size_t dollar = text.find('$');
      t.AddLiteral(text.substr(0, dollar));
      if (dollar == std::string_view::npos) break;
      text.remove_prefix(dollar + 1);
      t.TakeReference(&text, regex);
    }
    return t;
  }

  bool constant() const {
    return parts_.empty() || (parts_.size() == 1 && parts_[0].group < 0);
  }

  std::string Expand(const std::vector<re2::StringPiece>& groups) const {
    std::string out;
    for (const Part& part : parts_) {
      if (part.group < 0) {
        out += part.literal;
      } else if (static_cast<size_t>(part.group) < groups.size()) {
        const re2::StringPiece& group = groups[part.group];
        out.append(group.data(), group.size());
      }
    }
    return out;
  }

 private:
  struct Part {
    std::string literal;
    int group = -1;
  };

  void AddLiteral(std::string_view text) {
    if (text.empty()) return;
    if (!parts_.empty() && parts_.back().group < 0) {
      parts_.back().literal += text;
    } else {
      parts_.push_back({std::string(text), -1});
    }
  }

  // `text` stands behind a dollar.
  void TakeReference(std::string_view* text, const RE2& regex) {
    if (text->starts_with('$')) {
      text->remove_prefix(1);
      AddLiteral("$");
      return;
    }
    const bool brace = text->starts_with('{');
    const std::string_view rest = text->substr(brace ? 1 : 0);
    size_t length = 0;
    // Go takes every letter; bytes of a multi-byte rune count as such here.
    while (length < rest.size() &&
           (IsWordByte(rest[length]) || (rest[length] & 0x80) != 0)) {
      ++length;
    }
    const bool closed = !brace || (length < rest.size() && rest[length] == '}');
    if (length == 0 || !closed) {
      AddLiteral("$");
      return;
    }
    AddGroup(rest.substr(0, length), regex);
    text->remove_prefix(length + (brace ? 2 : 0));
  }

  void AddGroup(std::string_view name, const RE2& regex) {
    int group = -1;
    const auto [at, error] =
        std::from_chars(name.data(), name.data() + name.size(), group);
    if (error != std::errc() || at != name.data() + name.size()) {
      const auto& named = regex.NamedCapturingGroups();
      const auto found = named.find(std::string(name));
      group = found == named.end() ? -1 : found->second;
    }
    // An unknown group is empty; it still keeps the template from being
    // constant, which matters for nobody.
    if (group >= 0 && group <= regex.NumberOfCapturingGroups()) {
      parts_.push_back({"", group});
    }
  }

  std::vector<Part> parts_;
};

// Go's strings.ToLower / ToUpper: simple mappings of single runes.
template <typename Map>
std::string MapRunes(std::string_view text, Map map) {
  std::string out;
  out.reserve(text.size());
  size_t i = 0;
  while (i < text.size()) {
    const auto byte = static_cast<unsigned char>(text[i]);
    int length = byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
    if (i + length > text.size()) length = 1;
    wint_t rune = length == 1 ? byte : byte & (0x7f >> length);
    for (int k = 1; k < length; ++k) {
      rune = rune << 6 | (static_cast<unsigned char>(text[i + k]) & 0x3f);
    }
    i += length;
    rune = map(rune);
    if (rune < 0x80) {
      out += static_cast<char>(rune);
    } else if (rune < 0x800) {
      out += static_cast<char>(0xc0 | rune >> 6);
      out += static_cast<char>(0x80 | (rune & 0x3f));
    } else if (rune < 0x10000) {
      out += static_cast<char>(0xe0 | rune >> 12);
      out += static_cast<char>(0x80 | (rune >> 6 & 0x3f));
      out += static_cast<char>(0x80 | (rune & 0x3f));
    } else {
      out += static_cast<char>(0xf0 | rune >> 18);
      out += static_cast<char>(0x80 | (rune >> 12 & 0x3f));
      out += static_cast<char>(0x80 | (rune >> 6 & 0x3f));
      out += static_cast<char>(0x80 | (rune & 0x3f));
    }
  }
  return out;
}

// glibc has this locale built in; it knows the case of all of Unicode.
locale_t Utf8Locale() {
  static const locale_t locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
  return locale;
}

std::string ToLower(std::string_view text) {
  return MapRunes(text, [](wint_t r) {
    return Utf8Locale() != nullptr ? towlower_l(r, Utf8Locale()) : towlower(r);
  });
}

std::string ToUpper(std::string_view text) {
  return MapRunes(text, [](wint_t r) {
    return Utf8Locale() != nullptr ? towupper_l(r, Utf8Locale()) : towupper(r);
  });
}

uint64_t HashModulus(std::string_view value, uint64_t modulus) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest = {};
  unsigned int size = 0;
  EVP_Digest(value.data(), value.size(), digest.data(), &size, EVP_md5(),
             nullptr);
  uint64_t hash = 0;
  for (int i = 8; i < 16; ++i) hash = hash << 8 | digest[i];
  return hash % modulus;
}

bool NeedsTarget(RelabelAction action) {
  switch (action) {
    case RelabelAction::kReplace:
    case RelabelAction::kHashMod:
    case RelabelAction::kLowercase:
    case RelabelAction::kUppercase:
    case RelabelAction::kKeepEqual:
    case RelabelAction::kDropEqual:
      return true;
    default:
      return false;
  }
}

// A label name that may hold `$1` and `${name}`.
bool IsValidTemplate(std::string_view text, NameScheme validation) {
  if (validation == NameScheme::kUtf8) {
    return IsValidLabelName(text, validation);
  }
  // A letter, underscore or reference first, words in between.
  static const RE2 pattern(R"((?:(?:[a-zA-Z_]|\$(?:\{\w+\}|\w+))+\w*)+)");
  return RE2::FullMatch(Piece(text), pattern);
}

absl::Status ValidateTarget(const RelabelConfig& c, NameScheme validation) {
  const std::string_view action = RelabelActionName(c.action);
  if (!NeedsTarget(c.action)) return absl::OkStatus();
  if (c.target_label.empty()) {
    return InvalidArgument(
        "relabel configuration for {} action requires 'target_label' value",
        action);
  }
  const bool may_refer = c.action == RelabelAction::kReplace &&
                         c.target_label.find('$') != std::string::npos;
  if (may_refer ? !IsValidTemplate(c.target_label, validation)
                : !IsValidLabelName(c.target_label, validation)) {
    return InvalidArgument("{} is invalid 'target_label' for {} action",
                           Quote(c.target_label), action);
  }
  return absl::OkStatus();
}

absl::Status ValidateUnused(const RelabelConfig& c) {
  static const RelabelConfig kDefaults;
  const std::string_view action = RelabelActionName(c.action);
  const bool others_default = c.modulus == kDefaults.modulus &&
                              c.separator == kDefaults.separator &&
                              c.replacement == kDefaults.replacement;
  switch (c.action) {
    case RelabelAction::kLowercase:
    case RelabelAction::kUppercase:
      if (c.replacement != kDefaults.replacement) {
        return InvalidArgument("'replacement' can not be set for {} action",
                               action);
      }
      break;
    case RelabelAction::kKeepEqual:
    case RelabelAction::kDropEqual:
      if (!others_default || c.regex != kDefaults.regex) {
        return InvalidArgument(
            "{} action requires only 'source_labels' and 'target_label', and "
            "no other fields",
            action);
      }
      break;
    case RelabelAction::kLabelDrop:
    case RelabelAction::kLabelKeep:
      if (!others_default || !c.source_labels.empty() ||
          !c.target_label.empty()) {
        return InvalidArgument(
            "{} action requires only 'regex', and no other fields", action);
      }
      break;
    default:
      break;
  }
  return absl::OkStatus();
}

absl::Status Validate(const RelabelConfig& c, NameScheme validation) {
  for (const std::string& name : c.source_labels) {
    if (!IsValidLabelName(name, validation)) {
      return InvalidArgument("{} is not a valid label name", Quote(name));
    }
  }
  if (c.action == RelabelAction::kHashMod && c.modulus == 0) {
    return InvalidArgument(
        "relabel configuration for hashmod requires non-zero modulus");
  }
  VARVE_RETURN_IF_ERROR(ValidateTarget(c, validation));
  if (c.action == RelabelAction::kLabelMap &&
      !IsValidTemplate(c.replacement, validation)) {
    return InvalidArgument("{} is invalid 'replacement' for labelmap action",
                           Quote(c.replacement));
  }
  return ValidateUnused(c);
}

struct Rule {
  RelabelConfig config;
  std::shared_ptr<const RE2> regex;
  Template target;
  Template replacement;
};

absl::StatusOr<Rule> Compile(const RelabelConfig& config) {
  RE2::Options options;
  options.set_log_errors(false);
  options.set_dot_nl(true);
  auto regex = std::make_shared<const RE2>(Piece(config.regex), options);
  if (!regex->ok()) {
    return InvalidArgument("error parsing regexp {}: {}", Quote(config.regex),
                           regex->error());
  }
  Rule rule;
  rule.config = config;
  rule.target = Template::Parse(config.target_label, *regex);
  rule.replacement = Template::Parse(config.replacement, *regex);
  rule.regex = std::move(regex);
  return rule;
}

std::string SourceValue(const RelabelConfig& config,
                        const LabelsBuilder& labels) {
  std::string value;
  for (size_t i = 0; i < config.source_labels.size(); ++i) {
    if (i > 0) value += config.separator;
    value += labels.Get(config.source_labels[i]);
  }
  return value;
}

bool FullMatch(const RE2& regex, std::string_view text,
               std::vector<re2::StringPiece>* groups) {
  groups->resize(1 + regex.NumberOfCapturingGroups());
  return regex.Match(Piece(text), 0, text.size(), RE2::ANCHOR_BOTH,
                     groups->data(), static_cast<int>(groups->size()));
}

bool FullMatch(const RE2& regex, std::string_view text) {
  return regex.Match(Piece(text), 0, text.size(), RE2::ANCHOR_BOTH, nullptr, 0);
}

void Replace(const Rule& rule, const std::string& value, NameScheme validation,
             LabelsBuilder* labels) {
  std::vector<re2::StringPiece> groups;
  if (!FullMatch(*rule.regex, value, &groups)) return;
  const std::string target = rule.target.Expand(groups);
  if (!IsValidLabelName(target, validation)) return;
  labels->Set(target, rule.replacement.Expand(groups));
}

// The actions that look at names instead of values.
void ApplyToNames(const Rule& rule, LabelsBuilder* labels) {
  const auto entries = labels->entries();  // a copy: we edit what we walk
  std::vector<re2::StringPiece> groups;
  for (const auto& [name, value] : entries) {
    const bool match = FullMatch(*rule.regex, name, &groups);
    switch (rule.config.action) {
      case RelabelAction::kLabelMap:
        if (match) labels->Set(rule.replacement.Expand(groups), value);
        break;
      case RelabelAction::kLabelDrop:
        if (match) labels->Del(name);
        break;
      default:
        if (!match) labels->Del(name);
        break;
    }
  }
}

bool ApplyRule(const Rule& rule, NameScheme validation, LabelsBuilder* labels) {
  const RelabelConfig& c = rule.config;
  switch (c.action) {
    case RelabelAction::kLabelMap:
    case RelabelAction::kLabelDrop:
    case RelabelAction::kLabelKeep:
      ApplyToNames(rule, labels);
      return true;
    default:
      break;
  }
  const std::string value = SourceValue(c, *labels);
  switch (c.action) {
    case RelabelAction::kKeep:
      return FullMatch(*rule.regex, value);
    case RelabelAction::kDrop:
      return !FullMatch(*rule.regex, value);
    case RelabelAction::kKeepEqual:
      return labels->Get(c.target_label) == value;
    case RelabelAction::kDropEqual:
      return labels->Get(c.target_label) != value;
    case RelabelAction::kLowercase:
      labels->Set(c.target_label, ToLower(value));
      return true;
    case RelabelAction::kUppercase:
      labels->Set(c.target_label, ToUpper(value));
      return true;
    case RelabelAction::kHashMod:
      labels->Set(c.target_label,
                  fmt::to_string(HashModulus(value, c.modulus)));
      return true;
    default:
      Replace(rule, value, validation, labels);
      return true;
  }
}

}  // namespace

std::string_view RelabelActionName(RelabelAction action) {
  for (const auto& [name, a] : kActions) {
    if (a == action) return name;
  }
  return "unknown";
}

bool ParseRelabelAction(std::string_view name, RelabelAction* action) {
  std::string lower(name);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  for (const auto& [known, a] : kActions) {
    if (known == lower) {
      *action = a;
      return true;
    }
  }
  return false;
}

bool IsValidLabelName(std::string_view name, NameScheme validation) {
  if (validation == NameScheme::kLegacy) return IsLegacyLabelName(name);
  return !name.empty() && IsValidUtf8(name);
}

bool IsValidMetricName(std::string_view name, NameScheme validation) {
  if (validation == NameScheme::kLegacy) return IsLegacyMetricName(name);
  return !name.empty() && IsValidUtf8(name);
}

struct RelabelRules::Rules {
  NameScheme validation;
  std::vector<Rule> rules;
};

absl::StatusOr<RelabelRules> RelabelRules::Create(
    const std::vector<RelabelConfig>& configs, NameScheme validation) {
  if (configs.empty()) return RelabelRules();
  auto rules = std::make_shared<Rules>();
  rules->validation = validation;
  for (const RelabelConfig& config : configs) {
    VARVE_RETURN_IF_ERROR(Validate(config, validation));
    VARVE_ASSIGN_OR_RETURN(Rule rule, Compile(config));
    rules->rules.push_back(std::move(rule));
  }
  return RelabelRules(std::move(rules));
}

bool RelabelRules::Apply(LabelsBuilder* labels) const {
  if (rules_ == nullptr) return true;
  for (const Rule& rule : rules_->rules) {
    if (!ApplyRule(rule, rules_->validation, labels)) return false;
  }
  return true;
}

}  // namespace varve
