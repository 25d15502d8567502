#include <re2/re2.h>

#include <optional>

#include "query/functions.h"
#include "storage/status_macros.h"

// label_replace() and label_join().

namespace varve::promql {
namespace {

bool IsLabelName(std::string_view name) {
  return !name.empty() && IsValidUtf8(name);
}

absl::Status BadLabel(std::string_view which, std::string_view function,
                      std::string_view name) {
  return FailedPrecondition("invalid {} label name in {}(): {}", which,
                            function, name);
}

/// Sets a label of a series; the metric's name is then there to stay.
absl::Status SetLabel(const FunctionCall& call, const std::string& name,
                      const std::string& value, SeriesInfo* series) {
  VARVE_RETURN_IF_ERROR(call.context.query.ChargeBytes(
      static_cast<int64_t>(name.size() + value.size())));
  series->labels = LabelsBuilder(series->labels).Set(name, value).Build();
  if (name == kMetricName) series->drop_name = false;
  return absl::OkStatus();
}

bool IsWordByte(char c) {
  return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
         (c >= 'A' && c <= 'Z') || static_cast<uint8_t>(c) >= 0x80;
}

/// The number that a group's name stands for; -1 if it is a real name.
int GroupNumber(std::string_view name) {
  if (name.size() > 1 && name[0] == '0') return -1;
  int number = 0;
  for (const char c : name) {
    if (c < '0' || c > '9' || number >= 100000000) return -1;
    number = number * 10 + (c - '0');
  }
  return number;
}

/// A template such as `a-$1-${name}`, taken apart once.
class Replacement {
 public:
  Replacement(std::string_view text, const RE2& regex) {
    while (!text.empty()) {
      const size_t dollar = text.find('$');
      Literal(text.substr(0, dollar));
      if (dollar == std::string_view::npos) break;
      text.remove_prefix(dollar + 1);
      if (text.starts_with('$')) {
        Literal("$");
        text.remove_prefix(1);
      } else if (!Group(&text, regex)) {
        Literal("$");  // No name follows: the character itself.
      }
    }
  }

  std::string Expand(const std::vector<re2::StringPiece>& groups) const {
    std::string out;
    for (const Part& part : parts_) {
      out += part.literal;
      if (part.group < 0) continue;
      const auto& group = groups[static_cast<size_t>(part.group)];
      out.append(group.data(), group.size());
    }
    return out;
  }

 private:
  struct Part {
    std::string literal;
    int group = -1;
  };

  void Literal(std::string_view text) {
    if (!text.empty()) parts_.push_back({std::string(text), -1});
  }

  /// `1`, `name` or either in braces. A group that does not exist is empty.
  bool Group(std::string_view* text, const RE2& regex) {
    std::string_view rest = *text;
    const bool brace = rest.starts_with('{');
    if (brace) rest.remove_prefix(1);
    size_t length = 0;
    while (length < rest.size() && IsWordByte(rest[length])) ++length;
    const std::string_view name = rest.substr(0, length);
    rest.remove_prefix(length);
    if (name.empty() || (brace && !rest.starts_with('}'))) return false;
    if (brace) rest.remove_prefix(1);
    *text = rest;
    int group = GroupNumber(name);
    if (group < 0) {
      const auto& named = regex.NamedCapturingGroups();
      const auto it = named.find(std::string(name));
      if (it != named.end()) group = it->second;
    }
    if (group >= 0 && group <= regex.NumberOfCapturingGroups()) {
      parts_.push_back({"", group});
    }
    return true;
  }

  std::vector<Part> parts_;
};

absl::Status LabelReplace(const FunctionCall& call,
                          std::vector<SeriesInfo>* series) {
  const std::string& dst = call.strings[1];
  const std::string& src = call.strings[3];
  RE2::Options options(RE2::Quiet);
  options.set_dot_nl(true);
  options.set_max_mem(int64_t{8} << 20);
  const RE2 regex(call.strings[4], options);
  if (!regex.ok()) {
    return FailedPrecondition(
        "invalid regular expression in label_replace(): "
        "{}",
        call.strings[4]);
  }
  if (!IsLabelName(dst)) {
    return BadLabel("destination", "label_replace", dst);
  }
  const Replacement replacement(call.strings[2], regex);
  const int count = 1 + regex.NumberOfCapturingGroups();
  std::vector<re2::StringPiece> groups(static_cast<size_t>(count));
  for (SeriesInfo& info : *series) {
    VARVE_RETURN_IF_ERROR(call.context.query.Check());
    const std::string value(info.labels.Get(src));
    if (!regex.Match(value, 0, value.size(), RE2::ANCHOR_BOTH, groups.data(),
                     count)) {
      continue;
    }
    VARVE_RETURN_IF_ERROR(
        SetLabel(call, dst, replacement.Expand(groups), &info));
  }
  return absl::OkStatus();
}

absl::Status LabelJoin(const FunctionCall& call,
                       std::vector<SeriesInfo>* series) {
  const std::string& dst = call.strings[1];
  const std::string& separator = call.strings[2];
  const auto sources = call.strings.subspan(3);
  for (const std::string& source : sources) {
    if (!IsLabelName(source)) return BadLabel("source", "label_join", source);
  }
  if (!IsLabelName(dst)) return BadLabel("destination", "label_join", dst);
  for (SeriesInfo& info : *series) {
    VARVE_RETURN_IF_ERROR(call.context.query.Check());
    std::string joined;
    for (size_t i = 0; i < sources.size(); ++i) {
      if (i > 0) joined += separator;
      joined += info.labels.Get(sources[i]);
    }
    VARVE_RETURN_IF_ERROR(SetLabel(call, dst, joined, &info));
  }
  return absl::OkStatus();
}

constexpr FunctionImpl kFunctions[] = {
    {.name = "label_join", .labels = LabelJoin},
    {.name = "label_replace", .labels = LabelReplace},
};

}  // namespace

std::span<const FunctionImpl> LabelFunctions() { return kFunctions; }

}  // namespace varve::promql
