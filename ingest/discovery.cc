#include "ingest/discovery.h"

#include <simdjson.h>

#include <algorithm>
#include <set>
#include <utility>

#include "ingest/file_signature.h"
#include "ingest/yaml_reader.h"
#include "storage/file_system.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

constexpr uint64_t kFileBytesMax = uint64_t{64} << 20;

bool IsJson(const std::string& path) {
  return path.ends_with(".json") || path.ends_with(".JSON");
}

using Pairs = std::vector<std::pair<std::string, std::string>>;

absl::StatusOr<TargetGroup> MakeGroup(const std::string& path, size_t index,
                                      const std::vector<std::string>& targets,
                                      const Pairs& labels) {
  TargetGroup group;
  group.source = fmt::format("{}:{}", path, index);
  for (const std::string& target : targets) {
    group.targets.push_back(Labels{{"__address__", target}});
  }
  LabelsBuilder builder;
  for (const auto& [name, value] : labels) {
    if (!IsValidLabelName(name, NameScheme::kUtf8)) {
      return InvalidArgument("{} is not a valid label name", Quote(name));
    }
    if (!IsValidUtf8(value)) {
      return InvalidArgument("{} is not a valid label value", Quote(value));
    }
    builder.Set(name, value);
  }
  builder.Set("__meta_filepath", path);
  group.labels = builder.Build();
  return group;
}

absl::StatusOr<std::vector<TargetGroup>> ParseYamlGroups(
    std::string_view text, const std::string& path) {
  const auto root = ParseYaml(text, {.bytes_max = kFileBytesMax});
  if (!root.ok()) {
    return InvalidArgument("{}:{}", path, Message(root.status()));
  }
  std::vector<TargetGroup> groups;
  if ((*root)->kind == YamlNode::Kind::kNull) return groups;
  YamlProblems problems(path);
  if ((*root)->kind != YamlNode::Kind::kSequence) {
    problems.Add((*root)->line, fmt::format("the file must be a list of target "
                                            "groups, not {}",
                                            DescribeYaml(**root)));
  }
  for (const YamlPtr& item : (*root)->items) {
    const size_t index = groups.size();
    if (item->kind == YamlNode::Kind::kNull) {
      problems.Add(item->line, fmt::format("nil target group item found "
                                           "(index {})",
                                           index));
    }
    YamlReader r(*item, fmt::format("[{}]", index), &problems);
    std::vector<std::string> targets;
    Pairs labels;
    r.Strings("targets", &targets);
    r.StringMap("labels", &labels);
    r.Done();
    auto group = MakeGroup(path, index, targets, labels);
    if (!group.ok()) {
      problems.Add(item->line, Message(group.status()));
      group = TargetGroup();
    }
    groups.push_back(*std::move(group));
  }
  VARVE_RETURN_IF_ERROR(problems.ToStatus());
  return groups;
}

// Of one JSON object: {"targets": [...], "labels": {...}}.
absl::Status ReadJsonGroup(simdjson::dom::element item,
                           std::vector<std::string>* targets, Pairs* labels) {
  simdjson::dom::object object;
  if (item.get(object) != simdjson::SUCCESS) {
    return InvalidArgument("is not an object");
  }
  for (const auto& [key, value] : object) {
    if (key == "targets") {
      simdjson::dom::array array;
      if (value.is_null()) continue;
      if (value.get(array) != simdjson::SUCCESS) {
        return InvalidArgument("targets must be a list of strings");
      }
      for (const auto target : array) {
        std::string_view text;
        if (target.get(text) != simdjson::SUCCESS) {
          return InvalidArgument("targets must be a list of strings");
        }
        targets->emplace_back(text);
      }
    } else if (key == "labels") {
      simdjson::dom::object map;
      if (value.is_null()) continue;
      if (value.get(map) != simdjson::SUCCESS) {
        return InvalidArgument("labels must be an object of strings");
      }
      for (const auto& [name, label_value] : map) {
        std::string_view text;
        if (label_value.get(text) != simdjson::SUCCESS) {
          return InvalidArgument("labels must be an object of strings");
        }
        labels->emplace_back(name, text);
      }
    } else {
      return InvalidArgument("has an unknown field {}", Quote(key));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<TargetGroup>> ParseJsonGroups(
    std::string_view text, const std::string& path) {
  simdjson::dom::parser parser(kFileBytesMax);
  simdjson::dom::element root;
  const simdjson::padded_string padded(text);
  if (const auto error = parser.parse(padded).get(root); error) {
    return InvalidArgument("{}: {}", path, simdjson::error_message(error));
  }
  simdjson::dom::array array;
  if (root.get(array) != simdjson::SUCCESS) {
    return InvalidArgument("{}: the file must be a list of target groups",
                           path);
  }
  std::vector<TargetGroup> groups;
  for (const auto item : array) {
    std::vector<std::string> targets;
    Pairs labels;
    absl::Status status = ReadJsonGroup(item, &targets, &labels);
    auto group = MakeGroup(path, groups.size(), targets, labels);
    if (status.ok()) status = group.status();
    if (!status.ok()) {
      return InvalidArgument("{}: target group {}: {}", path, groups.size(),
                             Message(status));
    }
    groups.push_back(*std::move(group));
  }
  return groups;
}

}  // namespace

absl::StatusOr<std::vector<TargetGroup>> ParseTargetFile(
    std::string_view text, const std::string& path) {
  return IsJson(path) ? ParseJsonGroups(text, path)
                      : ParseYamlGroups(text, path);
}

FileDiscovery::FileDiscovery(FileSdConfig config, Clock* clock, Logger logger)
    : config_(std::move(config)), clock_(clock), logger_(std::move(logger)) {}

bool FileDiscovery::Poll() {
  const int64_t now = clock_->NowMs();
  const bool refresh = now >= next_refresh_ms_ ||
                       next_refresh_ms_ - now > config_.refresh_interval_ms;
  if (refresh) next_refresh_ms_ = now + config_.refresh_interval_ms;
  bool changed = false;
  std::set<std::string> there;
  for (const std::string& pattern : config_.files) {
    for (const std::string& path : GlobPaths(pattern)) {
      if (!there.insert(path).second) continue;
      if (Refresh(path, refresh)) changed = true;
    }
  }
  for (auto it = files_.begin(); it != files_.end();) {
    if (there.contains(it->first)) {
      ++it;
    } else {
      changed = true;
      it = files_.erase(it);
    }
  }
  return changed;
}

bool FileDiscovery::Refresh(const std::string& path, bool force) {
  std::string signature = FileSignature(path);
  const auto known = files_.find(path);
  if (!force && known != files_.end() && known->second.signature == signature) {
    return false;
  }
  absl::StatusOr<std::vector<TargetGroup>> groups;
  const auto text = ReadFile(FileSystem::Posix(), path, kFileBytesMax);
  if (text.ok()) {
    groups = ParseTargetFile(*text, path);
  } else {
    groups = text.status();
  }
  File& file = files_[path];
  file.signature = std::move(signature);
  if (!groups.ok()) {
    ++errors_;
    logger_.Error("discovery", "{}; its last good targets stay",
                  Message(groups.status()));
    return false;
  }
  if (file.groups == *groups) return false;
  file.groups = *std::move(groups);
  return true;
}

std::vector<TargetGroup> FileDiscovery::Groups() const {
  std::vector<TargetGroup> out;
  for (const auto& [path, file] : files_) {
    out.insert(out.end(), file.groups.begin(), file.groups.end());
  }
  return out;
}

}  // namespace varve
