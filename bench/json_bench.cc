// Cost of the numbers in a query's answer: integers, short decimals, values of
// full precision, and times.

#include <benchmark/benchmark.h>

#include <random>
#include <vector>

#include "api/json_writer.h"

namespace varve {
namespace {

void AppendAll(benchmark::State& state, const std::vector<double>& values) {
  std::string out;
  for (auto _ : state) {
    out.clear();
    for (const double v : values) {
      out.push_back('"');
      AppendSampleValue(&out, v);
      out.append("\",");
    }
    benchmark::DoNotOptimize(out.data());
  }
  state.SetItemsProcessed(state.iterations() *
                          static_cast<int64_t>(values.size()));
  state.SetBytesProcessed(state.iterations() *
                          static_cast<int64_t>(out.size()));
}

template <typename Make>
std::vector<double> Values(Make make) {
  std::mt19937_64 random(1);
  std::vector<double> values(10000);
  for (double& v : values) v = make(random());
  return values;
}

void BM_Integers(benchmark::State& state) {
  AppendAll(state, Values([](uint64_t r) {
              return static_cast<double>(r % 10'000'000);
            }));
}
BENCHMARK(BM_Integers);

void BM_ThreeDecimals(benchmark::State& state) {
  AppendAll(state, Values([](uint64_t r) {
              return static_cast<double>(r % 10'000'000) / 1000;
            }));
}
BENCHMARK(BM_ThreeDecimals);

void BM_FullPrecision(benchmark::State& state) {
  AppendAll(state, Values([](uint64_t r) {
              return static_cast<double>(r >> 11) * 0x1p-53 * 1000;
            }));
}
BENCHMARK(BM_FullPrecision);

void BM_Times(benchmark::State& state) {
  std::string out;
  for (auto _ : state) {
    out.clear();
    for (int64_t t = 0; t < 10000; ++t) {
      AppendSampleTime(&out, 1795447797152 + t * 15000);
      out.push_back(',');
    }
    benchmark::DoNotOptimize(out.data());
  }
  state.SetItemsProcessed(state.iterations() * 10000);
}
BENCHMARK(BM_Times);

}  // namespace
}  // namespace varve
