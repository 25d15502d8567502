#include "ingest/yaml.h"

#include <absl/container/flat_hash_set.h>
#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <array>
#include <sstream>
#include <unordered_map>

#include "storage/labels.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

// Leaves yaml-cpp's parser, the only way out of an event handler. Never leaves
// this file.
struct Refused {
  int line;
  std::string text;
};

// Builds the tree from the parser's events.
class TreeBuilder final : public YAML::EventHandler {
 public:
  explicit TreeBuilder(const YamlLimits& limits) : limits_(limits) {}

  YamlPtr root() const { return root_; }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    auto node = New(mark, YamlNode::Kind::kNull);
    Finish(std::move(node), anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) {
      throw Refused{mark.line + 1, "an anchor's value contains itself"};
    }
    Attach(found->second);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag,
                YAML::anchor_t anchor, const std::string& value) override {
    auto node = New(mark, YamlNode::Kind::kScalar);
    node->quoted = tag == "!" || tag == "tag:yaml.org,2002:str";
    node->scalar = value;
    if (!node->quoted && (value == "~" || value == "null" || value == "Null" ||
                          value == "NULL" || value.empty())) {
      node->kind = YamlNode::Kind::kNull;
    }
    Finish(std::move(node), anchor);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string&,
                       YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Open(mark, YamlNode::Kind::kSequence, anchor);
  }
  void OnSequenceEnd() override { Close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string&,
                  YAML::anchor_t anchor, YAML::EmitterStyle::value) override {
    Open(mark, YamlNode::Kind::kMap, anchor);
  }
  void OnMapEnd() override { Close(); }

 private:
  struct Level {
    std::shared_ptr<YamlNode> node;
    YAML::anchor_t anchor;
    YamlPtr key;  // of a map: the key that waits for its value
  };

  std::shared_ptr<YamlNode> New(const YAML::Mark& mark, YamlNode::Kind kind) {
    auto node = std::make_shared<YamlNode>();
    node->kind = kind;
    node->line = mark.line + 1;
    return node;
  }

  void Open(const YAML::Mark& mark, YamlNode::Kind kind,
            YAML::anchor_t anchor) {
    if (static_cast<int>(levels_.size()) >= limits_.depth_max) {
      throw Refused{mark.line + 1, fmt::format("nested deeper than {} levels",
                                               limits_.depth_max)};
    }
    levels_.push_back({New(mark, kind), anchor, nullptr});
  }

  void Close() {
    Level level = std::move(levels_.back());
    levels_.pop_back();
    if (level.node->kind == YamlNode::Kind::kMap) {
      ExpandMerges(level.node.get());
      RefuseDuplicates(*level.node);
    }
    Finish(std::move(level.node), level.anchor);
  }

  // Entries of `<<` go behind the map's own, the first to name a key wins.
  void ExpandMerges(YamlNode* map) {
    const auto is_merge = [](const auto& entry) {
      return entry.first->kind == YamlNode::Kind::kScalar &&
             !entry.first->quoted && entry.first->scalar == "<<";
    };
    if (std::none_of(map->entries.begin(), map->entries.end(), is_merge)) {
      return;
    }
    std::vector<YamlPtr> sources;
    std::vector<std::pair<YamlPtr, YamlPtr>> own;
    for (auto& entry : map->entries) {
      if (!is_merge(entry)) {
        own.push_back(std::move(entry));
      } else if (entry.second->kind == YamlNode::Kind::kSequence) {
        sources.insert(sources.end(), entry.second->items.begin(),
                       entry.second->items.end());
      } else {
        sources.push_back(entry.second);
      }
    }
    map->entries = std::move(own);
    RefuseDuplicates(*map);
    for (const YamlPtr& source : sources) Merge(*source, map);
  }

  void Merge(const YamlNode& source, YamlNode* map) {
    if (source.kind != YamlNode::Kind::kMap) {
      throw Refused{source.line,
                    "a merge key (<<) needs a mapping or a list of mappings"};
    }
    merged_ += source.entries.size() + map->entries.size();
    if (merged_ > limits_.nodes_max) {
      throw Refused{source.line, fmt::format("merge keys bring in more than {} "
                                             "values",
                                             limits_.nodes_max)};
    }
    absl::flat_hash_set<std::string> keys;
    for (const auto& [key, value] : map->entries) keys.insert(key->scalar);
    for (const auto& [key, value] : source.entries) {
      if (keys.insert(key->scalar).second)
        map->entries.emplace_back(key, value);
    }
  }

  void RefuseDuplicates(const YamlNode& map) {
    std::unordered_map<std::string_view, int> lines;
    for (const auto& [key, value] : map.entries) {
      if (key->kind == YamlNode::Kind::kSequence ||
          key->kind == YamlNode::Kind::kMap) {
        throw Refused{key->line, "a mapping key has to be a plain value"};
      }
      const auto [at, fresh] = lines.emplace(key->scalar, key->line);
      if (!fresh) {
        throw Refused{key->line, fmt::format("{} was already set on line {}",
                                             Quote(key->scalar), at->second)};
      }
    }
  }

  void Finish(std::shared_ptr<YamlNode> node, YAML::anchor_t anchor) {
    for (const YamlPtr& item : node->items) {
      node->expanded_size += item->expanded_size;
    }
    for (const auto& [key, value] : node->entries) {
      node->expanded_size += key->expanded_size + value->expanded_size;
    }
    if (node->expanded_size > limits_.nodes_max) {
      throw Refused{node->line, fmt::format("more than {} values (aliases "
                                            "count as often as they are used)",
                                            limits_.nodes_max)};
    }
    if (anchor != YAML::NullAnchor) anchors_[anchor] = node;
    Attach(std::move(node));
  }

  void Attach(YamlPtr node) {
    if (++attached_ > limits_.nodes_max) {
      throw Refused{node->line,
                    fmt::format("more than {} values", limits_.nodes_max)};
    }
    if (levels_.empty()) {
      root_ = std::move(node);
      return;
    }
    Level& level = levels_.back();
    if (level.node->kind == YamlNode::Kind::kSequence) {
      level.node->items.push_back(std::move(node));
    } else if (level.key == nullptr) {
      level.key = std::move(node);
    } else {
      level.node->entries.emplace_back(std::move(level.key), std::move(node));
      level.key = nullptr;
    }
  }

  const YamlLimits& limits_;
  std::vector<Level> levels_;
  std::unordered_map<YAML::anchor_t, YamlPtr> anchors_;
  uint64_t attached_ = 0;
  uint64_t merged_ = 0;
  YamlPtr root_;
};

absl::Status CheckText(std::string_view text, const YamlLimits& limits) {
  if (text.size() > limits.bytes_max) {
    return InvalidArgument("1: the document is longer than {} bytes",
                           limits.bytes_max);
  }
  int line = 1;
  while (!text.empty()) {
    const std::string_view one = text.substr(0, text.find('\n'));
    if (!IsValidUtf8(one)) return InvalidArgument("{}: not valid UTF-8", line);
    // yaml-cpp would take it for the end of the document.
    const bool control = std::any_of(one.begin(), one.end(), [](char c) {
      const auto byte = static_cast<unsigned char>(c);
      return byte < 0x20 && c != '\t' && c != '\r';
    });
    if (control) return InvalidArgument("{}: a control character", line);
    text.remove_prefix(std::min(text.size(), one.size() + 1));
    ++line;
  }
  return absl::OkStatus();
}

absl::StatusOr<YamlPtr> Build(std::string_view text, const YamlLimits& limits) {
  std::istringstream stream{std::string(text)};
  try {
    YAML::Parser parser(stream);
    TreeBuilder builder(limits);
    if (!parser.HandleNextDocument(builder) || builder.root() == nullptr) {
      return std::make_shared<const YamlNode>();
    }
    TreeBuilder next(limits);
    if (parser.HandleNextDocument(next) && next.root() != nullptr &&
        next.root()->kind != YamlNode::Kind::kNull) {
      return InvalidArgument("{}: a second document; only one is read",
                             next.root()->line);
    }
    return builder.root();
  } catch (const Refused& refused) {
    return InvalidArgument("{}: {}", refused.line, refused.text);
  } catch (const YAML::Exception& e) {
    return InvalidArgument("{}: {}", std::max(e.mark.line, 0) + 1, e.msg);
  } catch (const std::exception& e) {
    return InvalidArgument("1: {}", e.what());
  }
}

}  // namespace

const YamlNode* YamlNode::Find(std::string_view key) const {
  for (const auto& [k, value] : entries) {
    if (k->scalar == key) return value.get();
  }
  return nullptr;
}

absl::StatusOr<YamlPtr> ParseYaml(std::string_view text,
                                  const YamlLimits& limits) {
  VARVE_RETURN_IF_ERROR(CheckText(text, limits));
  return Build(text, limits);
}

namespace {

// Also in other bases, and in YAML 1.1's base 60 ("12:30"). Quoting too much
// does no harm.
bool LooksLikeANumber(std::string_view text) {
  if (text.starts_with('+') || text.starts_with('-')) text.remove_prefix(1);
  if (text.empty() || std::string_view("0123456789.").find(text.front()) ==
                          std::string_view::npos) {
    return false;
  }
  if (text.starts_with("0x") || text.starts_with("0b") ||
      text.starts_with("0o")) {
    return text.find_first_not_of("0123456789abcdef_", 2) ==
           std::string_view::npos;
  }
  const size_t colon = text.find(':');
  if (colon != std::string_view::npos) {
    return text.substr(0, colon).find('.') == std::string_view::npos &&
           text.find_first_not_of("0123456789_:.") == std::string_view::npos;
  }
  return text.find_first_not_of("0123456789_.e+-") == std::string_view::npos &&
         std::count(text.begin(), text.end(), '.') <= 1;
}

bool LooksLikeADate(std::string_view text) {
  return text.size() >= 8 && text[0] >= '0' && text[0] <= '9' &&
         text.find('-') == 4;
}

bool LooksLikeANonString(std::string_view text) {
  static constexpr std::array<std::string_view, 12> kWords = {
      "true", "false", "yes",  "no", "on",   "off",
      "y",    "n",     "null", "~",  ".nan", ".inf"};
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  if (std::find(kWords.begin(), kWords.end(), lower) != kWords.end()) {
    return true;
  }
  return LooksLikeANumber(lower) || LooksLikeADate(lower);
}

}  // namespace

std::string YamlQuote(std::string_view text) {
  if (text.empty() || LooksLikeANonString(text)) {
    return "\"" + std::string(text) + "\"";
  }
  const bool printable = std::all_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte >= 0x20 && byte != 0x7f;
  });
  if (!printable) return Quote(text);
  const bool plain =
      std::string_view("-?:,[]{}#&*!|>'\"%@` =<").find(text.front()) ==
          std::string_view::npos &&
      text.find(": ") == std::string_view::npos &&
      text.find(" #") == std::string_view::npos && text.back() != ':' &&
      text.back() != ' ';
  if (plain) return std::string(text);
  std::string out = "'";
  for (const char c : text) {
    out += c;
    if (c == '\'') out += c;
  }
  return out + "'";
}

}  // namespace varve
