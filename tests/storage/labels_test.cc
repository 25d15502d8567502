#include "storage/labels.h"

#include <gtest/gtest.h>

namespace varve {
namespace {

TEST(Labels, SortsAndDropsEmptyValues) {
  const Labels labels{{"b", "2"}, {"a", "1"}, {"c", ""}};
  EXPECT_EQ(labels.size(), 2u);
  EXPECT_EQ(labels.Get("a"), "1");
  EXPECT_EQ(labels.Get("b"), "2");
  EXPECT_EQ(labels.Get("c"), "");
  EXPECT_EQ(labels.begin()->name, "a");
}

TEST(Labels, PrintsAsPrometheus) {
  EXPECT_EQ(Labels().ToString(), "{}");
  EXPECT_EQ((Labels{{"__name__", "up"}}).ToString(), "up");
  EXPECT_EQ((Labels{{"__name__", "up"}, {"job", "a\"b"}}).ToString(),
            "up{job=\"a\\\"b\"}");
  EXPECT_EQ((Labels{{"my.label", "x"}}).ToString(), "{\"my.label\"=\"x\"}");
  EXPECT_EQ((Labels{{"__name__", "my.metric"}}).ToString(),
            "{__name__=\"my.metric\"}");
}

TEST(Labels, OrdersPairByPair) {
  const Labels a{{"a", "1"}};
  const Labels ab{{"a", "1"}, {"b", "1"}};
  const Labels a2{{"a", "2"}};
  EXPECT_LT(a, ab);
  EXPECT_LT(ab, a2);
  EXPECT_EQ(a, (Labels{{"a", "1"}}));
}

TEST(Labels, SeriesOrderPutsTheMetricFirst) {
  const Labels x{{"A", "1"}, {"__name__", "x"}};
  const Labels y{{"__name__", "y"}};
  const Labels w{{"__name__", "w"}, {"z", "1"}};
  EXPECT_TRUE(SeriesLess(x, y));
  EXPECT_TRUE(SeriesLess(w, x));
  EXPECT_LT(x, w);
}

TEST(LabelsBuilder, SetsDeletesAndKeeps) {
  LabelsBuilder b(Labels{{"a", "1"}, {"b", "2"}, {"c", "3"}});
  b.Set("b", "x").Del("a").Set("d", "4").Set("c", "");
  EXPECT_EQ(b.Build(), (Labels{{"b", "x"}, {"d", "4"}}));
  b.Keep({"d", "nope"});
  EXPECT_EQ(b.Build(), (Labels{{"d", "4"}}));
}

TEST(Utf8, AcceptsOnlyWellFormedText) {
  EXPECT_TRUE(IsValidUtf8("gr\xc3\xbc\xc3\x9f"));
  EXPECT_FALSE(IsValidUtf8("\xc3"));
  EXPECT_FALSE(IsValidUtf8("\xc0\x80"));
  EXPECT_FALSE(IsValidUtf8("\xed\xa0\x80"));
  EXPECT_FALSE(IsValidUtf8("\xf4\x90\x80\x80"));
}

}  // namespace
}  // namespace varve
