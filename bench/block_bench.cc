// Sealing, reading and merging blocks: columns and chunks alone, then whole
// blocks with their index in a store on a disk in memory.

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <cstdlib>
#include <limits>
#include <random>
#include <vector>

#include "storage/block.h"
#include "storage/block_compactor.h"
#include "storage/block_store.h"
#include "storage/block_writer.h"
#include "storage/chunk_codec.h"
#include "storage/float_column.h"
#include "storage/int_column.h"
#include "tests/support/memory_file_system.h"

namespace varve {
namespace {

constexpr size_t kSamples = 480;
constexpr int64_t kWindowMs = 7200 * 1000;

void Must(const absl::Status& status) {
  if (status.ok()) return;
  fmt::print(stderr, "{}\n", status.ToString());
  std::abort();
}

/// A counter with noise: what XOR has most to do with.
std::vector<double> Counter(size_t samples, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<double> values;
  double v = static_cast<double>(random() % 100000);
  for (size_t i = 0; i < samples; ++i) {
    v += static_cast<double>(random() % 50);
    values.push_back(v);
  }
  return values;
}

std::vector<int64_t> Times(size_t samples, int64_t jitter_ms, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<int64_t> times;
  for (size_t i = 0; i < samples; ++i) {
    int64_t t = static_cast<int64_t>(i) * 15000;
    if (jitter_ms > 0) {
      t += static_cast<int64_t>(random() % static_cast<uint64_t>(jitter_ms));
    }
    times.push_back(t);
  }
  return times;
}

void SetSamples(benchmark::State& state, size_t per_iteration) {
  state.SetItemsProcessed(state.iterations() *
                          static_cast<int64_t>(per_iteration));
}

void EncodeFloats(benchmark::State& state) {
  const auto values = Counter(kSamples, 1);
  std::string bytes;
  for (auto _ : state) {
    bytes.clear();
    PutFloatColumn(&bytes, values);
  }
  SetSamples(state, kSamples);
  state.counters["bytes/sample"] = static_cast<double>(bytes.size()) / kSamples;
}
BENCHMARK(EncodeFloats);

void DecodeFloats(benchmark::State& state) {
  std::string bytes;
  PutFloatColumn(&bytes, Counter(kSamples, 1));
  std::vector<double> values(kSamples);
  for (auto _ : state) {
    Must(GetFloatColumn(bytes, values));
    benchmark::DoNotOptimize(values.data());
  }
  SetSamples(state, kSamples);
}
BENCHMARK(DecodeFloats);

void EncodeTimes(benchmark::State& state) {
  const auto times = Times(kSamples, state.range(0), 1);
  std::string bytes;
  for (auto _ : state) {
    bytes.clear();
    PutTimestamps(&bytes, times);
  }
  SetSamples(state, kSamples);
  state.counters["bytes/sample"] = static_cast<double>(bytes.size()) / kSamples;
}
BENCHMARK(EncodeTimes)->ArgName("jitter_ms")->Arg(0)->Arg(10);

void DecodeTimes(benchmark::State& state) {
  std::string bytes;
  PutTimestamps(&bytes, Times(kSamples, state.range(0), 1));
  std::vector<int64_t> times;
  for (auto _ : state) {
    Decoder in(bytes);
    Must(GetTimestamps(&in, &times));
    benchmark::DoNotOptimize(times.data());
  }
  SetSamples(state, kSamples);
}
BENCHMARK(DecodeTimes)->ArgName("jitter_ms")->Arg(0)->Arg(10);

/// The buckets of one histogram: each counts what is in the one before too,
/// and nine more observations a sample on average.
std::vector<std::vector<double>> Buckets(size_t buckets, size_t samples,
                                         uint64_t seed) {
  std::mt19937_64 random(seed);
  std::poisson_distribution<int> observations(9);
  std::vector<std::vector<double>> all(buckets);
  std::vector<double> counts(buckets);
  for (size_t i = 0; i < samples; ++i) {
    double below = 0;
    for (size_t b = 0; b < buckets; ++b) {
      counts[b] += observations(random);
      below += counts[b];
      all[b].push_back(below);
    }
  }
  return all;
}

/// Chunks of 960 samples that are buckets, written as a merge writes them.
struct BucketBlock {
  BucketBlock() {
    Must(fs.CreateDir("/blocks"));
    BlockInfo info;
    info.window = {0, 12 * kWindowMs};
    auto writer = BlockWriter::Create(&fs, "/blocks/b", info);
    Must(writer.status());
    (*writer)->WriteDifferences();
    SampleColumns columns;
    columns.timestamps = Times(kJoined, 10, 1);
    for (uint64_t histogram = 0; histogram < 50; ++histogram) {
      for (auto& values : Buckets(12, kJoined, histogram + 1)) {
        columns.values = std::move(values);
        Must((*writer)->AddSeries({&columns, 1}));
        ++series;
      }
    }
    Must((*writer)->Finish().status());
    auto opened = Block::Open(&fs, "/blocks/b");
    Must(opened.status());
    block = *std::move(opened);
  }

  static constexpr size_t kJoined = 960;
  MemoryFileSystem fs;
  std::shared_ptr<const Block> block;
  uint32_t series = 0;
};

/// Checks, decodes and copies the chunks that are differences from others, or
/// those that are not.
void ReadChunks(benchmark::State& state) {
  static const BucketBlock of;
  constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  BlockReader reader(of.block, kMin, kMax);
  std::vector<Block::Chunk> chunks;
  for (uint32_t s = 0; s < of.series; ++s) {
    const auto group = reader.Group(s);
    Must(group.status());
    for (const Block::Chunk& chunk : (*group)->ChunksOf(s)) {
      const auto raw = reader.ReadRaw(chunk);
      Must(raw.status());
      const bool differs = !raw->differences.empty();
      if (differs == (state.range(0) != 0)) chunks.push_back(chunk);
    }
  }
  SampleColumns columns;
  for (auto _ : state) {
    for (const Block::Chunk& chunk : chunks) {
      Must(reader.Read(chunk, &columns).status());
      benchmark::DoNotOptimize(columns.values.data());
    }
  }
  SetSamples(state, chunks.size() * BucketBlock::kJoined);
  state.counters["chunks"] = static_cast<double>(chunks.size());
}
BENCHMARK(ReadChunks)
    ->ArgName("differences")
    ->Arg(0)
    ->Arg(1)
    ->Unit(benchmark::kMicrosecond);

/// 100 metrics of `targets` targets each; all series of a target share their
/// times, which jitter.
struct Input {
  explicit Input(int targets) {
    for (int m = 0; m < 100; ++m) {
      for (int t = 0; t < targets; ++t) {
        labels.push_back(Labels{
            {"__name__", fmt::format("metric_{:03}_total", m)},
            {"cluster", "eu-west-1"},
            {"instance", fmt::format("10.0.{}.{:03}:9100", t / 200, t % 200)},
            {"job", "node"},
            {"namespace", fmt::format("namespace-{}", t % 20)},
            {"pod", fmt::format("node-exporter-{:05}", t)}});
        SampleColumns& c = columns.emplace_back();
        c.timestamps = Times(kSamples, 10, static_cast<uint64_t>(t) + 1);
        c.values = m % 2 == 0 ? std::vector<double>(kSamples, m)
                              : Counter(kSamples, labels.size());
      }
    }
  }
  size_t samples() const { return columns.size() * kSamples; }

  std::vector<Labels> labels;
  std::vector<SampleColumns> columns;
};

const Input& TheInput() {
  static const Input input(100);
  return input;
}

std::unique_ptr<BlockStore> OpenStore(FileSystem* fs) {
  BlockStoreOptions options;
  options.directory = "/db";
  options.fs = fs;
  auto store = BlockStore::Open(options);
  Must(store.status());
  return *std::move(store);
}

void Publish(BlockStore* store, const Input& input) {
  auto builder = store->NewBlock({0, kWindowMs});
  Must(builder.status());
  for (size_t i = 0; i < input.labels.size(); ++i) {
    Must((*builder)->AddSeries(input.labels[i], {&input.columns[i], 1}));
  }
  std::vector<std::unique_ptr<BlockBuilder>> builders;
  builders.push_back(*std::move(builder));
  Must(store->Publish(std::move(builders), {}, {}));
}

void SealBlock(benchmark::State& state) {
  const Input& input = TheInput();
  MemoryFileSystem fs;
  auto store = OpenStore(&fs);
  for (auto _ : state) Publish(store.get(), input);
  SetSamples(state, input.samples());
  const BlockInfo info = store->Blocks()[0];
  state.counters["file bytes/sample"] =
      static_cast<double>(info.file_bytes) / static_cast<double>(info.samples);
  state.counters["index bytes/series"] =
      static_cast<double>(info.index_bytes) / static_cast<double>(info.series);
}
BENCHMARK(SealBlock)->Unit(benchmark::kMillisecond)->MinTime(2);

/// Some hours of 1,200 series: counters, or 100 histograms of 12 buckets.
class MergeInput {
 public:
  static constexpr size_t kWindows = 4;

  MergeInput(size_t samples_per_window, bool buckets)
      : per_window_(samples_per_window) {
    const size_t all = kWindows * per_window_;
    const int64_t step = kWindowMs / static_cast<int64_t>(per_window_);
    for (uint64_t target = 0; target < 100; ++target) {
      auto& times = times_.emplace_back(all);
      std::mt19937_64 random(target);
      for (size_t i = 0; i < all; ++i) {
        times[i] =
            static_cast<int64_t>(i) * step + static_cast<int64_t>(random() % 5);
      }
      auto histogram = Buckets(12, buckets ? all : 0, target + 1);
      for (size_t b = 0; b < histogram.size(); ++b) {
        labels_.push_back(
            Labels{{"__name__", "request_duration_seconds_bucket"},
                   {"instance", fmt::format("10.0.0.{:03}:9100", target)},
                   {"le", fmt::format("{:02}", b)}});
        values_.push_back(buckets ? std::move(histogram[b])
                                  : Counter(all, 12 * target + b));
      }
    }
  }

  size_t samples() const { return kWindows * per_window_ * values_.size(); }

  void PublishTo(BlockStore* store) const {
    SampleColumns columns;
    for (size_t w = 0; w < kWindows; ++w) {
      const auto begin = static_cast<std::ptrdiff_t>(w * per_window_);
      const auto end = begin + static_cast<std::ptrdiff_t>(per_window_);
      const auto start_ms = static_cast<int64_t>(w) * kWindowMs;
      auto builder = store->NewBlock({start_ms, start_ms + kWindowMs});
      Must(builder.status());
      for (size_t s = 0; s < values_.size(); ++s) {
        const auto& times = times_[s / 12];
        columns.timestamps.assign(times.begin() + begin, times.begin() + end);
        columns.values.assign(values_[s].begin() + begin,
                              values_[s].begin() + end);
        Must((*builder)->AddSeries(labels_[s], {&columns, 1}));
      }
      std::vector<std::unique_ptr<BlockBuilder>> builders;
      builders.push_back(*std::move(builder));
      Must(store->Publish(std::move(builders), {}, {}));
    }
  }

 private:
  const size_t per_window_;
  std::vector<Labels> labels_;
  std::vector<std::vector<int64_t>> times_;  // by target
  std::vector<std::vector<double>> values_;  // by series
};

/// Four blocks into one, with its index, published in their place. Chunks of
/// 960 samples are copied, of 240 or 480 joined; where series are buckets, they
/// are compared with their neighbours as well.
void MergeBlocks(benchmark::State& state) {
  const MergeInput input(static_cast<size_t>(state.range(0)),
                         state.range(1) != 0);
  CompactReport report;
  for (auto _ : state) {
    state.PauseTiming();
    {
      MemoryFileSystem fs;
      auto store = OpenStore(&fs);
      input.PublishTo(store.get());
      const std::vector<BlockInfo> blocks = store->Blocks();
      state.ResumeTiming();
      Must(CompactBlocks(store.get(), blocks, {}, &report));
      state.PauseTiming();
    }
    state.ResumeTiming();
  }
  SetSamples(state, input.samples());
  const auto samples = static_cast<double>(report.samples);
  state.counters["bytes/sample before"] =
      static_cast<double>(report.bytes_before) / samples;
  state.counters["bytes/sample after"] =
      static_cast<double>(report.bytes_after) / samples;
  state.counters["copied"] = static_cast<double>(report.chunks_copied);
  state.counters["made"] = static_cast<double>(report.chunks_encoded);
}
BENCHMARK(MergeBlocks)
    ->ArgNames({"chunk", "buckets"})
    ->ArgsProduct({{240, 480, 960}, {0, 1}})
    ->Unit(benchmark::kMillisecond);

void SealIndexOnly(benchmark::State& state) {
  // One sample per series: what a series costs.
  Input input = TheInput();
  for (SampleColumns& c : input.columns) {
    c.timestamps.resize(1);
    c.values.resize(1);
  }
  MemoryFileSystem fs;
  auto store = OpenStore(&fs);
  for (auto _ : state) Publish(store.get(), input);
  SetSamples(state, input.labels.size());
}
BENCHMARK(SealIndexOnly)->Unit(benchmark::kMillisecond);

struct SealedStore {
  SealedStore() : store(OpenStore(&fs)) { Publish(store.get(), TheInput()); }
  MemoryFileSystem fs;
  std::unique_ptr<BlockStore> store;
};

const BlockStore& TheStore() {
  static const SealedStore sealed;
  return *sealed.store;
}

Matcher Equal(const char* name, const char* value) {
  auto m = Matcher::Create(MatchType::kEqual, name, value);
  Must(m.status());
  return *std::move(m);
}

size_t ReadAll(const SeriesSource& source, std::span<const Matcher> matchers,
               bool samples) {
  QueryContext context;
  SelectHints hints;
  hints.end_ms = kWindowMs;
  auto set = source.Select(context, matchers, hints);
  Must(set.status());
  SampleColumns columns;
  size_t n = 0;
  while (*(*set)->Next()) {
    if (!samples) {
      ++n;
      continue;
    }
    auto cursor = (*set)->Cursor();
    while (*cursor->Next(&columns)) n += columns.size();
  }
  return n;
}

void SelectOneSeries(benchmark::State& state) {
  const auto source = TheStore().Snapshot();
  const Matcher matchers[] = {Equal("__name__", "metric_007_total"),
                              Equal("pod", "node-exporter-00042")};
  size_t n = 0;
  for (auto _ : state) n = ReadAll(*source, matchers, true);
  SetSamples(state, n);
}
BENCHMARK(SelectOneSeries)->Unit(benchmark::kMicrosecond);

void SelectMetric(benchmark::State& state) {
  const auto source = TheStore().Snapshot();
  const Matcher matchers[] = {Equal("__name__", "metric_007_total")};
  size_t n = 0;
  for (auto _ : state) n = ReadAll(*source, matchers, true);
  SetSamples(state, n);
}
BENCHMARK(SelectMetric)->Unit(benchmark::kMicrosecond);

void SelectAllLabels(benchmark::State& state) {
  const auto source = TheStore().Snapshot();
  size_t n = 0;
  for (auto _ : state) n = ReadAll(*source, {}, false);
  SetSamples(state, n);
}
BENCHMARK(SelectAllLabels)->Unit(benchmark::kMillisecond);

void SelectAllSamples(benchmark::State& state) {
  const auto source = TheStore().Snapshot();
  size_t n = 0;
  for (auto _ : state) n = ReadAll(*source, {}, true);
  SetSamples(state, n);
}
BENCHMARK(SelectAllSamples)->Unit(benchmark::kMillisecond);

void LabelValuesOf(benchmark::State& state) {
  const auto source = TheStore().Snapshot();
  QueryContext context;
  SelectHints hints;
  hints.end_ms = kWindowMs;
  const Matcher matchers[] = {Equal("__name__", "metric_007_total")};
  const std::span<const Matcher> used(matchers, state.range(0) == 0 ? 0 : 1);
  for (auto _ : state) {
    const auto values = source->LabelValues(context, "pod", used, hints);
    Must(values.status());
    benchmark::DoNotOptimize(values->size());
  }
}
BENCHMARK(LabelValuesOf)
    ->ArgName("matchers")
    ->Arg(0)
    ->Arg(1)
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace varve
