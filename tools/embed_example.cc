// How a program embeds varve: open, append, query, close. It includes nothing
// but the library's face. Usage: embed_example DIRECTORY

#include <cmath>
#include <cstdio>

#include "api/varve.h"

namespace {

constexpr int64_t kStart = 1'700'000'000'000;
constexpr int64_t kStep = 15'000;

absl::Status WriteTemperatures(varve::Database& db) {
  const auto writer = db.NewWriter();
  for (int room = 1; room <= 3; ++room) {
    const varve::Labels labels = {{"__name__", "temperature_celsius"},
                                  {"room", std::to_string(room)}};
    for (int i = 0; i < 240; ++i) {
      writer->Add(labels, kStart + i * kStep, 20 + room + std::sin(i / 20.0));
    }
  }
  VARVE_ASSIGN_OR_RETURN(const varve::WriteResult result, writer->Commit());
  std::printf("wrote %lld samples\n",
              static_cast<long long>(result.samples_stored));
  // One sample alone needs no writer.
  return db.Append({{"__name__", "door_open"}}, kStart + 240 * kStep, 1);
}

absl::Status AskForTheWarmest(varve::Database& db) {
  VARVE_ASSIGN_OR_RETURN(
      const auto result,
      db.Query("max(avg_over_time(temperature_celsius[1h])) + on() door_open",
               kStart + 240 * kStep));
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
  VARVE_RETURN_IF_ERROR(WriteTemperatures(*db));
  VARVE_RETURN_IF_ERROR(AskForTheWarmest(*db));
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
