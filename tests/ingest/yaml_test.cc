#include "ingest/yaml.h"

#include <gtest/gtest.h>

#include "storage/status_macros.h"

namespace varve {
namespace {

TEST(Yaml, KeepsLinesKindsAndQuotes) {
  const auto root = ParseYaml("a: 1\nb:\n- 'x'\n- ~\n- {c: d}\n");
  ASSERT_TRUE(root.ok());
  const YamlNode* b = (*root)->Find("b");
  ASSERT_NE(b, nullptr);
  ASSERT_EQ(b->items.size(), 3u);
  EXPECT_TRUE(b->items[0]->quoted);
  EXPECT_EQ(b->items[0]->line, 3);
  EXPECT_EQ(b->items[1]->kind, YamlNode::Kind::kNull);
  EXPECT_EQ(b->items[2]->Find("c")->scalar, "d");
  EXPECT_EQ((*root)->Find("z"), nullptr);
}

TEST(Yaml, QuotedTextReadsBack) {
  for (const char* text :
       {"",    "a",         "yes",        "1.5",      "null",   "x: y",
        "- a", "a #b",      "it's",       "<secret>", "\n",     "é",
        "{a}", "a:",        "2001-01-01", "0x1f",     "*",      "tab\there",
        "$1",  "(.+);(.*)", "\"q\"",      " lead",    "trail ", "=",
        "!x",  "~"}) {
    const auto root = ParseYaml("k: " + YamlQuote(text) + "\n");
    ASSERT_TRUE(root.ok()) << text << ": " << Message(root.status());
    const YamlNode* k = (*root)->Find("k");
    ASSERT_EQ(k->kind, YamlNode::Kind::kScalar) << text;
    EXPECT_EQ(k->scalar, text);
  }
}

TEST(Yaml, QuotesWhatIsNoStringAndLittleElse) {
  for (const char* text : {"127.0.0.1:9090", "localhost:9090", "1.2.3.4", "a-b",
                           "$1", "/metrics", "15s", "(.*)"}) {
    EXPECT_EQ(YamlQuote(text), text);
  }
  for (const char* text : {"1", "-1.5", "1e3", "0x1f", "12:30", "2001-01-01",
                           "yes", "Null", ".5", "1_000"}) {
    EXPECT_EQ(YamlQuote(text), "\"" + std::string(text) + "\"");
  }
}

TEST(Yaml, MergeWorkIsBounded) {
  std::string text = "a: &a {";
  for (int i = 0; i < 1000; ++i) text += "k" + std::to_string(i) + ": 1, ";
  text += "}\nb: {<<: [";
  for (int i = 0; i < 5000; ++i) text += "*a,";
  text += "]}\n";
  const auto root = ParseYaml(text);
  EXPECT_FALSE(root.ok());
}

}  // namespace
}  // namespace varve
