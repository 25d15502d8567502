#include <gtest/gtest.h>

#include <random>

#include "storage/db.h"
#include "tests/support/manual_clock.h"
#include "tests/support/memory_file_system.h"
#include "tests/support/seed.h"
#include "tests/support/source_content.h"

namespace varve {
namespace {

constexpr int64_t kMinute = 60'000;
constexpr int64_t kDay = 24 * 60 * kMinute;
constexpr int64_t kStart = int64_t{20'000} * kDay;

/// Random work on a Db beside a map that does the same, with every way to
/// stop and start in between.
class Model {
 public:
  Model(uint64_t seed, int64_t retention_ms) : random_(seed) {
    options_.directory = "/db";
    options_.clock = &clock_;
    options_.background = false;
    options_.window_ms = 60 * kMinute;
    options_.wal_segment_bytes = 4096;
    options_.checkpoint_bytes = 8192;
    options_.retention.time_ms = retention_ms;
    Reopen();
  }

  void Step() {
    const uint64_t dice = random_() % 100;
    if (dice < 70) {
      Append();
    } else if (dice < 78) {
      // Now and then long enough that a day is over.
      const int64_t most = random_() % 4 == 0 ? 600 * kMinute : 30 * kMinute;
      clock_.Advance(static_cast<int64_t>(random_() >> 1) % most);
    } else if (dice < 84) {
      const int64_t before = db_->Stats().compactions;
      ASSERT_TRUE(db_->Maintain().ok());
      compactions_ += db_->Stats().compactions - before;
    } else if (dice < 87) {
      ASSERT_TRUE(db_->Flush().ok());
    } else if (dice < 90) {
      options_.checkpoint_on_close = random_() % 2 == 0;
      seals_ += db_->Stats().seals;
      ASSERT_TRUE(db_->Close().ok());
      db_.reset();
      Reopen();
    } else if (dice < 92) {
      Delete();
    } else if (dice < 94) {
      Clean();
    } else if (dice < 96) {
      seals_ += db_->Stats().seals;
      checkpoints_ += db_->Stats().checkpoints;
      auto image = fs_->KillImage();
      db_.reset();
      fs_ = std::move(image);
      Reopen();
    } else {
      Check();
    }
  }

  void Check() {
    const int64_t oldest = clock_.NowMs() - options_.retention.time_ms;
    int64_t from = oldest - kDay;
    int64_t to = clock_.NowMs() + kDay;
    if (random_() % 2) {
      from =
          oldest + static_cast<int64_t>(random_() % options_.retention.time_ms);
      to = from + static_cast<int64_t>(random_() % (60 * kMinute));
    }
    SourceContent expected;
    for (const auto& [series, samples] : model_) {
      for (auto it = samples.lower_bound(std::max(from, oldest));
           it != samples.end() && it->first <= to; ++it) {
        expected[series][it->first] = it->second;
      }
    }
    const SourceContent found = ReadContent(db_->source(), from, to);
    ASSERT_EQ(found.size(), expected.size());
    for (const auto& [series, samples] : expected) {
      const auto it = found.find(series);
      ASSERT_NE(it, found.end()) << series;
      if (it->second == samples) continue;
      for (const auto& [t, text] : samples) {
        const auto at = it->second.find(t);
        EXPECT_EQ(at == it->second.end() ? "nothing" : at->second, text) << t;
      }
      FAIL() << series << ": " << it->second.size() << " samples instead of "
             << samples.size();
    }
  }

  /// Nothing of a deletion stays behind once all is sealed and cleaned.
  void CheckCleanEnd() {
    ASSERT_TRUE(db_->Flush().ok());
    Delete({{*Matcher::Create(MatchType::kRegex, "i", "1|3")}},
           {std::numeric_limits<int64_t>::min(),
            std::numeric_limits<int64_t>::max()});
    Check();
    Clean();
    EXPECT_EQ(db_->Stats().deletions_pending, 0);
    Check();
  }

  /// Over all lives of the Db.
  int64_t seals() const { return seals_ + db_->Stats().seals; }
  int64_t compactions() const { return compactions_; }
  /// Of the lives that were ended by a kill.
  int64_t checkpoints() const { return checkpoints_; }
  int64_t deletions() const { return deletions_; }
  int64_t cleaned() const { return cleaned_; }

 private:
  void Clean() {
    const int64_t before = db_->Stats().blocks_cleaned;
    ASSERT_TRUE(db_->CleanTombstones().ok());
    cleaned_ += db_->Stats().blocks_cleaned - before;
  }

  void Reopen() {
    options_.fs = fs_.get();
    auto db = Db::Open(options_);
    ASSERT_TRUE(db.ok()) << db.status();
    db_ = std::move(*db);
    EXPECT_EQ(db_->Stats().wal_corruptions, 0);
  }

  Labels RandomSeries() {
    // Series come and go, so that idle ones are collected.
    const auto generation = (clock_.NowMs() - kStart) / (3 * 60 * kMinute);
    return Labels{{"__name__", random_() % 2 ? "m" : "n"},
                  {"i", std::to_string(random_() % 4)},
                  {"generation", std::to_string(generation / 2)}};
  }

  int64_t RandomTime() {
    const int64_t now = clock_.NowMs();
    switch (random_() % 8) {
      case 0:
        return now - static_cast<int64_t>(random_() % (90 * kMinute));
      case 1:
        return now - static_cast<int64_t>(random_() % (8 * 60 * kMinute));
      default:
        return now - static_cast<int64_t>(random_() % 20'000);
    }
  }

  Matcher RandomMatcher() {
    const auto make = [](MatchType type, std::string name, std::string value) {
      auto matcher = Matcher::Create(type, std::move(name), std::move(value));
      EXPECT_TRUE(matcher.ok()) << matcher.status();
      return *matcher;
    };
    switch (random_() % 4) {
      case 0:
        return make(MatchType::kEqual, "__name__", random_() % 2 ? "m" : "n");
      case 1:
        return make(MatchType::kRegex, "i", random_() % 2 ? "1|3" : "[02]");
      case 2:
        return make(MatchType::kNotEqual, "i", "0");
      default:
        return make(MatchType::kEqual, "generation",
                    std::to_string(random_() % 4));
    }
  }

  void Delete() {
    Selectors selectors(1 + random_() % 2);
    for (auto& matchers : selectors) {
      for (uint64_t n = 1 + random_() % 2; n > 0; --n) {
        matchers.push_back(RandomMatcher());
      }
    }
    TimeRange range{std::numeric_limits<int64_t>::min(),
                    std::numeric_limits<int64_t>::max()};
    if (random_() % 4 != 0) range.first_ms = RandomTime();
    if (random_() % 4 != 0) {
      range.last_ms = std::max(range.first_ms, kStart - kDay) +
                      static_cast<int64_t>(random_() % (3 * 60 * kMinute));
    }
    Delete(selectors, range);
  }

  void Delete(const Selectors& selectors, TimeRange range) {
    ASSERT_TRUE(db_->DeleteSeries(selectors, range).ok());
    ++deletions_;
    for (auto& [series, samples] : model_) {
      if (!Selects(selectors, labels_.at(series))) continue;
      std::erase_if(samples, [&](const auto& sample) {
        return sample.first >= range.first_ms && sample.first <= range.last_ms;
      });
    }
    std::erase_if(model_, [](const auto& e) { return e.second.empty(); });
  }

  void Append() {
    auto appender = db_->BeginAppend();
    WriteBatch& batch = appender->batch();
    const bool starts = random_() % 4 == 0;
    struct Wanted {
      std::string series;
      int64_t t;
      std::string text;
    };
    std::vector<Wanted> floats;
    std::vector<Wanted> histograms;
    for (uint64_t n = 1 + random_() % 60; n > 0; --n) {
      const Labels labels = RandomSeries();
      const auto ref = appender->Resolve(labels);
      ASSERT_TRUE(ref.ok()) << ref.status();
      ASSERT_EQ(appender->LabelsOf(*ref), labels);
      labels_[labels.ToString()] = labels;
      const int64_t t = RandomTime();
      const double v = static_cast<double>(random_() % 50) / 4;
      const int64_t start = starts && random_() % 2 ? t - 1000 : 0;
      if (random_() % 10 == 0) {
        FloatHistogram h;
        h.sum = v;
        h.count = 1;
        h.positive_spans = {{1, 1}};
        h.positive_buckets = {1};
        histograms.push_back({labels.ToString(), t, PrintHistogram(h, start)});
        batch.histograms.push_back(
            {*ref, t, start, std::make_shared<const Histogram>(h)});
      } else {
        floats.push_back({labels.ToString(), t, PrintFloat(v, start)});
        batch.Add(*ref, t, v);
        if (starts) batch.start_timestamps.push_back(start);
      }
    }
    const auto result = appender->Commit();
    ASSERT_TRUE(result.ok()) << result.status();
    const int64_t oldest = clock_.NowMs() - options_.retention.time_ms;
    // Floats of a batch are applied before its histograms; the first wins.
    for (const auto* list : {&floats, &histograms}) {
      for (const Wanted& w : *list) {
        if (w.t >= oldest) model_[w.series].try_emplace(w.t, w.text);
      }
    }
  }

  std::mt19937_64 random_;
  ManualClock clock_{kStart};
  DbOptions options_;
  std::unique_ptr<MemoryFileSystem> fs_ = std::make_unique<MemoryFileSystem>();
  std::unique_ptr<Db> db_;
  SourceContent model_;
  int64_t compactions_ = 0;
  int64_t checkpoints_ = 0;
  int64_t seals_ = 0;                     // of lives that have ended
  std::map<std::string, Labels> labels_;  // by their text
  int64_t deletions_ = 0;
  int64_t cleaned_ = 0;
};

TEST(DbModel, EqualsAMap) {
  const uint64_t seed = TestSeed();
  int64_t seals = 0;
  int64_t compactions = 0;
  int64_t checkpoints = 0;
  int64_t deletions = 0;
  int64_t cleaned = 0;
  for (uint64_t round = 0; round < 4; ++round) {
    SCOPED_TRACE(round);
    Model model(seed + round, int64_t{45} * kDay);
    for (int i = 0; i < 250; ++i) {
      model.Step();
      if (HasFatalFailure()) return;
    }
    model.Check();
    seals += model.seals();
    compactions += model.compactions();
    checkpoints += model.checkpoints();
    model.CheckCleanEnd();
    deletions += model.deletions();
    cleaned += model.cleaned();
  }
  EXPECT_GT(seals, 0);
  EXPECT_GT(compactions, 0);
  EXPECT_GT(checkpoints, 0);
  EXPECT_GT(deletions, 0);
  EXPECT_GT(cleaned, 0);
}

TEST(DbModel, EqualsAMapThatForgets) {
  const uint64_t seed = TestSeed();
  for (uint64_t round = 0; round < 3; ++round) {
    SCOPED_TRACE(round);
    Model model(seed + round, 6 * 60 * kMinute);
    for (int i = 0; i < 250; ++i) {
      model.Step();
      if (HasFatalFailure()) return;
    }
    model.Check();
  }
}

}  // namespace
}  // namespace varve
