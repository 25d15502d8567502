// The lists of series behind a label pair: those of blocks (posting_list) and
// those of the head (postings). All figures are per id of the lists read.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdlib>
#include <random>
#include <vector>

#include "storage/posting_list.h"
#include "storage/postings.h"

namespace varve {
namespace {

constexpr uint32_t kSeries = 1000000;

/// How the ids of a list lie in a block of a million series.
enum Shape {
  kMetric,     // neighbours
  kPeriodic,   // every so many series, as a pod's under every metric
  kScattered,  // at random
};

Ids Make(Shape shape, size_t count, uint64_t seed = 1) {
  Ids ids;
  std::mt19937_64 random(seed);
  const auto step = static_cast<uint32_t>(kSeries / count);
  for (uint32_t i = 0; i < count; ++i) {
    const auto noise = static_cast<uint32_t>(random() % step);
    ids.push_back(shape == kMetric     ? 1000 + i
                  : shape == kPeriodic ? i * step
                                       : i * step + noise);
  }
  return ids;
}

void SetIds(benchmark::State& state, size_t count) {
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(count));
}

void Shapes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"shape", "ids"});
  for (const int64_t shape : {kMetric, kPeriodic, kScattered}) {
    b->Args({shape, 50})->Args({shape, 100000});
  }
}

void BM_Encode(benchmark::State& state) {
  const Ids ids = Make(static_cast<Shape>(state.range(0)),
                       static_cast<size_t>(state.range(1)));
  std::string bytes;
  for (auto _ : state) {
    bytes.clear();
    PutPosting(&bytes, ids);
    benchmark::DoNotOptimize(bytes.data());
  }
  SetIds(state, ids.size());
  state.counters["bytes/id"] =
      static_cast<double>(bytes.size()) / static_cast<double>(ids.size());
}
BENCHMARK(BM_Encode)->Apply(Shapes);

void BM_Decode(benchmark::State& state) {
  const Ids ids = Make(static_cast<Shape>(state.range(0)),
                       static_cast<size_t>(state.range(1)));
  std::string bytes;
  PutPosting(&bytes, ids);
  Ids out;
  for (auto _ : state) {
    out.clear();
    if (!AppendPosting(bytes, kSeries, &out).ok()) std::abort();
    benchmark::DoNotOptimize(out.data());
  }
  SetIds(state, ids.size());
}
BENCHMARK(BM_Decode)->Apply(Shapes);

/// A list of 100,000 with one of so many.
void BM_Intersect(benchmark::State& state) {
  const Ids a = Make(kScattered, 100000, 1);
  const Ids b = Make(kScattered, static_cast<size_t>(state.range(0)), 2);
  Ids work;
  for (auto _ : state) {
    work = a;
    Intersect(&work, b);
    benchmark::DoNotOptimize(work.data());
  }
  SetIds(state, a.size() + b.size());
}
BENCHMARK(BM_Intersect)->ArgName("other")->Arg(100)->Arg(5000)->Arg(100000);

void BM_Subtract(benchmark::State& state) {
  const Ids a = Make(kScattered, 100000, 1);
  const Ids b = Make(kScattered, static_cast<size_t>(state.range(0)), 2);
  Ids work;
  for (auto _ : state) {
    work = a;
    Subtract(&work, b);
    benchmark::DoNotOptimize(work.data());
  }
  SetIds(state, a.size() + b.size());
}
BENCHMARK(BM_Subtract)->ArgName("other")->Arg(100)->Arg(100000);

/// Lists of 50 ids each, as a regex over pods finds them.
void BM_Union(benchmark::State& state) {
  const auto lists = static_cast<size_t>(state.range(0));
  const Ids all = Make(kScattered, lists * 50);
  std::vector<std::string> encoded;
  for (size_t k = 0; k < lists; ++k) {
    Ids ids;
    for (size_t i = k; i < all.size(); i += lists) ids.push_back(all[i]);
    PutPosting(&encoded.emplace_back(), ids);
  }
  Ids out;
  for (auto _ : state) {
    out.clear();
    for (const std::string& bytes : encoded) {
      if (!AppendPosting(bytes, kSeries, &out).ok()) std::abort();
    }
    SortUnion(kSeries, &out);
    benchmark::DoNotOptimize(out.data());
  }
  SetIds(state, all.size());
}
BENCHMARK(BM_Union)->ArgName("lists")->Arg(10)->Arg(200)->Arg(4000);

/// Lists of 50 ids probed for a set that they do not meet.
void BM_Probe(benchmark::State& state) {
  Ids ids = Make(kScattered, 50);
  Ids others = Make(kScattered, 10000, 3);
  Subtract(&others, ids);
  const IdBits bits(kSeries, others);
  std::string bytes;
  PutPosting(&bytes, ids);
  for (auto _ : state) {
    benchmark::DoNotOptimize(*PostingIntersects(bytes, kSeries, bits));
  }
  SetIds(state, ids.size());
}
BENCHMARK(BM_Probe);

void BM_HeadAdd(benchmark::State& state) {
  const Ids ids = Make(static_cast<Shape>(state.range(0)),
                       static_cast<size_t>(state.range(1)));
  int64_t bytes = 0;
  for (auto _ : state) {
    Postings postings;
    for (const uint32_t id : ids) postings.Add(id);
    bytes = postings.bytes();
  }
  SetIds(state, ids.size());
  state.counters["bytes/id"] =
      static_cast<double>(bytes) / static_cast<double>(ids.size());
}
BENCHMARK(BM_HeadAdd)->Apply(Shapes);

void BM_HeadIntersect(benchmark::State& state) {
  Postings a;
  Postings b;
  const Ids of_a = Make(kScattered, 100000, 1);
  const Ids of_b = Make(kScattered, static_cast<size_t>(state.range(0)), 2);
  for (const uint32_t id : of_a) a.Add(id);
  for (const uint32_t id : of_b) b.Add(id);
  for (auto _ : state) {
    RefSet found;
    a.AddTo(&found);
    RefSet other;
    b.AddTo(&other);
    found.IntersectWith(other);
    benchmark::DoNotOptimize(found.ToVector().data());
  }
  SetIds(state, of_a.size() + of_b.size());
}
BENCHMARK(BM_HeadIntersect)->ArgName("other")->Arg(100)->Arg(100000);

}  // namespace
}  // namespace varve
