#include "tools/log_sink.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <chrono>

#include "api/json_writer.h"

namespace varve {
namespace {

std::string_view LevelName(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "DEBUG";
    case LogLevel::kInfo:
      return "INFO";
    case LogLevel::kWarn:
      return "WARN";
    case LogLevel::kError:
      break;
  }
  return "ERROR";
}

std::string NowText() {
  const auto now = std::chrono::floor<std::chrono::milliseconds>(
      std::chrono::system_clock::now());
  const auto seconds = std::chrono::floor<std::chrono::seconds>(now);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(seconds),
                     (now - seconds).count());
}

std::string Logfmt(LogLevel level, std::string_view component,
                   std::string_view message) {
  return fmt::format("time={} level={} component={} msg={}", NowText(),
                     LevelName(level), component, Quote(message));
}

std::string Json(LogLevel level, std::string_view component,
                 std::string_view message) {
  std::string out;
  JsonWriter(&out)
      .BeginObject()
      .Field("time", NowText())
      .Field("level", LevelName(level))
      .Field("component", component)
      .Field("msg", message)
      .EndObject();
  return out;
}

LogLevel LevelOf(const std::string& name) {
  if (name == "debug") return LogLevel::kDebug;
  if (name == "warn") return LogLevel::kWarn;
  if (name == "error") return LogLevel::kError;
  return LogLevel::kInfo;
}

}  // namespace

Logger MakeStderrLogger(const std::string& level, const std::string& format) {
  auto out = std::make_shared<spdlog::logger>(
      "varve", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  out->set_pattern("%v");
  out->set_level(spdlog::level::trace);
  const bool json = format == "json";
  return Logger(
      [out, json](LogLevel at, std::string_view component,
                  std::string_view message) {
        out->log(spdlog::level::info, "{}",
                 json ? Json(at, component, message)
                      : Logfmt(at, component, message));
      },
      LevelOf(level));
}

}  // namespace varve
