// The label index at scale: one block with a million series of one metric, and
// 30 days of pods that come and go, 5 million series. Each row says what was
// done, its CPU time and a figure. Not a Google Benchmark: every data set is
// made once, and what cannot be repeated (writing, opening) is a figure too.
//
//   index_bench [--series=1000000] [--days=30] [--churn-series=5000000]

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "storage/block_store.h"
#include "storage/index_writer.h"
#include "tests/support/memory_file_system.h"

namespace varve {
namespace {

constexpr int64_t kDayMs = int64_t{24} * 3600 * 1000;

void Must(const absl::Status& status) {
  if (status.ok()) return;
  fmt::print(stderr, "{}\n", status.ToString());
  std::abort();
}
template <typename T>
T Must(absl::StatusOr<T> result) {
  Must(result.status());
  return *std::move(result);
}

double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) +
           static_cast<double>(t.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

int64_t AnonymousBytes() {
  std::ifstream status("/proc/self/status");
  std::string word;
  while (status >> word) {
    int64_t kib = 0;
    if (word == "RssAnon:" && status >> kib) return kib * 1024;
  }
  return 0;
}

/// Runs f until a quarter second has passed (at least once) and prints the time
/// of the first call, which finds cold caches, and of the others.
template <typename F>
void Row(std::string_view what, const F& f) {
  const double begin = CpuSeconds();
  size_t found = f();
  const double first = CpuSeconds() - begin;
  const double again = CpuSeconds();
  double last = again;
  int calls = 0;
  while (calls == 0 || (last - again < 0.25 && calls < 100000)) {
    found = f();
    ++calls;
    last = CpuSeconds();
  }
  fmt::print("| {} | {:.0f} | {:.1f} | {} |\n", what, first * 1e6,
             (last - again) * 1e6 / calls, found);
}

Matcher Make(MatchType type, std::string name, std::string value) {
  return Must(Matcher::Create(type, std::move(name), std::move(value)));
}
Matcher Equal(std::string name, std::string value) {
  return Make(MatchType::kEqual, std::move(name), std::move(value));
}
Matcher Regex(std::string name, std::string value) {
  return Make(MatchType::kRegex, std::move(name), std::move(value));
}

std::unique_ptr<BlockStore> OpenStore(FileSystem* fs) {
  BlockStoreOptions options;
  options.directory = "/db";
  options.fs = fs;
  return Must(BlockStore::Open(options));
}

/// Publishes sorted label sets as a block of one day, a sample each.
void Publish(BlockStore* store, int64_t day, const std::vector<Labels>& all) {
  auto builder =
      Must(store->NewBlock({day * kDayMs, day * kDayMs + kDayMs / 12}));
  SampleColumns columns;
  columns.timestamps = {day * kDayMs};
  columns.values = {1};
  for (const Labels& labels : all) {
    Must(builder->AddSeries(labels, {&columns, 1}));
  }
  std::vector<std::unique_ptr<BlockBuilder>> builders;
  builders.push_back(std::move(builder));
  Must(store->Publish(std::move(builders), {}, {}));
}

/// A million series of one metric: endpoints of pods, and an id of which every
/// tenth series has one of its own.
std::vector<Labels> OneMetric(uint32_t series) {
  std::mt19937_64 random(1);
  std::vector<Labels> all;
  all.reserve(series);
  const uint32_t pods = series / 50 + 1;
  for (uint32_t i = 0; i < series; ++i) {
    const uint32_t pod = i / 50;
    const uint32_t path = i % 50;
    LabelsBuilder b;
    b.Set("__name__", "http_requests_total")
        .Set("cluster", fmt::format("eu-west-{}", pod % 3))
        .Set("code", path % 7 == 0   ? "500"
                     : path % 3 == 0 ? "404"
                                     : "200")
        .Set("instance", fmt::format("10.{}.{}.{}:8080", pod >> 16,
                                     pod >> 8 & 255, pod & 255))
        .Set("job", fmt::format("service-{}", pod % 100))
        .Set("method", path % 2 == 0 ? "GET" : "POST")
        .Set("namespace", fmt::format("team-{:02}", pod % 40))
        .Set("path", fmt::format("/api/v1/things/{}", path))
        .Set("pod", fmt::format("service-{}-{:08x}-{:05}", pod % 100,
                                (pod % 100) * 2654435761U, pods - pod));
    if (i % 10 == 0) b.Set("id", fmt::format("{:016x}", random()));
    all.push_back(b.Build());
  }
  std::sort(all.begin(), all.end(), SeriesLess);
  return all;
}

/// Day `day` of a cluster whose pods live about a day: series share metric and
/// workload labels over days, but hardly any pod name.
std::vector<Labels> ChurnDay(int64_t day, uint32_t series) {
  constexpr uint32_t kMetrics = 60;
  std::vector<Labels> all;
  const uint32_t pods = series / kMetrics;
  all.reserve(series);
  for (uint32_t m = 0; m < kMetrics; ++m) {
    const std::string metric = fmt::format("container_metric_{:02}_total", m);
    for (uint32_t p = 0; p < pods; ++p) {
      const uint32_t app = p % 200;
      // One pod in ten stays for all days.
      const uint64_t id =
          (p % 10 == 0 ? 0 : static_cast<uint64_t>(day)) * 1000003 + p;
      const uint64_t hash = (id + 1) * 0x9e3779b97f4a7c15;
      all.push_back(Labels{
          {"__name__", metric},
          {"app", fmt::format("app-{}", app)},
          {"cluster", "eu-west-1"},
          {"container", fmt::format("c{}", app % 3)},
          {"instance",
           fmt::format("10.0.{}.{}:10250", hash >> 40 & 255, hash >> 48 & 255)},
          {"job", "kubelet"},
          {"namespace", fmt::format("team-{:02}", app % 40)},
          {"pod", fmt::format("app-{}-{:08x}-{:05x}", app, day * 7919 + app,
                              hash >> 44)}});
    }
  }
  std::sort(all.begin(), all.end(), SeriesLess);
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

/// Rows of a reader, for what a source does not show.
void BenchWriting(const std::vector<Labels>& all) {
  double begin = CpuSeconds();
  IndexWriter writer;
  for (const Labels& labels : all) writer.AddSeries(labels);
  const double added = CpuSeconds() - begin;
  begin = CpuSeconds();
  const auto rows = writer.Finish();
  const double finished = CpuSeconds() - begin;
  const auto n = static_cast<double>(all.size());
  fmt::print(
      "index rows in memory: add {:.2f} us/series, finish {:.2f} "
      "us/series, {} rows\n",
      added * 1e6 / n, finished * 1e6 / n, rows.size());
}

size_t Count(const SeriesSource& source, std::span<const Matcher> matchers,
             SelectHints hints, bool labels) {
  QueryContext context;
  const auto set = Must(source.Select(context, matchers, hints));
  size_t n = 0;
  while (labels && Must(set->Next())) {
    if (++n == static_cast<size_t>(hints.limit)) break;
  }
  return n;
}

size_t Values(const SeriesSource& source, std::string_view name,
              std::span<const Matcher> matchers, const SelectHints& hints) {
  QueryContext context;
  return Must(source.LabelValues(context, name, matchers, hints)).size();
}

size_t Names(const SeriesSource& source, std::span<const Matcher> matchers,
             const SelectHints& hints) {
  QueryContext context;
  return Must(source.LabelNames(context, matchers, hints)).size();
}

void PrintHead(std::string_view title) {
  fmt::print(
      "\n| {} | first call, us | again, us | found |\n|---|---|---|---|\n",
      title);
}

void BenchReads(const SeriesSource& source, const SelectHints& hints,
                std::string_view metric, std::string_view group,
                std::string_view group_value, std::string_view pod_prefix,
                std::string_view pod) {
  const Matcher by_metric = Equal("__name__", std::string(metric));
  const Matcher by_group = Equal(std::string(group), std::string(group_value));
  const Matcher by_prefix = Regex("pod", std::string(pod_prefix) + ".*");
  const Matcher by_middle = Regex("pod", ".*-0000.*");
  SelectHints limited = hints;
  limited.limit = 100;
  const auto select = [&](std::string_view title, std::vector<Matcher> m) {
    Row(fmt::format("select {}", title),
        [&] { return Count(source, m, hints, true); });
  };
  PrintHead("series");
  select("metric, pod=", {by_metric, Equal("pod", std::string(pod))});
  select("metric, group=, pod=~\"literal.*\"",
         {by_metric, by_group, by_prefix});
  select("group=, pod=~\"literal.*\"", {by_group, by_prefix});
  select("group=, pod=~\"a|b\"",
         {by_group, Regex("pod", std::string(pod) + "|none")});
  const std::string base(pod_prefix);
  select("metric, pod=~\"a|b|c\"",
         {by_metric, Regex("pod", std::string(pod) + "|none|other")});
  select("metric, pod=~\"(a|b)-.*\"",
         {by_metric, Regex("pod", "(" + base + "|other-).*")});
  select("pod=~\".*literal.*\"", {by_middle});
  select("group=, pod=~\".*literal.*\"", {by_group, by_middle});
  select("metric, group=", {by_metric, by_group});
  select("metric, group=, pod!=\"\"",
         {by_metric, by_group, Make(MatchType::kNotEqual, "pod", "")});
  Row("select metric, limit 100", [&] {
    return Count(source, {&by_metric, 1}, limited, true);
  });
  PrintHead("names and values");
  const Matcher both[] = {by_metric, by_group};
  Row("label names", [&] { return Names(source, {}, hints); });
  Row("label names, metric", [&] {
    return Names(source, {&by_metric, 1}, hints);
  });
  Row("label names, metric, group=",
      [&] { return Names(source, both, hints); });
  Row("values of __name__",
      [&] { return Values(source, "__name__", {}, hints); });
  Row("values of pod", [&] { return Values(source, "pod", {}, hints); });
  Row("values of pod, limit 100",
      [&] { return Values(source, "pod", {}, limited); });
  Row("values of pod, pod=~\"literal.*\"", [&] {
    return Values(source, "pod", {&by_prefix, 1}, hints);
  });
  Row("values of pod, metric", [&] {
    return Values(source, "pod", {&by_metric, 1}, hints);
  });
  Row("values of pod, metric, limit 100", [&] {
    return Values(source, "pod", {&by_metric, 1}, limited);
  });
  Row("values of pod, metric, group=",
      [&] { return Values(source, "pod", both, hints); });
  Row("values of job, metric", [&] {
    return Values(source, "job", {&by_metric, 1}, hints);
  });
}

void BenchOneMetric(uint32_t series) {
  const std::vector<Labels> all = OneMetric(series);
  fmt::print("## {} series of one metric\n\n", all.size());
  BenchWriting(all);
  MemoryFileSystem fs;
  auto store = OpenStore(&fs);
  const double begin = CpuSeconds();
  Publish(store.get(), 0, all);
  const BlockInfo info = store->Blocks()[0];
  const auto n = static_cast<double>(all.size());
  fmt::print("published: {:.2f} us/series, index {:.2f} B/series\n",
             (CpuSeconds() - begin) * 1e6 / n,
             static_cast<double>(info.index_bytes) / n);
  SelectHints hints;
  hints.end_ms = kDayMs;
  const int64_t before = AnonymousBytes();
  const auto source = store->Snapshot();
  const std::string pod(all[all.size() / 2].Get("pod"));
  BenchReads(*source, hints, "http_requests_total", "job", "service-7",
             "service-7-", pod);
  fmt::print("\nmemory after the reads: {:+.1f} MB\n",
             static_cast<double>(AnonymousBytes() - before) * 1e-6);
}

void BenchChurn(int64_t days, uint32_t series) {
  MemoryFileSystem fs;
  auto store = OpenStore(&fs);
  double cpu = 0;
  uint64_t total = 0;
  uint64_t bytes = 0;
  std::string pod;
  for (int64_t day = 0; day < days; ++day) {
    const auto all = ChurnDay(day, series / static_cast<uint32_t>(days));
    const double begin = CpuSeconds();
    Publish(store.get(), day, all);
    cpu += CpuSeconds() - begin;
    total += all.size();
    pod = all[all.size() / 2].Get("pod");
  }
  for (const BlockInfo& info : store->Blocks()) bytes += info.index_bytes;
  fmt::print("\n## {} days, {} series\n\n", days, total);
  fmt::print("published: {:.2f} us/series, index {:.2f} B/series\n",
             cpu * 1e6 / static_cast<double>(total),
             static_cast<double>(bytes) / static_cast<double>(total));
  const int64_t before = AnonymousBytes();
  store.reset();
  const double begin = CpuSeconds();
  const int64_t closed = AnonymousBytes();
  store = OpenStore(&fs);
  fmt::print("opened: {:.1f} ms, {:.1f} MB\n", (CpuSeconds() - begin) * 1e3,
             static_cast<double>(AnonymousBytes() - closed) * 1e-6);
  SelectHints hints;
  hints.end_ms = days * kDayMs;
  BenchReads(*store->Snapshot(), hints, "container_metric_07_total", "app",
             "app-7", "app-7-", pod);
  fmt::print("\nmemory after the reads: {:+.1f} MB\n",
             static_cast<double>(AnonymousBytes() - before) * 1e-6);
}

/// --name=number among the arguments.
uint32_t Flag(int argc, char** argv, std::string_view name, uint32_t value) {
  const std::string prefix = fmt::format("--{}=", name);
  for (int i = 1; i < argc; ++i) {
    const std::string_view arg(argv[i]);
    if (arg.starts_with(prefix)) {
      value = static_cast<uint32_t>(
          std::strtoul(argv[i] + prefix.size(), nullptr, 10));
    }
  }
  return value;
}

}  // namespace
}  // namespace varve

int main(int argc, char** argv) {
  using varve::Flag;
  const uint32_t series = Flag(argc, argv, "series", 1000000);
  const uint32_t days = Flag(argc, argv, "days", 30);
  const uint32_t churn = Flag(argc, argv, "churn-series", 5000000);
  if (series > 0) varve::BenchOneMetric(series);
  if (days > 0 && churn > 0) varve::BenchChurn(days, churn);
}
