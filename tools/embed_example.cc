// How a program embeds varve: open, append, query, close. It includes nothing
// but the library's face. Usage: embed_example DIRECTORY

#include <cmath>
#include <cstdio>

#include "api/varve.h"

namespace {

constexpr int64_t kStepMs = 15'000;

// An hour of three rooms, up to now.
absl::Status WriteTemperatures(varve::Database& db, int64_t now_ms) {
  const int64_t start_ms = now_ms - 240 * kStepMs;
  const auto writer = db.NewWriter();
  for (int room = 1; room <= 3; ++room) {
    const varve::Labels labels = {{"__name__", "temperature_celsius"},
                                  {"room", std::to_string(room)}};
    for (int i = 0; i < 240; ++i) {
      writer->Add(labels, start_ms + i * kStepMs,
                  20 + room + std::sin(i / 20.0));
    }
  }
  VARVE_ASSIGN_OR_RETURN(const varve::WriteResult result, writer->Commit());
  std::printf("wrote %lld samples\n",
              static_cast<long long>(result.samples_stored));
  if (result.rejected_total() > 0) return varve::Internal("not all taken");
  // One sample alone needs no writer.
  return db.Append({{"__name__", "door_open"}}, now_ms, 1);
}

absl::Status AskForTheWarmest(varve::Database& db, int64_t now_ms) {
  VARVE_ASSIGN_OR_RETURN(
      const auto result,
      db.Query("max(avg_over_time(temperature_celsius[1h])) + on() door_open",
               now_ms));
  for (const auto& series : result.series) {
    std::printf("%s %.3f\n", series.labels.ToString().c_str(),
                series.floats.front().value);
  }
  if (result.series.size() != 1) return varve::Internal("one series expected");
  return absl::OkStatus();
}

absl::Status Run(const char* directory) {
  varve::DatabaseOptions options;
  options.directory = directory;
  VARVE_ASSIGN_OR_RETURN(const auto db, varve::Database::Open(options));
  const int64_t now_ms = varve::Clock::System()->NowMs();
  VARVE_RETURN_IF_ERROR(WriteTemperatures(*db, now_ms));
  VARVE_RETURN_IF_ERROR(AskForTheWarmest(*db, now_ms));
  return db->Close();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: embed_example DIRECTORY\n");
    return 2;
  }
  const absl::Status status = Run(argv[1]);
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", std::string(varve::Message(status)).c_str());
    return 1;
  }
  return 0;
}
