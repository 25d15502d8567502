#include "storage/merge_source.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <bit>
#include <map>
#include <random>

#include "tests/support/map_source.h"
#include "tests/support/seed.h"

namespace varve {
namespace {

Histogram MakeHistogram(double sum) {
  FloatHistogram h;
  h.sum = sum;
  return h;
}

/// Everything a source gives, by series and time; checks the order on the way.
using Content = std::map<std::string, std::map<int64_t, std::string>>;

Content Read(const SeriesSource& source, const SelectHints& hints) {
  Content out;
  QueryContext context;
  auto set = source.Select(context, {}, hints);
  EXPECT_TRUE(set.ok());
  Labels last;
  bool first_series = true;
  while (*(*set)->Next()) {
    const Labels labels = (*set)->labels();
    EXPECT_TRUE(first_series || SeriesLess(last, labels));
    first_series = false;
    last = labels;
    auto cursor = (*set)->Cursor();
    SampleColumns batch;
    int64_t last_t = hints.start_ms - 1;
    while (*cursor->Next(&batch)) {
      EXPECT_GT(batch.size(), 0u);
      for (size_t i = 0; i < batch.size(); ++i) {
        EXPECT_GT(batch.timestamps[i], last_t);
        last_t = batch.timestamps[i];
        const bool is_float = batch.kind == SampleColumns::Kind::kFloat;
        out[labels.ToString()][last_t] =
            is_float ? fmt::format("{}", batch.values[i])
                     : fmt::format("h{}", ToFloat(*batch.histograms[i]).sum);
      }
    }
    EXPECT_LE(last_t, hints.end_ms);
  }
  return out;
}

TEST(MergeSource, EqualsOneMapWhereTheFirstSourceWins) {
  std::mt19937_64 random(TestSeed());
  for (int round = 0; round < 60; ++round) {
    const size_t source_count = 1 + random() % 4;
    std::vector<std::shared_ptr<MapSource>> maps;
    Content expected;
    for (size_t s = 0; s < source_count; ++s) {
      maps.push_back(std::make_shared<MapSource>());
      const size_t samples = random() % 900;
      for (size_t i = 0; i < samples; ++i) {
        const Labels labels{{"__name__", random() % 2 ? "m" : "n"},
                            {"i", std::to_string(random() % 3)}};
        const auto t = static_cast<int64_t>(random() % 1500);
        const double v = static_cast<double>(random() % 1000);
        const auto it = maps[s]->series().find(labels);
        if (it != maps[s]->series().end() && it->second.contains(t)) continue;
        const bool histogram = random() % 4 == 0;
        if (histogram) {
          maps[s]->Add(labels, t, MakeHistogram(v));
        } else {
          maps[s]->Add(labels, t, v);
        }
        if (t < 200 || t > 1300) continue;
        expected[labels.ToString()].try_emplace(
            t, fmt::format("{}{}", histogram ? "h" : "", v));
      }
    }
    const auto merged = MakeMergeSource({maps.begin(), maps.end()});
    SelectHints hints;
    hints.start_ms = 200;
    hints.end_ms = 1300;
    EXPECT_EQ(Read(*merged, hints), expected);
  }
}

TEST(MergeSource, MergesNamesAndValuesUpToTheLimit) {
  auto a = std::make_shared<MapSource>();
  auto b = std::make_shared<MapSource>();
  a->Add({{"x", "1"}, {"y", "1"}}, 0, 1);
  b->Add({{"x", "2"}, {"z", "1"}}, 0, 1);
  b->Add({{"x", "1"}, {"z", "1"}}, 0, 1);
  const auto merged = MakeMergeSource({a, b});
  QueryContext context;
  SelectHints hints;
  EXPECT_EQ(*merged->LabelNames(context, {}, hints),
            (std::vector<std::string>{"x", "y", "z"}));
  EXPECT_EQ(*merged->LabelValues(context, "x", {}, hints),
            (std::vector<std::string>{"1", "2"}));
  hints.limit = 1;
  EXPECT_EQ(*merged->LabelNames(context, {}, hints),
            (std::vector<std::string>{"x", "y"}));
}

TEST(MergeSource, OfNothingIsEmpty) {
  const auto merged = MakeMergeSource({});
  QueryContext context;
  auto set = merged->Select(context, {}, {});
  ASSERT_TRUE(set.ok());
  EXPECT_FALSE(*(*set)->Next());
}

}  // namespace
}  // namespace varve
