#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "api/varve.h"

namespace CLI {
class App;
}

namespace varve {

/// The flags of `varve serve`: every flag that Prometheus 3.x has, and our own.
/// A flag works, or has no effect here (and says so in the log when it is
/// given), or is refused because ignoring it would be unsafe.
class ServeFlags {
 public:
  ServeFlags();

  /// Adds the flags to a command; each can also be given as an environment
  /// variable: VARVE_STORAGE_TSDB_PATH for --storage.tsdb.path.
  void AddTo(CLI::App* app);

  /// After parsing: InvalidArgument names a flag that is refused, or whose
  /// value cannot be read.
  absl::Status Check();

  bool given(std::string_view name) const;
  const std::string& Text(std::string_view name) const;
  const std::vector<std::string>& Texts(std::string_view name) const;
  bool On(std::string_view name) const;
  int64_t DurationMs(std::string_view name) const;
  int64_t Number(std::string_view name) const;
  bool Feature(std::string_view name) const;
  void SetDefault(std::string_view name, std::string value);

  /// What was given and does nothing, as sentences for the log.
  std::vector<std::string> Notices() const;
  /// Name and value of all flags, sorted; for status/flags.
  std::vector<std::pair<std::string, std::string>> All() const;

 private:
  struct Value {
    std::vector<std::string> texts;
    bool on = false;
    bool is_given = false;
  };
  Value& At(std::string_view name);
  const Value& At(std::string_view name) const;
  absl::Status CheckValue(std::string_view name) const;

  std::map<std::string, Value, std::less<>> values_;
};

}  // namespace varve
