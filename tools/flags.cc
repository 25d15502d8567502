#include "tools/flags.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <span>

#include "tools/flag_table.h"

namespace varve {
namespace {

const FlagSpec& SpecOf(std::string_view name) {
  const std::span<const FlagSpec> table = FlagTable();
  const auto it = std::find_if(table.begin(), table.end(),
                               [&](const auto& f) { return f.name == name; });
  VARVE_CHECK(it != table.end());
  return *it;
}

std::string EnvironmentName(std::string_view flag) {
  std::string out = "VARVE_";
  for (const char c : flag) {
    if (c == '.' || c == '-') {
      out.push_back('_');
    } else {
      out.push_back(c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c);
    }
  }
  return out;
}

std::optional<int64_t> ParseNumber(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) {
    return std::nullopt;
  }
  return value;
}

std::vector<std::string_view> SplitNames(std::string_view text) {
  std::vector<std::string_view> out;
  while (!text.empty()) {
    const size_t comma = text.find(',');
    if (const auto name = text.substr(0, comma); !name.empty()) {
      out.push_back(name);
    }
    text.remove_prefix(comma == std::string_view::npos ? text.size()
                                                       : comma + 1);
  }
  return out;
}

}  // namespace

ServeFlags::ServeFlags() {
  for (const FlagSpec& spec : FlagTable()) {
    Value& value = values_[std::string(spec.name)];
    if (spec.kind == FlagKind::kBool) {
      value.on = spec.value == "true";
    } else if (!spec.value.empty()) {
      value.texts = {std::string(spec.value)};
    }
  }
}

void ServeFlags::AddTo(CLI::App* app) {
  for (const FlagSpec& spec : FlagTable()) {
    Value& value = At(spec.name);
    const std::string name(spec.name);
    std::string help(spec.help);
    if (spec.effect == FlagEffect::kNone) help = "Has no effect: " + help + ".";
    if (spec.effect == FlagEffect::kRefused) help = "Refused: " + help + ".";
    if (spec.effect == FlagEffect::kWorks && !spec.value.empty() &&
        spec.kind != FlagKind::kBool) {
      help += fmt::format(" Default {}.", spec.value);
    }
    CLI::Option* option = nullptr;
    if (spec.kind == FlagKind::kBool) {
      option = app->add_flag_function(
          "--" + name + ",!--no-" + name,
          [&value](std::int64_t count) {
            value.on = count > 0;
            value.is_given = true;
          },
          help);
    } else {
      option = app->add_option_function<std::vector<std::string>>(
          "--" + name,
          [&value](const std::vector<std::string>& texts) {
            value.texts = texts;
            value.is_given = true;
          },
          help);
      option->allow_extra_args(false)->type_name("");
      option->expected(1, spec.kind == FlagKind::kTexts ? 1000 : 1);
    }
    option->envname(EnvironmentName(name));
    option->group(spec.effect == FlagEffect::kWorks
                      ? "Options"
                      : "Of Prometheus, not of varve");
  }
}

ServeFlags::Value& ServeFlags::At(std::string_view name) {
  const auto it = values_.find(name);
  VARVE_CHECK(it != values_.end());
  return it->second;
}

const ServeFlags::Value& ServeFlags::At(std::string_view name) const {
  const auto it = values_.find(name);
  VARVE_CHECK(it != values_.end());
  return it->second;
}

absl::Status ServeFlags::CheckValue(std::string_view name) const {
  const std::string& text = Text(name);
  bool ok = true;
  std::string_view what;
  switch (SpecOf(name).kind) {
    case FlagKind::kDuration:
      ok = text.empty() || ParseDurationMs(text).has_value();
      what = "a duration such as 15s or 30d";
      break;
    case FlagKind::kNumber:
      ok = ParseNumber(text).has_value();
      what = "a number that is not negative";
      break;
    case FlagKind::kBytes:
      ok = ParseByteSize(text).has_value();
      what = "a size such as 512MB";
      break;
    default:
      break;
  }
  if (ok) return absl::OkStatus();
  return InvalidArgument("--{}: {} is not {}", name, Quote(text), what);
}

namespace {

absl::Status OneOf(std::string_view flag, std::string_view text,
                   std::span<const std::string_view> allowed) {
  if (std::find(allowed.begin(), allowed.end(), text) != allowed.end()) {
    return absl::OkStatus();
  }
  return InvalidArgument("--{}: {} is none of {}", flag, Quote(text),
                         fmt::join(allowed, ", "));
}

}  // namespace

absl::Status ServeFlags::Check() {
  for (const FlagSpec& spec : FlagTable()) {
    const Value& value = At(spec.name);
    if (spec.effect == FlagEffect::kRefused && value.is_given &&
        (value.on || (!value.texts.empty() && !value.texts[0].empty()))) {
      return InvalidArgument("--{} is refused: {}", spec.name, spec.help);
    }
    VARVE_RETURN_IF_ERROR(CheckValue(spec.name));
  }
  constexpr std::string_view kLevels[] = {"debug", "info", "warn", "error"};
  VARVE_RETURN_IF_ERROR(OneOf("log.level", Text("log.level"), kLevels));
  constexpr std::string_view kFormats[] = {"logfmt", "json"};
  VARVE_RETURN_IF_ERROR(OneOf("log.format", Text("log.format"), kFormats));
  constexpr std::string_view kModes[] = {"always", "interval", "never"};
  VARVE_RETURN_IF_ERROR(
      OneOf("storage.tsdb.wal-fsync", Text("storage.tsdb.wal-fsync"), kModes));
  for (const std::string_view name :
       {"query.max-concurrency", "web.max-connections"}) {
    if (Number(name) == 0) return InvalidArgument("--{} must be above 0", name);
  }
  if (Feature("agent")) return InvalidArgument("{}", kNoAgent);
  return absl::OkStatus();
}

bool ServeFlags::given(std::string_view name) const {
  return At(name).is_given;
}

const std::string& ServeFlags::Text(std::string_view name) const {
  static const std::string kEmpty;
  const Value& value = At(name);
  return value.texts.empty() ? kEmpty : value.texts.front();
}

const std::vector<std::string>& ServeFlags::Texts(std::string_view name) const {
  return At(name).texts;
}

bool ServeFlags::On(std::string_view name) const { return At(name).on; }

int64_t ServeFlags::DurationMs(std::string_view name) const {
  return ParseDurationMs(Text(name)).value_or(0);
}

int64_t ServeFlags::Number(std::string_view name) const {
  const std::string& text = Text(name);
  if (SpecOf(name).kind == FlagKind::kBytes) {
    return static_cast<int64_t>(
        std::min<uint64_t>(ParseByteSize(text).value_or(0), INT64_MAX));
  }
  return ParseNumber(text).value_or(0);
}

bool ServeFlags::Feature(std::string_view name) const {
  for (const std::string& text : Texts("enable-feature")) {
    for (const std::string_view feature : SplitNames(text)) {
      if (feature == name) return true;
    }
  }
  return false;
}

void ServeFlags::SetDefault(std::string_view name, std::string value) {
  Value& at = At(name);
  if (!at.is_given) at.texts = {std::move(value)};
}

std::vector<std::string> ServeFlags::Notices() const {
  std::vector<std::string> out;
  for (const FlagSpec& spec : FlagTable()) {
    if (spec.effect == FlagEffect::kNone && given(spec.name)) {
      out.push_back(
          fmt::format("--{} has no effect here: {}", spec.name, spec.help));
    }
  }
  for (const std::string& text : Texts("enable-feature")) {
    for (const std::string_view name : SplitNames(text)) {
      const std::span<const FeatureSpec> table = FeatureTable();
      const auto it =
          std::find_if(table.begin(), table.end(),
                       [&](const auto& f) { return f.name == name; });
      if (it == table.end()) {
        out.push_back(fmt::format("--enable-feature={} is not known", name));
      } else if (!it->note.empty()) {
        out.push_back(fmt::format("--enable-feature={}: {}", name, it->note));
      }
    }
  }
  return out;
}

std::vector<std::pair<std::string, std::string>> ServeFlags::All() const {
  std::vector<std::pair<std::string, std::string>> out;
  for (const auto& [name, value] : values_) {
    if (SpecOf(name).kind == FlagKind::kBool) {
      out.emplace_back(name, value.on ? "true" : "false");
    } else {
      out.emplace_back(name, fmt::format("{}", fmt::join(value.texts, ",")));
    }
  }
  return out;
}

}  // namespace varve
