#include "tools/query_command.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <ctime>

#include "api/fetch.h"
#include "api/varve.h"

namespace varve {
namespace {

constexpr int kAnsweredError = 1;
constexpr int kNoAnswer = 2;
constexpr int64_t kTimeoutMs = 5 * 60 * 1000;
constexpr int64_t kHourSeconds = 3600;

std::string PercentEncode(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                       (c >= 'A' && c <= 'Z') || c == '-' || c == '_' ||
                       c == '.' || c == '~';
    if (plain) {
      out.push_back(c);
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

}  // namespace

CLI::App* QueryCommand::AddCommand(CLI::App* query, const char* name,
                                   const char* what) {
  CLI::App* command = query->add_subcommand(name, what);
  command->add_option("--url", url_, "Where the server is.")
      ->capture_default_str();
  command->add_option("--limit", limit_, "At most so many series or names.");
  return command;
}

void QueryCommand::AddTo(CLI::App* app) {
  query_ = app->add_subcommand("query", "Ask a server.")->require_subcommand(1);
  instant_ = AddCommand(query_, "instant", "Evaluate PromQL at one moment.");
  range_ = AddCommand(query_, "range", "Evaluate PromQL over a time range.");
  explain_ = AddCommand(query_, "explain", "Show how PromQL is evaluated.");
  analyze_ = AddCommand(query_, "analyze",
                        "Evaluate PromQL and show what each operator took.");
  series_ = AddCommand(query_, "series", "List series.");
  labels_ = AddCommand(query_, "labels",
                       "List the names of labels, or the values of one.");
  for (CLI::App* command : {instant_, range_, explain_, analyze_}) {
    command->add_option("EXPRESSION", expression_, "PromQL.")->required();
  }
  for (CLI::App* command : {instant_, explain_, analyze_}) {
    command->add_option("--time", time_, "Unix or RFC 3339; default: now.");
  }
  range_->add_option("--step", step_, "Seconds or a duration.")
      ->capture_default_str();
  for (CLI::App* command : {explain_, analyze_}) {
    command->add_flag("--range", over_range_,
                      "As `range` would, from --start to --end by --step.");
    command->add_option("--step", step_, "Seconds or a duration.")
        ->capture_default_str();
  }
  series_->add_option("SELECTOR", selectors_, "Like up{job=\"x\"}.")
      ->required();
  labels_->add_option("NAME", label_, "The label whose values are listed.");
  labels_->add_option("--match", selectors_, "Only of these series.");
  for (CLI::App* command : {range_, explain_, analyze_, series_, labels_}) {
    CLI::Option* start = command->add_option(
        "--start", start_, "Unix or RFC 3339; of range: an hour ago.");
    command->add_option("--end", end_, "Unix or RFC 3339; of range: now.")
        ->needs(start);
  }
  for (CLI::App* command : {instant_, explain_, analyze_, series_, labels_}) {
    command->add_option("--format", format_, "table or json.")
        ->check(CLI::IsMember({"table", "json"}));
  }
  range_->add_option("--format", format_, "plot, table or json.")
      ->check(CLI::IsMember({"plot", "table", "json"}));
}

bool QueryCommand::IsRange() const {
  return range_->parsed() || over_range_;
}

QueryCommand::Params QueryCommand::ParamsOf() const {
  Params params;
  const auto add = [&params](const char* name, const std::string& value) {
    if (!value.empty()) params.emplace_back(name, value);
  };
  add("query", expression_);
  add("time", time_);
  add("limit", limit_);
  if (explain_->parsed()) add("explain", "1");
  if (analyze_->parsed()) add("explain", "analyze");
  for (const std::string& selector : selectors_) add("match[]", selector);
  if (!IsRange()) {
    add("start", start_);
    add("end", end_);
    return params;
  }
  const int64_t now = std::time(nullptr);
  add("step", step_);
  add("end", end_.empty() ? fmt::to_string(now) : end_);
  add("start", start_.empty() ? fmt::to_string(now - kHourSeconds) : start_);
  return params;
}

std::string QueryCommand::Target() const {
  std::string path = "labels";
  if (instant_->parsed() || explain_->parsed() || analyze_->parsed()) {
    path = "query";
  }
  if (IsRange()) path = "query_range";
  if (series_->parsed()) path = "series";
  if (!label_.empty()) path = "label/" + PercentEncode(label_) + "/values";
  std::string url = url_;
  while (url.ends_with('/')) url.pop_back();
  url += "/api/v1/" + path;
  char separator = '?';
  for (const auto& [name, value] : ParamsOf()) {
    url += fmt::format("{}{}={}", separator, PercentEncode(name),
                       PercentEncode(value));
    separator = '&';
  }
  return url;
}

int QueryCommand::Print(int status, const std::string& body) const {
  if (format_ == "json") {
    fmt::print("{}\n", body);
    return status == 200 ? 0 : kAnsweredError;
  }
  const bool plot = format_ == "plot" || (format_.empty() && range_->parsed());
  const auto text =
      QueryText(body, plot ? QueryView::kPlot : QueryView::kTable);
  if (text.ok()) {
    fmt::print("{}", *text);
    return 0;
  }
  fmt::print(stderr, "varve: {} (HTTP status {})\n", Message(text.status()),
             status);
  return kAnsweredError;
}

bool QueryCommand::Run(int* exit_code) const {
  if (!query_->parsed()) return false;
  const FetchAnswer answer = Fetch(Target(), kTimeoutMs);
  if (answer.status.ok()) {
    *exit_code = Print(answer.http_status, answer.body);
    return true;
  }
  fmt::print(stderr, "varve: {}: {}\n", url_, Message(answer.status));
  *exit_code = kNoAnswer;
  return true;
}

}  // namespace varve
