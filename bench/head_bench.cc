// From the batch to the acknowledgement: log + head, without parsing and
// without waiting for the device (wal_fsync=never).

#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "storage/db.h"

namespace varve {
namespace {

constexpr int64_t kStepMs = 15'000;
constexpr size_t kBatch = 2000;

/// A Db in a fresh directory, removed at the end. Its clock stands far ahead of
/// all samples that a benchmark writes.
class BenchDb {
 public:
  explicit BenchDb(bool checkpoints = false) {
    options_.checkpoint_on_close = checkpoints;
    options_.directory = fmt::format("/tmp/varve_head_bench.{}", getpid());
    (void)RemoveRecursively(FileSystem::Posix(), options_.directory);
    options_.wal_fsync = FsyncMode::kNever;
    options_.background = false;
    start_ms_ = Clock::System()->NowMs() - int64_t{20} * 24 * 3600 * 1000;
    Open();
  }
  ~BenchDb() {
    db_.reset();
    (void)RemoveRecursively(FileSystem::Posix(), options_.directory);
  }
  void Open() {
    db_.reset();
    auto db = Db::Open(options_);
    if (!db.ok()) std::abort();
    db_ = std::move(*db);
  }
  Db* operator->() { return db_.get(); }
  int64_t start_ms() const { return start_ms_; }

 private:
  DbOptions options_;
  std::unique_ptr<Db> db_;
  int64_t start_ms_ = 0;
};

/// Twelve labels, 370 bytes, as a Kubernetes target has them.
Labels SeriesLabels(size_t i) {
  const std::string pod = fmt::format("frontend-6d4b75cb6d-{:05}", i / 200);
  const std::string instance =
      fmt::format("10.{}.{}.7:8080", i / 51200 % 256, i / 200 % 256);
  const std::string name = fmt::format("http_requests_total_{}", i % 50);
  const std::string code = fmt::format("{}", 200 + i / 50 % 4);
  return Labels{{"__name__", name},
                {"cluster", "production-eu-west-1"},
                {"code", code},
                {"container", "frontend"},
                {"endpoint", "http-metrics"},
                {"handler", "/api/v1/query_range"},
                {"instance", instance},
                {"job", "frontend"},
                {"method", "GET"},
                {"namespace", "shop-production"},
                {"pod", pod},
                {"service", "frontend-headless"}};
}

std::vector<SeriesRef> MakeSeries(BenchDb* db, size_t count) {
  std::vector<SeriesRef> refs;
  for (size_t i = 0; i < count;) {
    auto appender = (*db)->BeginAppend();
    for (size_t k = 0; k < kBatch && i < count; ++k, ++i) {
      refs.push_back(*appender->Resolve(SeriesLabels(i)));
    }
    if (!appender->Commit().ok()) std::abort();
  }
  return refs;
}

void WriteRound(BenchDb* db, const std::vector<SeriesRef>& refs, int64_t t,
                uint64_t* state) {
  for (size_t i = 0; i < refs.size();) {
    auto appender = (*db)->BeginAppend();
    WriteBatch& batch = appender->batch();
    for (size_t k = 0; k < kBatch && i < refs.size(); ++k, ++i) {
      *state = *state * 6364136223846793005u + 1442695040888963407u;
      // Two thirds of the series stand still, the others count.
      const bool moves = i % 3 == 0;
      const double v =
          static_cast<double>(i) +
          (moves ? static_cast<double>((t / kStepMs) * 7 + (*state >> 61)) : 0);
      batch.Add(refs[i], t, v);
    }
    if (!appender->Commit().ok()) std::abort();
  }
}

void BM_AppendKnown(benchmark::State& state) {
  BenchDb db;
  const auto refs = MakeSeries(&db, static_cast<size_t>(state.range(0)));
  int64_t t = db.start_ms();
  uint64_t random = 1;
  for (auto _ : state) {
    WriteRound(&db, refs, t, &random);
    t += kStepMs;
  }
  const auto samples =
      static_cast<int64_t>(state.iterations()) * state.range(0);
  state.SetItemsProcessed(samples);
  state.counters["ns/sample"] = benchmark::Counter(
      static_cast<double>(samples) * 1e-9,
      benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
  const DbStats stats = db->Stats();
  state.counters["head B/series"] = static_cast<double>(stats.head_bytes) /
                                    static_cast<double>(stats.head_series);
  state.counters["wal B/sample"] =
      static_cast<double>(stats.wal_bytes) /
      static_cast<double>(stats.head_samples_appended);
}
BENCHMARK(BM_AppendKnown)
    ->Arg(10'000)
    ->Arg(200'000)
    ->Iterations(130)
    ->Unit(benchmark::kMillisecond);

void BM_NewSeries(benchmark::State& state) {
  std::vector<Labels> labels;
  for (size_t i = 0; i < 200'000; ++i) labels.push_back(SeriesLabels(i));
  for (auto _ : state) {
    state.PauseTiming();
    auto db = std::make_unique<BenchDb>();
    state.ResumeTiming();
    for (size_t i = 0; i < labels.size();) {
      auto appender = (*db)->BeginAppend();
      for (size_t k = 0; k < kBatch; ++k, ++i) {
        appender->batch().Add(*appender->Resolve(labels[i]), db->start_ms(), 1);
      }
      if (!appender->Commit().ok()) std::abort();
    }
    state.PauseTiming();
    state.counters["head B/series"] =
        static_cast<double>((*db)->Stats().head_bytes) / 200'000;
    db.reset();
    state.ResumeTiming();
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()) * 200'000);
}
BENCHMARK(BM_NewSeries)->Iterations(3)->Unit(benchmark::kMillisecond);

void BM_Replay(benchmark::State& state) {
  BenchDb db;
  const auto refs = MakeSeries(&db, 50'000);
  uint64_t random = 1;
  for (int i = 0; i < 100; ++i) {
    WriteRound(&db, refs, db.start_ms() + i * kStepMs, &random);
  }
  for (auto _ : state) db.Open();
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()) * 5'000'000);
}
BENCHMARK(BM_Replay)->Iterations(3)->Unit(benchmark::kMillisecond);

/// A restart after a clean stop: everything stands in a checkpoint.
void BM_Load(benchmark::State& state) {
  BenchDb db(/*checkpoints=*/true);
  const auto series = static_cast<size_t>(state.range(0));
  const auto refs = MakeSeries(&db, series);
  uint64_t random = 1;
  const auto rounds = static_cast<int>(state.range(1));
  for (int i = 0; i < rounds; ++i) {
    WriteRound(&db, refs, db.start_ms() + i * kStepMs, &random);
  }
  db.Open();  // writes it
  for (auto _ : state) db.Open();
  const DbStats stats = db->Stats();
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()) *
                          state.range(0));
  state.counters["B/series"] = static_cast<double>(stats.checkpoint_bytes) /
                               static_cast<double>(stats.head_series);
}
BENCHMARK(BM_Load)
    ->Args({50'000, 100})
    ->Args({500'000, 4})
    ->Args({200'000, 240})
    ->Iterations(3)
    ->MeasureProcessCPUTime()
    ->Unit(benchmark::kMillisecond);

void BM_Checkpoint(benchmark::State& state) {
  BenchDb db(/*checkpoints=*/true);
  const auto refs = MakeSeries(&db, 200'000);
  uint64_t random = 1;
  int64_t t = db.start_ms();
  double seconds = 0;
  for (auto _ : state) {
    state.PauseTiming();
    for (int i = 0; i < 4; ++i) WriteRound(&db, refs, t += kStepMs, &random);
    const int64_t before = db->Stats().checkpoints;
    state.ResumeTiming();
    if (!db->Maintain().ok() || db->Stats().checkpoints == before) std::abort();
    seconds += db->Stats().checkpoint_seconds;
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()) * 200'000);
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) *
                          db->Stats().checkpoint_bytes);
}
BENCHMARK(BM_Checkpoint)->Iterations(1)->Unit(benchmark::kMillisecond);

void BM_Seal(benchmark::State& state) {
  for (auto _ : state) {
    state.PauseTiming();
    BenchDb db;
    const auto refs = MakeSeries(&db, 10'000);
    uint64_t random = 1;
    for (int i = 0; i < 480; ++i) {
      WriteRound(&db, refs, db.start_ms() + i * kStepMs, &random);
    }
    state.ResumeTiming();
    if (!db->Flush().ok()) std::abort();
    state.PauseTiming();
    const DbStats stats = db->Stats();
    state.counters["block B/sample"] = static_cast<double>(stats.block_bytes) /
                                       static_cast<double>(stats.block_samples);
    state.ResumeTiming();
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()) * 4'800'000);
}
BENCHMARK(BM_Seal)->Iterations(1)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace varve
