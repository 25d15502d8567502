#pragma once

#include <fmt/format.h>

#include <functional>
#include <string>
#include <string_view>
#include <utility>

namespace varve {

enum class LogLevel { kDebug, kInfo, kWarn, kError };

/// Where log lines go. Silent by default; the embedder sets the sink (the
/// server: spdlog on stderr). `component` is a folder-like name ("wal",
/// "scrape"). Copies share nothing but the sink's own state; thread-safe if the
/// sink is.
class Logger {
 public:
  using Sink = std::function<void(LogLevel, std::string_view component,
                                  std::string_view message)>;

  Logger() = default;
  explicit Logger(Sink sink, LogLevel level_min = LogLevel::kInfo)
      : sink_(std::move(sink)), level_min_(level_min) {}

  bool enabled(LogLevel level) const { return sink_ && level >= level_min_; }

  template <typename... Args>
  void Log(LogLevel level, std::string_view component,
           fmt::format_string<Args...> f, Args&&... args) const {
    if (enabled(level)) {
      sink_(level, component, fmt::format(f, std::forward<Args>(args)...));
    }
  }
  template <typename... Args>
  void Info(std::string_view component, fmt::format_string<Args...> f,
            Args&&... args) const {
    Log(LogLevel::kInfo, component, f, std::forward<Args>(args)...);
  }
  template <typename... Args>
  void Warn(std::string_view component, fmt::format_string<Args...> f,
            Args&&... args) const {
    Log(LogLevel::kWarn, component, f, std::forward<Args>(args)...);
  }
  template <typename... Args>
  void Error(std::string_view component, fmt::format_string<Args...> f,
             Args&&... args) const {
    Log(LogLevel::kError, component, f, std::forward<Args>(args)...);
  }

 private:
  Sink sink_;
  LogLevel level_min_ = LogLevel::kInfo;
};

}  // namespace varve
