// The sealed columns against the head's Gorilla chunks, on the changing series
// of a synthetic cluster: what a query decodes and what sealing encodes.
// Read the ratios of one run, not the absolute numbers.

#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "storage/adaptive_ints.h"
#include "storage/adaptive_values.h"
#include "storage/chunk_codec.h"
#include "storage/gorilla.h"
#include "tests/support/sample_shapes.h"

namespace varve {
namespace {

constexpr size_t kSamples = 480;

struct Data {
  Data(bool changing_only, double jitter_ms)
      : series(MakeClusterSeries({.series = 1000,
                                  .samples = kSamples,
                                  .jitter_ms = jitter_ms,
                                  .changing_only = changing_only})) {}
  std::vector<ShapedSeries> series;
  size_t samples() const { return series.size() * kSamples; }
};

/// All series or those that change; scrapes on time or with jitter.
const Data& TheData(bool changing_only, int64_t jitter_ms) {
  static std::map<std::pair<bool, int64_t>, Data> all;
  const auto key = std::pair(changing_only, jitter_ms);
  return all.try_emplace(key, changing_only, static_cast<double>(jitter_ms))
      .first->second;
}
const Data& TheData(const benchmark::State& state) {
  return TheData(state.range(0) != 0, state.range(1));
}

struct GorillaChunk {
  std::vector<uint64_t> words;
  int64_t first_t;
  size_t count;
};

std::vector<GorillaChunk> GorillaChunks(const ShapedSeries& s) {
  std::vector<GorillaChunk> chunks;
  SlabArena arena;
  GorillaTail tail;
  const auto finish = [&] {
    uint64_t words[kGorillaWordsMax];
    const size_t n = GorillaFinish(tail, arena, words);
    chunks.push_back({{words, words + n}, tail.first_t, tail.count});
    GorillaFree(tail, &arena);
    tail.count = 0;
  };
  for (size_t i = 0; i < s.values.size(); ++i) {
    if (!GorillaFits(tail, s.timestamps[i])) finish();
    uint64_t bits;
    std::memcpy(&bits, &s.values[i], 8);
    GorillaAppend(&tail, &arena, s.timestamps[i], bits);
  }
  finish();
  return chunks;
}

void Report(benchmark::State& state, const Data& data, size_t bytes) {
  state.SetItemsProcessed(state.iterations() *
                          static_cast<int64_t>(data.samples()));
  state.counters["bytes/sample"] =
      static_cast<double>(bytes) / static_cast<double>(data.samples());
}

void BM_DecodeGorilla(benchmark::State& state) {
  const Data& data = TheData(state);
  std::vector<std::vector<GorillaChunk>> chunks;
  size_t bytes = 0;
  for (const ShapedSeries& s : data.series) {
    chunks.push_back(GorillaChunks(s));
    for (const GorillaChunk& c : chunks.back()) {
      bytes += 8 + 8 * c.words.size();
    }
  }
  std::vector<int64_t> times(kSamples);
  std::vector<double> values(kSamples);
  for (auto _ : state) {
    for (const auto& series : chunks) {
      size_t at = 0;
      for (const GorillaChunk& c : series) {
        GorillaDecode(c.words.data(), c.words.size(), c.first_t, c.count,
                      &times[at], &values[at]);
        at += c.count;
      }
      benchmark::DoNotOptimize(values.data());
      benchmark::ClobberMemory();
    }
  }
  Report(state, data, bytes);
}

/// Columns one after the other, as in a block.
struct Columns {
  std::string bytes;
  std::vector<size_t> begins;
};

template <bool kTimes, bool kValues>
void DecodeColumns(benchmark::State& state, const ColumnKernels& kernels) {
  const Data& data = TheData(state);
  Columns columns;
  for (const ShapedSeries& s : data.series) {
    columns.begins.push_back(columns.bytes.size());
    if (kTimes) PutAdaptiveInts(&columns.bytes, s.timestamps);
    if (kValues) PutAdaptiveValues(&columns.bytes, s.values);
  }
  columns.begins.push_back(columns.bytes.size());
  std::vector<int64_t> times(kSamples);
  std::vector<double> values(kSamples);
  for (auto _ : state) {
    for (size_t i = 0; i + 1 < columns.begins.size(); ++i) {
      Decoder in(std::string_view(columns.bytes)
                     .substr(columns.begins[i],
                             columns.begins[i + 1] - columns.begins[i]));
      if (kTimes) GetAdaptiveInts(&in, times, kernels);
      if (kValues) GetAdaptiveValues(&in, values, kernels);
      if (!in.done()) state.SkipWithError("not decoded");
      benchmark::ClobberMemory();
    }
  }
  Report(state, data, columns.bytes.size());
}

template <bool kTimes, bool kValues>
void BM_Encode(benchmark::State& state) {
  const Data& data = TheData(state);
  std::string bytes;
  for (auto _ : state) {
    bytes.clear();
    for (const ShapedSeries& s : data.series) {
      if (kTimes) PutAdaptiveInts(&bytes, s.timestamps);
      if (kValues) PutAdaptiveValues(&bytes, s.values);
    }
    benchmark::DoNotOptimize(bytes.data());
  }
  Report(state, data, bytes.size());
}

/// Shape by shape, to see where time and bytes are.
void BM_DecodeShape(benchmark::State& state, const std::string& shape) {
  std::string bytes;
  size_t columns = 0;
  for (const ShapedSeries& s : TheData(true, 0).series) {
    if (s.shape != shape) continue;
    PutAdaptiveValues(&bytes, s.values);
    ++columns;
  }
  std::vector<double> values(kSamples);
  for (auto _ : state) {
    Decoder in(bytes);
    while (in.remaining() > 0) GetAdaptiveValues(&in, values);
    benchmark::ClobberMemory();
  }
  const size_t samples = columns * kSamples;
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(samples));
  state.counters["bytes/sample"] =
      static_cast<double>(bytes.size()) / static_cast<double>(samples);
}

void BM_EncodeShape(benchmark::State& state, const std::string& shape) {
  std::string bytes;
  size_t columns = 0;
  for (auto _ : state) {
    bytes.clear();
    columns = 0;
    for (const ShapedSeries& s : TheData(true, 0).series) {
      if (s.shape != shape) continue;
      PutAdaptiveValues(&bytes, s.values);
      ++columns;
    }
    benchmark::DoNotOptimize(bytes.data());
  }
  state.SetItemsProcessed(state.iterations() *
                          static_cast<int64_t>(columns * kSamples));
}

/// Latencies in exponential buckets of a factor of 1.09, a chunk per series:
/// the counts of some 60 buckets grow by some hundred observations a scrape.
std::vector<SampleColumns> HistogramSeries(size_t count) {
  std::mt19937_64 random(1);
  std::vector<SampleColumns> all(count);
  for (SampleColumns& series : all) {
    series.kind = SampleColumns::Kind::kHistogram;
    std::lognormal_distribution<double> latency(
        -4 + static_cast<double>(random() % 40) / 10, 0.7);
    IntHistogram h;
    h.schema = 3;
    h.zero_threshold = 0x1p-128;
    // The observations before the chunk find the buckets.
    std::map<int, uint64_t> buckets;
    const auto observe = [&](size_t n, bool may_grow) {
      for (; n > 0; --n) {
        const double v = latency(random);
        const auto b =
            static_cast<int>(std::ceil(std::log2(v) * (1 << h.schema)));
        if (!may_grow && !buckets.contains(b)) continue;
        ++buckets[b];
        h.sum += v;
        ++h.count;
      }
    };
    observe(20000, true);
    const int first = buckets.begin()->first;
    const int last = buckets.rbegin()->first;
    for (int b = first; b <= last; ++b) buckets.try_emplace(b);
    h.positive_spans = {{first, static_cast<uint32_t>(last - first + 1)}};
    for (size_t i = 0; i < kSamples; ++i) {
      observe(50 + random() % 100, false);
      h.positive_buckets.clear();
      for (const auto& [bucket, n] : buckets) h.positive_buckets.push_back(n);
      series.timestamps.push_back(static_cast<int64_t>(i) * 15000);
      series.histograms.push_back(std::make_shared<Histogram>(h));
    }
  }
  return all;
}

void BM_EncodeHistograms(benchmark::State& state) {
  const auto all = HistogramSeries(25);
  std::string bytes;
  for (auto _ : state) {
    bytes.clear();
    for (const SampleColumns& series : all) {
      PutChunk(&bytes, series, 0, series.size());
    }
  }
  const auto histograms = all.size() * kSamples;
  size_t buckets = 0;
  for (const SampleColumns& series : all) {
    buckets +=
        std::get<IntHistogram>(*series.histograms[0]).positive_buckets.size();
  }
  state.SetItemsProcessed(state.iterations() *
                          static_cast<int64_t>(histograms));
  state.counters["bytes/histogram"] =
      static_cast<double>(bytes.size()) / static_cast<double>(histograms);
  state.counters["buckets"] =
      static_cast<double>(buckets) / static_cast<double>(all.size());
}
BENCHMARK(BM_EncodeHistograms);

void BM_DecodeHistograms(benchmark::State& state) {
  const auto all = HistogramSeries(25);
  std::vector<std::string> chunks;
  for (const SampleColumns& series : all) {
    PutChunk(&chunks.emplace_back(), series, 0, series.size());
  }
  SampleColumns out;
  for (auto _ : state) {
    for (const std::string& chunk : chunks) {
      if (!GetChunk(chunk, kSamples, &out).ok()) std::abort();
    }
  }
  state.SetItemsProcessed(state.iterations() *
                          static_cast<int64_t>(all.size() * kSamples));
}
BENCHMARK(BM_DecodeHistograms);

void Cases(benchmark::internal::Benchmark* b) {
  b->ArgNames({"changing", "jitter_ms"});
  for (const int64_t changing : {1, 0}) {
    for (const int64_t jitter_ms : {0, 3}) b->Args({changing, jitter_ms});
  }
}

[[maybe_unused]] const bool kRegistered = [] {
  const auto name = [](std::string what, const ColumnKernels& k) {
    return "BM_Decode" + what + "/" + k.name;
  };
  benchmark::RegisterBenchmark("BM_DecodeGorilla", BM_DecodeGorilla)
      ->Apply(Cases);
  for (const ColumnKernels* k : SupportedColumnKernels()) {
    benchmark::RegisterBenchmark(
        name("Values", *k).c_str(),
        [k](benchmark::State& s) { DecodeColumns<false, true>(s, *k); })
        ->Apply(Cases);
    benchmark::RegisterBenchmark(
        name("TimesAndValues", *k).c_str(),
        [k](benchmark::State& s) { DecodeColumns<true, true>(s, *k); })
        ->Apply(Cases);
  }
  benchmark::RegisterBenchmark("BM_EncodeValues", BM_Encode<false, true>)
      ->Apply(Cases);
  benchmark::RegisterBenchmark("BM_EncodeTimesAndValues", BM_Encode<true, true>)
      ->Apply(Cases);
  for (const char* shape :
       {"counter", "bucket", "cpu", "cpu-ns", "bytes", "gauge", "latency",
        "sum", "decimal-sum", "clock", "ratio"}) {
    benchmark::RegisterBenchmark((std::string("shape/decode/") + shape).c_str(),
                                 BM_DecodeShape, shape);
    benchmark::RegisterBenchmark((std::string("shape/encode/") + shape).c_str(),
                                 BM_EncodeShape, shape);
  }
  return true;
}();

}  // namespace
}  // namespace varve
