// What a sample costs on its way from the request's bytes to the batch.
//
// 12 labels and about 400 raw bytes a series, one sample a series, 2,000 series
// a request. Request/* ends at a store that only counts; Walk, Find and Snappy
// are its parts. Items are samples.

#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <snappy.h>

#include <memory>
#include <string>
#include <vector>

#include "ingest/remote_write.h"
#include "ingest/write_request.h"
#include "tests/support/fake_appender.h"
#include "tests/support/write_message.h"

namespace varve {
namespace {

constexpr int kSeriesPerRequest = 2000;

MessageLabels LabelsOf(int series) {
  const int target = series / 500;
  return {
      {"__name__", fmt::format("http_request_duration_{}_seconds_bucket",
                               series % 500 / 12)},
      {"cluster", "production-eu-west-1"},
      {"container", "checkout-service"},
      {"endpoint", "/api/v1/orders/{id}/items"},
      {"instance", fmt::format("10.{}.{}.17:9090", target / 250, target % 250)},
      {"job", "kubernetes-service-endpoints"},
      {"le", fmt::format("{}.5", series % 12)},
      {"method", "GET"},
      {"namespace", "shop"},
      {"node", fmt::format("ip-10-0-{}-17.eu-west-1.internal", target % 50)},
      {"pod", fmt::format("checkout-service-7d9f8b6c5-{:05x}", target)},
      {"service", "checkout"},
  };
}

std::string Message(int first_series, int64_t timestamp_ms) {
  std::vector<std::string> series;
  for (int i = first_series; i < first_series + kSeriesPerRequest; ++i) {
    series.push_back(TimeSeries(LabelsOf(i), {{timestamp_ms, i * 1.5}}));
  }
  return WriteMessage(series);
}

std::vector<std::string> Requests(int series_total) {
  std::vector<std::string> out;
  for (int i = 0; i < series_total; i += kSeriesPerRequest) {
    out.push_back(Snappy(Message(i, 1700000000000)));
  }
  return out;
}

void SetItems(benchmark::State& state) {
  state.SetItemsProcessed(state.iterations() * kSeriesPerRequest);
}

RemoteWriteOptions OptionsFor(FakeStore* store) {
  RemoteWriteOptions options;
  options.begin_append = [store] { return store->BeginAppend(); };
  return options;
}

/// range(0): distinct series, all known after the first round.
void BM_RequestKnownSeries(benchmark::State& state) {
  const auto requests = Requests(static_cast<int>(state.range(0)));
  FakeStore store;
  store.keep = false;
  RemoteWriter writer(OptionsFor(&store));
  for (const std::string& body : requests) writer.Write("", "", body);
  size_t next = 0;
  for (auto _ : state) {
    const auto result = writer.Write("", "", requests[next]);
    if (result.http_status != 204) state.SkipWithError(result.text.c_str());
    next = (next + 1) % requests.size();
  }
  SetItems(state);
}
BENCHMARK(BM_RequestKnownSeries)->Arg(2000)->Arg(200000);

void BM_RequestNewSeries(benchmark::State& state) {
  const auto requests = Requests(200000);
  FakeStore store;
  store.keep = false;
  RemoteWriter writer(OptionsFor(&store));
  size_t next = 0;
  for (auto _ : state) {
    if (next == 0) {
      state.PauseTiming();
      store.Collect();
      state.ResumeTiming();
    }
    writer.Write("", "", requests[next]);
    next = (next + 1) % requests.size();
  }
  SetItems(state);
}
BENCHMARK(BM_RequestNewSeries);

void BM_Snappy(benchmark::State& state) {
  const std::string body = Snappy(Message(0, 1700000000000));
  std::string out(size_t{4} << 20, '\0');
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        snappy::RawUncompress(body.data(), body.size(), out.data()));
  }
  SetItems(state);
}
BENCHMARK(BM_Snappy);

/// The walk over the wire and the hash of the labels.
void BM_Walk(benchmark::State& state) {
  const std::string message = Message(0, 1700000000000);
  WriteRequest request;
  for (auto _ : state) {
    if (!WalkWriteRequest(message, &request).ok()) state.SkipWithError("bad");
  }
  SetItems(state);
}
BENCHMARK(BM_Walk);

/// range(0): entries in the cache.
void BM_Find(benchmark::State& state) {
  const auto entries = static_cast<int>(state.range(0));
  SeriesCache cache;
  std::vector<SeriesKey> all;
  for (int i = 0; i < entries; ++i) {
    all.push_back(MakeSeriesKey(std::to_string(i)));
    cache.Insert(1, all.back(), static_cast<SeriesRef>(i));
  }
  std::vector<SeriesRef> refs(kSeriesPerRequest);
  size_t at = 0;
  for (auto _ : state) {
    cache.Find(1, std::span(all).subspan(at, kSeriesPerRequest), refs);
    benchmark::DoNotOptimize(refs.data());
    at = (at + kSeriesPerRequest) % (all.size() - kSeriesPerRequest + 1);
  }
  SetItems(state);
}
BENCHMARK(BM_Find)->Arg(20000)->Arg(1000000);

void BM_DecodeLabels(benchmark::State& state) {
  const std::string raw = LabelFields(LabelsOf(7));
  for (auto _ : state) benchmark::DoNotOptimize(DecodeSeriesLabels(raw));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_DecodeLabels);

}  // namespace
}  // namespace varve
