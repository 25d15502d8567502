// How a query's time and memory grow with series, range and steps, on a
// database on disk.
//
//   build/release/query_scale_bench DIR fill SERIES HOURS [INTERVAL_S]
//   build/release/query_scale_bench DIR ask HOURS STEP_S QUERY...
//
// `fill` writes SERIES counters m_total of 20 jobs and stores them as blocks.
// `ask` runs each query once over the first HOURS and prints CPU time, the most
// bytes that were charged to it, and the most memory the process had.

#include <absl/strings/numbers.h>
#include <sys/resource.h>

#include <cstdio>
#include <string>
#include <vector>

#include "api/varve.h"

namespace varve {
namespace {

constexpr int64_t kStartMs = 1'748'736'000'000;  // the beginning of a day

double CpuMs() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto ms = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) * 1e3 +
           static_cast<double>(t.tv_usec) / 1e3;
  };
  return ms(usage.ru_utime) + ms(usage.ru_stime);
}

int64_t PeakRssKb() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

absl::StatusOr<std::unique_ptr<Database>> Open(const char* directory) {
  DatabaseOptions options;
  options.directory = directory;
  options.retention.time_ms = int64_t{100} * 365 * 86'400'000;
  options.wal_fsync = FsyncMode::kNever;
  options.query_timeout_ms = 0;
  return Database::Open(options);
}

Labels LabelsOf(int64_t series) {
  const std::string id = std::to_string(series);
  return {{"__name__", "m_total"},
          {"cluster", "prod-eu-1"},
          {"container", "app"},
          {"instance", "10.0." + std::to_string(series / 200) + ".7:8080"},
          {"job", "job" + std::to_string(series % 20)},
          {"namespace", "ns" + std::to_string(series % 50)},
          {"pod", "pod-7d9f8c6b5d-" + id},
          {"region", "eu-central-1"}};
}

absl::Status Fill(Database& db, int64_t series, int64_t hours,
                  int64_t interval_ms) {
  std::vector<Labels> labels;
  std::vector<double> values(static_cast<size_t>(series), 0);
  for (int64_t s = 0; s < series; ++s) labels.push_back(LabelsOf(s));
  uint64_t state = 1;
  const int64_t end_ms = kStartMs + hours * 3'600'000;
  for (int64_t t = kStartMs; t < end_ms; t += interval_ms) {
    const auto writer = db.NewWriter();
    for (size_t s = 0; s < labels.size(); ++s) {
      state = state * 6364136223846793005 + 1442695040888963407;
      values[s] += static_cast<double>(state >> 58);
      writer->Add(labels[s], t, values[s]);
    }
    VARVE_RETURN_IF_ERROR(writer->Commit().status());
  }
  return db.Flush();
}

absl::Status Ask(Database& db, int64_t hours, int64_t step_s,
                 const char* query) {
  const auto context = db.NewQueryContext();
  const double before = CpuMs();
  VARVE_ASSIGN_OR_RETURN(
      const auto result,
      db.QueryRange(*context, query, kStartMs, kStartMs + hours * 3'600'000,
                    step_s * 1000, 0));
  std::printf(
      "%s, %lld h, step %lld s: %zu series, cpu %.0f ms, "
      "%lld samples, %lld bytes, rss %lld KB\n",
      query, static_cast<long long>(hours), static_cast<long long>(step_s),
      result.series.size(), CpuMs() - before,
      static_cast<long long>(context->samples()),
      static_cast<long long>(context->bytes_peak()),
      static_cast<long long>(PeakRssKb()));
  return absl::OkStatus();
}

absl::Status Main(int argc, char** argv) {
  const std::string verb = argc > 4 ? argv[2] : "";
  int64_t first = 0;
  int64_t second = 0;
  int64_t interval_s = 15;
  if (argc < 5 || !absl::SimpleAtoi(argv[3], &first) || first <= 0 ||
      !absl::SimpleAtoi(argv[4], &second) || second <= 0) {
    return InvalidArgument("see the head of bench/query_scale_bench.cc");
  }
  VARVE_ASSIGN_OR_RETURN(const auto db, Open(argv[1]));
  if (verb == "fill") {
    if (argc > 5 && !absl::SimpleAtoi(argv[5], &interval_s)) {
      return InvalidArgument("not a number");
    }
    VARVE_RETURN_IF_ERROR(Fill(*db, first, second, interval_s * 1000));
  }
  for (int i = 5; verb == "ask" && i < argc; ++i) {
    VARVE_RETURN_IF_ERROR(Ask(*db, first, second, argv[i]));
  }
  return db->Close();
}

}  // namespace
}  // namespace varve

int main(int argc, char** argv) {
  const absl::Status status = varve::Main(argc, argv);
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
    return 1;
  }
}
