#include "storage/series_order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "tests/support/seed.h"

namespace varve {
namespace {

/// Series in a label index, each label set once.
class SeriesOrderTest : public ::testing::Test {
 protected:
  void Add(const Labels& labels) {
    if (std::find(labels_.begin(), labels_.end(), labels) != labels_.end()) {
      return;
    }
    const auto ref = static_cast<SeriesRef>(labels_.size());
    index_.AddSeries(ref, labels, &ids_.emplace_back(), [] {});
    labels_.push_back(labels);
  }

  void ExpectOrder() {
    const std::vector<std::span<const PairId>> series(ids_.begin(), ids_.end());
    const std::vector<uint32_t> order = SeriesOrder(index_, series);
    std::vector<Labels> got;
    for (const uint32_t at : order) got.push_back(labels_.at(at));
    std::vector<Labels> want = labels_;
    std::sort(want.begin(), want.end(), SeriesLess);
    ASSERT_EQ(got.size(), want.size());
    for (size_t i = 0; i < got.size(); ++i) {
      ASSERT_EQ(got[i].ToString(), want[i].ToString()) << i;
    }
  }

  LabelIndex index_;
  std::vector<Labels> labels_;
  std::vector<std::vector<PairId>> ids_;
};

TEST_F(SeriesOrderTest, FewAndManySeriesOfAnyShape) {
  std::mt19937_64 random(TestSeed());
  ExpectOrder();
  // Names around __name__, some labels absent, some series without a metric.
  const char* const names[] = {"A", "_", "__name__", "__z", "job", "pod", "é"};
  for (const size_t want : {1, 2, 300, 3000}) {
    for (int tries = 0; labels_.size() < want && tries < 20000; ++tries) {
      LabelsBuilder builder;
      for (const char* name : names) {
        if (random() % 3 == 0) continue;
        builder.Set(name, std::to_string(random() % 6));
      }
      if (random() % 4 == 0) builder.Set("id", std::to_string(random()));
      Add(builder.Build());
    }
    ExpectOrder();
  }
}

TEST_F(SeriesOrderTest, OnePairUnderTwoNumbers) {
  // The pair goes with its last series and comes again with another number
  // while the first list is still in use.
  const auto labels = [](int i) {
    return Labels{{"__name__", "m"}, {"a", "x"}, {"b", std::to_string(i)}};
  };
  Add(labels(0));
  std::vector<PairId> unused;
  index_.RemoveSeries(0, ids_[0], &unused);
  for (int i = 1; i < 2000; ++i) Add(labels(i));
  ExpectOrder();
}

}  // namespace
}  // namespace varve
