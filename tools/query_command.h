#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tools/query_table.h"

namespace CLI {
class App;
}

namespace varve {

/// `varve query instant|range|explain|analyze|series|labels`: asks a server of
/// the Prometheus API and prints its answer.
class QueryCommand {
 public:
  void AddTo(CLI::App* app);
  /// Runs the command that was given; false: it was none of these. `exit_code`:
  /// 0 it was answered, 1 the answer is an error, 2 there was no answer.
  bool Run(int* exit_code) const;

  /// The URL of the request that the command stands for.
  std::string Target() const;

 private:
  using Params = std::vector<std::pair<std::string, std::string>>;

  CLI::App* AddCommand(CLI::App* query, const char* name, const char* what);
  Params ParamsOf() const;
  bool IsRange() const;
  int Print(int status, const std::string& body) const;

  CLI::App* query_ = nullptr;
  CLI::App* instant_ = nullptr;
  CLI::App* range_ = nullptr;
  CLI::App* explain_ = nullptr;
  CLI::App* analyze_ = nullptr;
  CLI::App* series_ = nullptr;
  CLI::App* labels_ = nullptr;
  std::string url_ = "http://127.0.0.1:9090";
  bool over_range_ = false;
  std::string format_;
  std::string expression_;
  std::vector<std::string> selectors_;
  std::string label_;
  std::string time_;
  std::string start_;
  std::string end_;
  std::string step_ = "15s";
  std::string limit_;
};

}  // namespace varve
