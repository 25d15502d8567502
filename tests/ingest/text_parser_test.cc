#include "ingest/text_parser.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <set>
#include <vector>

#include "storage/status_macros.h"

namespace varve {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Kind = TextEntry::Kind;

struct Case {
  TextFormat format;
  std::string body;
  bool accepted;
  /// `name{a=b,c=d} value`, one per line, sorted; as Prometheus stored them.
  std::string series;
};

template <size_t N>
std::string Bytes(const char (&text)[N]) {
  return std::string(text, N - 1);
}

// What Prometheus 3.5 answered; see exposition_cases.py.
const std::vector<Case>& Cases() {
  static const std::vector<Case>* cases = [] {
    auto* out = new std::vector<Case>;
#define VARVE_CASE(format, body, accepted, series) \
  out->push_back({format, Bytes(body), accepted, Bytes(series)});
#include "tests/ingest/exposition_cases.inc"
#undef VARVE_CASE
    return out;
  }();
  return *cases;
}

std::string Number(double v) {
  if (std::isnan(v)) return "NaN";
  if (std::isinf(v)) return v < 0 ? "-Inf" : "+Inf";
  return fmt::format("{}", v);
}

std::string Plain(const Labels& labels) {
  std::string out;
  for (const LabelView& label : labels) {
    if (label.name == kMetricName) continue;
    out +=
        fmt::format("{}{}={}", out.empty() ? "" : ",", label.name, label.value);
  }
  return fmt::format("{}{{{}}}", labels.metric_name(), out);
}

/// All series of a body, the first of equal ones, as Prometheus keeps it.
absl::StatusOr<std::string> ReadAll(std::string_view body, TextFormat format) {
  TextParser parser(body, format);
  std::vector<std::string> lines;
  std::set<Labels> seen;
  for (TextEntry entry;;) {
    VARVE_RETURN_IF_ERROR(parser.Next(&entry));
    if (entry.kind == Kind::kEnd) break;
    if (entry.kind != Kind::kSeries) continue;
    VARVE_ASSIGN_OR_RETURN(Labels labels,
                           ParseSeriesText(entry.series, entry.type));
    if (!seen.insert(labels).second) continue;
    lines.push_back(Plain(labels) + " " + Number(entry.value));
  }
  std::sort(lines.begin(), lines.end());
  return fmt::format("{}", fmt::join(lines, "\n"));
}

/// Where we knowingly differ from Prometheus 3.5.
bool IsKnownDifference(const Case& c) {
  // It takes the blank for a part of the metric's name.
  if (c.body == " m 1\n" && c.format == TextFormat::kPrometheus) return true;
  // It stops silently at the NUL byte, and with it loses what follows.
  if (c.body == Bytes("\0m 1\n")) return true;
  if (c.body == Bytes("#a\0b\nm 1\n")) return true;
  // It reads hexadecimal numbers and underscores in "le".
  return c.body.find("0x10p0") != std::string::npos;
}

TEST(TextParserTest, AgreesWithPrometheus) {
  ASSERT_GT(Cases().size(), 200u);
  int differences = 0;
  for (const Case& c : Cases()) {
    auto got = ReadAll(c.body, c.format);
    const bool same = got.ok() == c.accepted && (!got.ok() || *got == c.series);
    if (IsKnownDifference(c)) {
      ++differences;
      EXPECT_FALSE(same) << c.body << " is no difference any more";
      continue;
    }
    EXPECT_TRUE(same) << "body:\n"
                      << c.body << "\nPrometheus: "
                      << (c.accepted ? c.series : "an error") << "\nvarve: "
                      << (got.ok() ? *got : std::string(Message(got.status())));
  }
  EXPECT_EQ(differences, 4);
}

std::string ErrorOf(std::string_view body,
                    TextFormat format = TextFormat::kPrometheus) {
  return std::string(Message(ReadAll(body, format).status()));
}

TEST(TextParserTest, ErrorsNamePlaceAndExpectation) {
  EXPECT_EQ(ErrorOf("a 1\nb{=\"x\"} 1\n"),
            "line 2, column 3: expected a label name, found \"=\\\"x\\\"} 1\"");
  EXPECT_EQ(ErrorOf("a 1\nb x1\n"),
            "line 2, column 3: expected a number, found \"x1\"");
  EXPECT_EQ(ErrorOf("a"),
            "line 1, column 2: expected a value after the series, found the "
            "end");
  EXPECT_EQ(ErrorOf("a{b=\"c"),
            "line 1, column 5: expected a closing quote, found \"\\\"c\"");
  EXPECT_EQ(ErrorOf("# TYPE a b\n"),
            "line 1, column 10: expected a metric type, found \"b\"");
  EXPECT_EQ(ErrorOf("a 1\n", TextFormat::kOpenMetrics),
            "line 2, column 1: expected \"# EOF\" as the last line, found the "
            "end");
  // A newline inside a value counts.
  EXPECT_THAT(ErrorOf("a{b=\"\n\"} 1\nc{\n"), HasSubstr("line 3, column 3"));
}

TEST(TextParserTest, RefusesALabelNameAsMetricName) {
  // Prometheus 3.5 dies of these.
  for (const char* body : {"{m} 1\n", "{m,a=\"b\"} 1\n", "m{b} 1\n"}) {
    EXPECT_THAT(ErrorOf(body), HasSubstr("expected \"=\"")) << body;
    EXPECT_THAT(ErrorOf(body, TextFormat::kOpenMetrics),
                HasSubstr("expected \"=\""))
        << body;
  }
}

struct Line {
  Kind kind;
  std::string family, text;
  FamilyType type;
  bool operator==(const Line&) const = default;
};

std::vector<Line> Metadata(std::string_view body, TextFormat format) {
  TextParser parser(body, format);
  std::vector<Line> out;
  for (TextEntry entry;;) {
    EXPECT_TRUE(parser.Next(&entry).ok());
    if (entry.kind == Kind::kEnd) return out;
    if (entry.kind == Kind::kSeries) continue;
    out.push_back(
        {entry.kind,
         entry.kind == Kind::kComment ? "" : std::string(entry.family),
         entry.kind == Kind::kType ? "" : std::string(entry.text),
         entry.kind == Kind::kType ? entry.type : FamilyType::kUnknown});
  }
}

TEST(TextParserTest, MetadataOfPrometheusText) {
  EXPECT_THAT(
      Metadata("# HELP a  two\\nlines \\\\ \\\"\n# \tTYPE a summary\n"
               "# HELP \"m.\\\"n\" x\n#HELP a b\n# UNIT a b\n# TYPE b untyped",
               TextFormat::kPrometheus),
      ElementsAre(
          Line{Kind::kHelp, "a", " two\nlines \\ \\\"", FamilyType::kUnknown},
          Line{Kind::kType, "a", "", FamilyType::kSummary},
          Line{Kind::kHelp, "m.\"n", "x", FamilyType::kUnknown},
          Line{Kind::kComment, "", "#HELP a b", FamilyType::kUnknown},
          Line{Kind::kComment, "", "# UNIT a b", FamilyType::kUnknown},
          Line{Kind::kType, "b", "", FamilyType::kUnknown}));
}

TEST(TextParserTest, MetadataOfOpenMetrics) {
  EXPECT_THAT(
      Metadata("# HELP a x\\\"y\n# TYPE a_s stateset\n# UNIT a_s s\n# EOF",
               TextFormat::kOpenMetrics),
      ElementsAre(Line{Kind::kHelp, "a", "x\"y", FamilyType::kUnknown},
                  Line{Kind::kType, "a_s", "", FamilyType::kStateset},
                  Line{Kind::kUnit, "a_s", "s", FamilyType::kUnknown}));
}

TextEntry First(std::string_view body, TextFormat format) {
  TextParser parser(body, format);
  TextEntry entry;
  EXPECT_TRUE(parser.Next(&entry).ok());
  return entry;
}

TEST(TextParserTest, Timestamps) {
  EXPECT_EQ(First("m 1 123\n", TextFormat::kPrometheus).timestamp_ms, 123);
  EXPECT_EQ(First("m 1\n", TextFormat::kPrometheus).timestamp_ms, std::nullopt);
  auto om = [](std::string time) {
    return First("m 1 " + time + "\n# EOF\n", TextFormat::kOpenMetrics)
        .timestamp_ms;
  };
  EXPECT_EQ(om("5.5"), 5500);
  EXPECT_EQ(om("-1.0019"), -1001);
  EXPECT_EQ(om("1520879607.789"), 1520879607789);
  EXPECT_EQ(om("1e30"), std::numeric_limits<int64_t>::min());
}

TEST(TextParserTest, ValuesKeepTheirBits) {
  EXPECT_EQ(
      std::bit_cast<uint64_t>(First("m nAn\n", TextFormat::kPrometheus).value),
      kNormalNanBits);
  EXPECT_TRUE(std::signbit(First("m -0\n", TextFormat::kPrometheus).value));
  EXPECT_EQ(First("m 0.1\n", TextFormat::kPrometheus).value, 0.1);
}

TEST(TextParserTest, Exemplars) {
  const std::string body =
      "m{a=\"b\"} 1 2 # {trace=\"x\\n\",a=\"\"} 0.5 7.25\n# EOF\n";
  const TextEntry entry = First(body, TextFormat::kOpenMetrics);
  ASSERT_TRUE(entry.exemplar.has_value());
  EXPECT_EQ(entry.series, "m{a=\"b\"}");
  EXPECT_EQ(entry.timestamp_ms, 2000);
  EXPECT_EQ(entry.exemplar->value, 0.5);
  EXPECT_EQ(entry.exemplar->timestamp_ms, 7250);
  auto labels = ParseExemplarLabels(entry.exemplar->labels);
  ASSERT_TRUE(labels.ok());
  EXPECT_EQ(*labels, (Labels{{"trace", "x\n"}}));
  EXPECT_TRUE(ParseExemplarLabels("{}")->empty());
  EXPECT_FALSE(ParseExemplarLabels("").ok());
  EXPECT_FALSE(ParseExemplarLabels("{a=\"1\",a=\"2\"}").ok());
}

TEST(TextParserTest, TheSeriesViewIsTheRawText) {
  EXPECT_EQ(First("m{ a = \"b\" , } 1\n", TextFormat::kPrometheus).series,
            "m{ a = \"b\" , }");
  EXPECT_EQ(First("m\t1\n", TextFormat::kPrometheus).series, "m");
  EXPECT_EQ(First("m {a=\"b\"}1\n", TextFormat::kPrometheus).series,
            "m {a=\"b\"}");
}

TEST(SeriesTextTest, SortsUnescapesAndChecks) {
  auto labels = ParseSeriesText(R"(m{z="1","a.b"="x\\\"\ny\q",e=""})",
                                FamilyType::kUnknown);
  ASSERT_TRUE(labels.ok());
  EXPECT_EQ(*labels,
            (Labels{{"__name__", "m"}, {"a.b", "x\\\"\ny\\q"}, {"z", "1"}}));
  const auto error = [](std::string_view text,
                        NameScheme scheme = NameScheme::kUtf8) {
    return std::string(
        Message(ParseSeriesText(text, FamilyType::kUnknown, scheme).status()));
  };
  EXPECT_EQ(error("m{a=\"1\",b=\"2\",a=\"3\"}"), "label \"a\" stands twice");
  EXPECT_EQ(error("m{"), "column 3: expected a label name, found the end");
  EXPECT_EQ(error("m 1"),
            "column 2: expected nothing after the series, found \" 1\"");
  EXPECT_EQ(error(""), "column 1: expected a metric name, found the end");
  EXPECT_THAT(error("m{\"a.b\"=\"c\"}", NameScheme::kLegacy),
              HasSubstr("invalid label name \"a.b\""));
  EXPECT_THAT(error("{\"a.b\"}", NameScheme::kLegacy),
              HasSubstr("invalid metric name \"a.b\""));
}

}  // namespace
}  // namespace varve
