#include "storage/index_reader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "tests/support/map_index_rows.h"
#include "tests/support/seed.h"

namespace varve {
namespace {

/// A reader beside the label sets it was made of.
class IndexReaderTest : public ::testing::Test {
 protected:
  void Fill(std::vector<Labels> all) {
    std::sort(all.begin(), all.end(), SeriesLess);
    all.erase(std::unique(all.begin(), all.end()), all.end());
    all_ = std::move(all);
    IndexWriter writer;
    for (const Labels& labels : all_) writer.AddSeries(labels);
    auto index =
        IndexReader::Open(std::make_shared<MapIndexRows>(writer.Finish()),
                          static_cast<uint32_t>(all_.size()));
    ASSERT_TRUE(index.ok()) << index.status();
    index_ = *std::move(index);
  }

  Ids Found(std::span<const Matcher> matchers) const {
    Ids ids;
    for (uint32_t id = 0; id < all_.size(); ++id) {
      if (std::all_of(matchers.begin(), matchers.end(), [&](const Matcher& m) {
            return m.Matches(all_[id].Get(m.name()));
          })) {
        ids.push_back(id);
      }
    }
    return ids;
  }

  static std::vector<std::string> Cut(const std::set<std::string>& all,
                                      int64_t limit) {
    std::vector<std::string> out(all.begin(), all.end());
    if (limit > 0 && out.size() > static_cast<size_t>(limit) + 1) {
      out.resize(static_cast<size_t>(limit) + 1);
    }
    return out;
  }

  void Check(std::span<const Matcher> matchers, int64_t limit) const {
    std::string text;
    for (const Matcher& m : matchers) text += m.ToString() + " ";
    QueryContext context;
    const Ids want = Found(matchers);
    EXPECT_EQ(*index_->Select(context, matchers), want) << text;
    std::set<std::string> names;
    std::set<std::string> values;
    for (const uint32_t id : want) {
      for (const LabelView& label : all_[id]) names.emplace(label.name);
      const std::string_view pod = all_[id].Get("pod");
      if (!pod.empty()) values.emplace(pod);
    }
    EXPECT_EQ(*index_->LabelNames(context, matchers, limit), Cut(names, limit))
        << text;
    EXPECT_EQ(*index_->LabelValues(context, "pod", matchers, limit),
              Cut(values, limit))
        << text;
  }

  std::vector<Labels> all_;
  std::shared_ptr<const IndexReader> index_;
};

std::vector<Labels> RandomSeries(std::mt19937_64* random, size_t n) {
  std::vector<Labels> all;
  for (size_t i = 0; i < n; ++i) {
    LabelsBuilder b;
    b.Set("__name__", "m" + std::to_string((*random)() % 4));
    b.Set("job", "j" + std::to_string((*random)() % 10));
    const uint64_t pod = (*random)() % (n / 3 + 1);
    if (pod % 50 != 0) {
      b.Set("pod",
            "app-" + std::to_string(pod % 7) + "-" + std::to_string(pod));
    }
    if ((*random)() % 9 == 0) b.Set("rare", std::string(pod % 3000, 'x') + "y");
    if ((*random)() % 5 == 0) b.Set("id", std::to_string((*random)()));
    all.push_back(b.Build());
  }
  return all;
}

TEST_F(IndexReaderTest, LabelsComeBack) {
  std::mt19937_64 random(TestSeed());
  for (const size_t n : {1, 5, 255, 256, 257, 3000}) {
    Fill(RandomSeries(&random, n));
    SeriesLabels labels(index_);
    for (uint32_t id = 0; id < all_.size(); ++id) {
      ASSERT_EQ(labels.Read(id)->ToString(), all_[id].ToString());
    }
    for (int i = 0; i < 300; ++i) {
      const auto id = static_cast<uint32_t>(random() % all_.size());
      ASSERT_EQ(labels.Read(id)->ToString(), all_[id].ToString());
    }
  }
}

TEST_F(IndexReaderTest, SomeLabelsComeBack) {
  std::mt19937_64 random(TestSeed());
  Fill(RandomSeries(&random, 600));
  const std::vector<std::string> names = {"__name__", "job", "not_there"};
  SeriesLabels labels(index_, names);
  for (uint32_t id = 0; id < all_.size(); ++id) {
    const Labels wanted = LabelsBuilder(all_[id]).Keep(names).Build();
    ASSERT_EQ(labels.Read(id)->ToString(), wanted.ToString());
  }
}

TEST_F(IndexReaderTest, FindsWhatANaiveSearchFinds) {
  std::mt19937_64 random(TestSeed());
  const std::vector<std::string> names = {"__name__", "job",  "pod",
                                          "rare",     "none", "id"};
  const std::vector<std::string> values = {
      "",      "m1",     "j3",         "app-3-10", "j1|j2",  "m1|m9|",
      ".*",    ".+",     "app-3.*",    "app-.*1",  ".*-1.*", "(app-1|app-2).*",
      "j[12]", "app-?3", "(m|n)(1|2)", "x+y",      "[^x].*", ".*9"};
  for (const size_t n : {40, 700, 6000}) {
    Fill(RandomSeries(&random, n));
    Check({}, 0);
    Check({}, 3);
    for (int round = 0; round < 400; ++round) {
      std::vector<Matcher> matchers;
      for (size_t i = 1 + random() % 3; i > 0; --i) {
        matchers.push_back(*Matcher::Create(
            static_cast<MatchType>(random() % 4),
            names[random() % names.size()], values[random() % values.size()]));
      }
      Check(matchers, static_cast<int64_t>(random() % 3 * 5));
    }
  }
}

}  // namespace
}  // namespace varve
