#include "ingest/relabel.h"

#include <gtest/gtest.h>

#include "storage/status_macros.h"

namespace varve {
namespace {

RelabelRules Rules(const std::vector<RelabelConfig>& configs) {
  auto rules = RelabelRules::Create(configs);
  EXPECT_TRUE(rules.ok()) << Message(rules.status());
  return rules.ok() ? *rules : RelabelRules();
}

// The labels after the rules, or "dropped".
std::string After(const Labels& labels,
                  const std::vector<RelabelConfig>& configs) {
  LabelsBuilder builder(labels);
  if (!Rules(configs).Apply(&builder)) return "dropped";
  return builder.Build().ToString();
}

std::string Error(const RelabelConfig& config,
                  NameScheme validation = NameScheme::kUtf8) {
  return std::string(
      Message(RelabelRules::Create({config}, validation).status()));
}

const Labels kBase{{"a", "foo"}, {"b", "bar"}, {"c", "baz"}};

TEST(Relabel, ReplaceExpandsGroups) {
  EXPECT_EQ(After(kBase, {{.source_labels = {"a"},
                           .regex = "f(.*)",
                           .target_label = "d",
                           .replacement = "ch${1}-ch${1}"}}),
            R"({a="foo", b="bar", c="baz", d="choo-choo"})");
  EXPECT_EQ(After(kBase, {{.source_labels = {"a", "b"},
                           .regex = "f(.*);(.*)r",
                           .target_label = "a",
                           .replacement = "b${1}${2}m"}}),
            R"({a="boobam", b="bar", c="baz"})");
  EXPECT_EQ(After(kBase, {{.source_labels = {"a", "b"},
                           .separator = "/",
                           .regex = "(?P<x>[a-z]+)/(?P<y>.*)",
                           .target_label = "${x}_$y",
                           .replacement = "$y$$${x}"}}),
            R"({a="foo", b="bar", c="baz", foo_bar="bar$foo"})");
}

TEST(Relabel, ReplaceTakesTheLongestReferenceName) {
  // `$1x` is the group "1x", which does not exist; so the label goes away.
  EXPECT_EQ(After(kBase, {{.source_labels = {"b"},
                           .target_label = "a",
                           .replacement = "$1x"}}),
            R"({b="bar", c="baz"})");
  EXPECT_EQ(After(kBase, {{.source_labels = {"b"},
                           .target_label = "a",
                           .replacement = "$ ${ $-${1}"}}),
            R"({a="$ ${ $-bar", b="bar", c="baz"})");
}

TEST(Relabel, ReplaceIsAnchoredAndDotMatchesNewline) {
  EXPECT_EQ(After(kBase, {{.source_labels = {"a"},
                           .regex = "o",
                           .target_label = "d",
                           .replacement = "x"}}),
            kBase.ToString());
  EXPECT_EQ(After(Labels{{"a", "x\ny"}},
                  {{.source_labels = {"a"}, .target_label = "b"}}),
            R"({a="x\ny", b="x\ny"})");
  // An alternative must not escape the anchors.
  EXPECT_EQ(After(kBase, {{.source_labels = {"a"},
                           .regex = "fo|oo",
                           .action = RelabelAction::kDrop}}),
            kBase.ToString());
}

TEST(Relabel, ReplaceWithAnEmptyResultDeletes) {
  EXPECT_EQ(After(kBase, {{.source_labels = {"a"},
                           .regex = "f.*",
                           .target_label = "b",
                           .replacement = ""}}),
            R"({a="foo", c="baz"})");
}

TEST(Relabel, ReplaceWithAnInvalidComputedNameDoesNothing) {
  const RelabelConfig config{
      .source_labels = {"a"}, .target_label = "${1}", .replacement = "x"};
  auto legacy = RelabelRules::Create({config}, NameScheme::kLegacy);
  ASSERT_TRUE(legacy.ok());
  LabelsBuilder builder(Labels{{"a", "not-a-name"}});
  EXPECT_TRUE(legacy->Apply(&builder));
  EXPECT_EQ(builder.Build().ToString(), R"({a="not-a-name"})");
  // In UTF-8 mode anything but the empty string is a name.
  EXPECT_EQ(After(Labels{{"a", "not-a-name"}}, {config}),
            R"({a="not-a-name", "not-a-name"="x"})");
  EXPECT_EQ(After(Labels{{"z", "1"}}, {config}), R"({z="1"})");
}

TEST(Relabel, KeepAndDrop) {
  const RelabelConfig keep{
      .source_labels = {"a"}, .regex = "f.*", .action = RelabelAction::kKeep};
  EXPECT_EQ(After(kBase, {keep}), kBase.ToString());
  EXPECT_EQ(After(Labels{{"a", "x"}}, {keep}), "dropped");
  EXPECT_EQ(After(kBase, {{.source_labels = {"a"},
                           .regex = "f.*",
                           .action = RelabelAction::kDrop}}),
            "dropped");
  EXPECT_EQ(After(kBase, {{.source_labels = {"absent"},
                           .regex = "",
                           .action = RelabelAction::kDrop}}),
            "dropped");
}

TEST(Relabel, KeepEqualAndDropEqual) {
  const RelabelConfig keep{.source_labels = {"p"},
                           .target_label = "q",
                           .action = RelabelAction::kKeepEqual};
  RelabelConfig drop = keep;
  drop.action = RelabelAction::kDropEqual;
  const Labels same{{"p", "1"}, {"q", "1"}};
  const Labels other{{"p", "1"}, {"q", "2"}};
  EXPECT_EQ(After(same, {keep}), same.ToString());
  EXPECT_EQ(After(other, {keep}), "dropped");
  EXPECT_EQ(After(same, {drop}), "dropped");
  EXPECT_EQ(After(other, {drop}), other.ToString());
}

TEST(Relabel, HashModIsPrometheus) {
  // Values of Prometheus's own tests, so shards agree across both systems.
  EXPECT_EQ(After(kBase, {{.source_labels = {"c"},
                           .modulus = 1000,
                           .target_label = "d",
                           .action = RelabelAction::kHashMod}}),
            R"({a="foo", b="bar", c="baz", d="976"})");
  EXPECT_EQ(
      After(Labels{{"a", "foo\nbar"}}, {{.source_labels = {"a"},
                                         .modulus = 1000,
                                         .target_label = "b",
                                         .action = RelabelAction::kHashMod}}),
      R"({a="foo\nbar", b="734"})");
}

TEST(Relabel, LabelMapDropKeep) {
  const Labels labels{{"a", "foo"}, {"b1", "bar"}, {"b2", "baz"}};
  EXPECT_EQ(After(labels, {{.regex = "(b.*)",
                            .replacement = "bar_${1}",
                            .action = RelabelAction::kLabelMap}}),
            R"({a="foo", b1="bar", b2="baz", bar_b1="bar", bar_b2="baz"})");
  EXPECT_EQ(
      After(Labels{{"a", "foo"}, {"__meta_my_bar", "aaa"}},
            {{.regex = "__meta_(my.*)", .action = RelabelAction::kLabelMap}}),
      R"({__meta_my_bar="aaa", a="foo", my_bar="aaa"})");
  EXPECT_EQ(
      After(labels, {{.regex = "(b.*)", .action = RelabelAction::kLabelDrop}}),
      R"({a="foo"})");
  EXPECT_EQ(
      After(labels, {{.regex = "(b.*)", .action = RelabelAction::kLabelKeep}}),
      R"({b1="bar", b2="baz"})");
}

TEST(Relabel, CaseOfAllOfUnicode) {
  const Labels labels{{"a", "bAR123Foo Ärger ЖЗ"}};
  EXPECT_EQ(After(labels, {{.source_labels = {"a"},
                            .target_label = "a",
                            .action = RelabelAction::kUppercase}}),
            R"({a="BAR123FOO ÄRGER ЖЗ"})");
  EXPECT_EQ(After(labels, {{.source_labels = {"a"},
                            .target_label = "a",
                            .action = RelabelAction::kLowercase}}),
            R"({a="bar123foo ärger жз"})");
}

TEST(Relabel, RulesRunInOrderAndStopAtADrop) {
  EXPECT_EQ(After(kBase, {{.source_labels = {"a"},
                           .regex = "(foo)",
                           .target_label = "d",
                           .replacement = "${1}d"},
                          {.source_labels = {"d"},
                           .regex = "food",
                           .action = RelabelAction::kDrop},
                          {.source_labels = {"a"}, .target_label = "e"}}),
            "dropped");
}

TEST(Relabel, RefusesWhatPrometheusRefuses) {
  EXPECT_EQ(Error({.action = RelabelAction::kHashMod}),
            "relabel configuration for hashmod requires non-zero modulus");
  EXPECT_EQ(Error({.target_label = ""}),
            "relabel configuration for replace action requires 'target_label' "
            "value");
  EXPECT_EQ(Error({.source_labels = {""}, .target_label = "b"}),
            "\"\" is not a valid label name");
  EXPECT_EQ(Error({.source_labels = {"a"},
                   .target_label = "b",
                   .replacement = "c",
                   .action = RelabelAction::kLowercase}),
            "'replacement' can not be set for lowercase action");
  EXPECT_EQ(Error({.replacement = "", .action = RelabelAction::kLabelMap}),
            "\"\" is invalid 'replacement' for labelmap action");
  EXPECT_EQ(
      Error({.source_labels = {"a"}, .action = RelabelAction::kLabelDrop}),
      "labeldrop action requires only 'regex', and no other fields");
  EXPECT_EQ(Error({.source_labels = {"a"},
                   .regex = "x",
                   .target_label = "b",
                   .action = RelabelAction::kKeepEqual}),
            "keepequal action requires only 'source_labels' and "
            "'target_label', and no other fields");
  EXPECT_EQ(Error({.regex = "a(", .action = RelabelAction::kKeep}),
            "error parsing regexp \"a(\": missing ): a(");
  EXPECT_EQ(Error({.source_labels = {"a"}, .target_label = "a-b"},
                  NameScheme::kLegacy),
            "\"a-b\" is invalid 'target_label' for replace action");
  EXPECT_EQ(Error({.source_labels = {"a"}, .target_label = "a-b"}), "");
  EXPECT_EQ(Error({.source_labels = {"a"}, .target_label = "x_${1}_y"},
                  NameScheme::kLegacy),
            "");
}

TEST(Relabel, KnowsTheActionsByName) {
  RelabelAction action;
  EXPECT_TRUE(ParseRelabelAction("LabelDrop", &action));
  EXPECT_EQ(RelabelActionName(action), "labeldrop");
  EXPECT_FALSE(ParseRelabelAction("", &action));
  EXPECT_FALSE(ParseRelabelAction("foo", &action));
}

}  // namespace
}  // namespace varve
