#include "ingest/discovery.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "storage/status_macros.h"
#include "tests/support/fake_clock.h"
#include "tests/support/test_directory.h"

namespace varve {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

std::string Describe(const std::vector<TargetGroup>& groups) {
  std::string out;
  for (const TargetGroup& group : groups) {
    out += group.source + " " + group.labels.ToString();
    for (const Labels& target : group.targets) out += " " + target.ToString();
    out += "\n";
  }
  return out;
}

std::string Parse(std::string_view text, const std::string& path) {
  const auto groups = ParseTargetFile(text, path);
  return groups.ok() ? Describe(*groups)
                     : std::string(Message(groups.status()));
}

TEST(ParseTargetFile, YamlAndJsonMeanTheSame) {
  const std::string want =
      "t.E:0 {__meta_filepath=\"t.E\", a=\"b\"} {__address__=\"x:1\"} "
      "{__address__=\"y:2\"}\n"
      "t.E:1 {__meta_filepath=\"t.E\"}\n";
  const auto with = [&](const std::string& extension) {
    std::string out = want;
    for (size_t at; (at = out.find("t.E")) != std::string::npos;) {
      out.replace(at, 3, "t." + extension);
    }
    return out;
  };
  EXPECT_EQ(Parse("- targets: [x:1, 'y:2']\n  labels: {a: b}\n- targets: []\n",
                  "t.yml"),
            with("yml"));
  EXPECT_EQ(Parse(R"([{"targets": ["x:1", "y:2"], "labels": {"a": "b"}},
                      {"targets": []}])",
                  "t.json"),
            with("json"));
  EXPECT_EQ(Parse("", "t.yml"), "");
  EXPECT_EQ(Parse("[]", "t.json"), "");
}

TEST(ParseTargetFile, RefusesWithAPlace) {
  EXPECT_EQ(Parse("a: b\n", "t.yml"),
            "t.yml:1: the file must be a list of target groups, not a mapping");
  EXPECT_EQ(Parse("- target: [x]\n", "t.yml"),
            "t.yml:1: unknown field \"target\" in [0]");
  EXPECT_EQ(Parse("- targets: [x]\n  labels: [y]\n", "t.yml"),
            "t.yml:2: labels in [0] must be a mapping of strings, not a list");
  EXPECT_EQ(Parse("- ~\n", "t.yml"),
            "t.yml:1: nil target group item found (index 0)");
  EXPECT_EQ(Parse("{}", "t.json"),
            "t.json: the file must be a list of target groups");
  EXPECT_EQ(Parse(R"([{"target": []}])", "t.json"),
            "t.json: target group 0: has an unknown field \"target\"");
  EXPECT_EQ(Parse(R"([{"targets": [1]}])", "t.json"),
            "t.json: target group 0: targets must be a list of strings");
  EXPECT_EQ(Parse(R"([{"labels": {"": "x"}}])", "t.json"),
            "t.json: target group 0: \"\" is not a valid label name");
  EXPECT_EQ(Parse("[null]", "t.json"),
            "t.json: target group 0: is not an object");
  EXPECT_THAT(Parse("[{", "t.json"), HasSubstr("t.json: "));
  EXPECT_THAT(Parse(std::string(100000, '['), "t.json"), HasSubstr("t.json: "));
}

class FileDiscoveryTest : public testing::Test {
 protected:
  FakeClock clock_;
  TestDirectory directory_;
  const std::string& dir_ = directory_.path();
  std::string log_;

  FileDiscovery Make(std::vector<std::string> files) {
    return FileDiscovery(
        {.files = std::move(files)}, &clock_,
        Logger([this](LogLevel, std::string_view, std::string_view text) {
          log_ = text;
        }));
  }
  void Write(const std::string& name, std::string_view text) {
    WriteTestFile(directory_ / name, text);
  }
};

TEST_F(FileDiscoveryTest, FollowsFilesThatChangeComeAndGo) {
  Write("a.yml", "- targets: [x]\n");
  FileDiscovery discovery = Make({dir_ + "/*.yml"});
  EXPECT_TRUE(discovery.Poll());
  EXPECT_EQ(discovery.Groups().size(), 1u);
  EXPECT_FALSE(discovery.Poll());
  Write("a.yml", "- targets: [x]\n- targets: [y]\n");
  EXPECT_TRUE(discovery.Poll());
  EXPECT_EQ(discovery.Groups().size(), 2u);
  Write("b.yml", "- targets: [z]\n");
  EXPECT_TRUE(discovery.Poll());
  EXPECT_EQ(discovery.Groups().size(), 3u);
  fs::remove(dir_ + "/a.yml");
  EXPECT_TRUE(discovery.Poll());
  EXPECT_EQ(discovery.Groups().size(), 1u);
}

TEST_F(FileDiscoveryTest, ABadFileKeepsItsLastGoodTargets) {
  Write("a.json", R"([{"targets": ["x"]}])");
  FileDiscovery discovery = Make({dir_ + "/a.json"});
  EXPECT_TRUE(discovery.Poll());
  Write("a.json", "[{");
  EXPECT_FALSE(discovery.Poll());
  EXPECT_EQ(discovery.Groups().size(), 1u);
  EXPECT_EQ(discovery.errors(), 1);
  EXPECT_THAT(log_, HasSubstr(dir_ + "/a.json"));
  EXPECT_THAT(log_, HasSubstr("its last good targets stay"));
  EXPECT_FALSE(discovery.Poll());
  EXPECT_EQ(discovery.errors(), 1);  // not again for the same content
  Write("a.json", R"([{"targets": ["y"]}])");
  EXPECT_TRUE(discovery.Poll());
  EXPECT_EQ(discovery.Groups()[0].targets[0].Get("__address__"), "y");
}

TEST_F(FileDiscoveryTest, NoticesASwappedConfigMap) {
  fs::create_directories(dir_ + "/..v1");
  fs::create_directories(dir_ + "/..v2");
  Write("..v1/a.yml", "- targets: [x]\n");
  Write("..v2/a.yml", "- targets: [y]\n");
  fs::create_directory_symlink("..v1", dir_ + "/..data");
  fs::create_symlink("..data/a.yml", dir_ + "/a.yml");
  FileDiscovery discovery = Make({dir_ + "/*.yml"});
  EXPECT_TRUE(discovery.Poll());
  fs::create_directory_symlink("..v2", dir_ + "/tmp");
  fs::rename(dir_ + "/tmp", dir_ + "/..data");
  EXPECT_TRUE(discovery.Poll());
  EXPECT_EQ(discovery.Groups()[0].targets[0].Get("__address__"), "y");
}

}  // namespace
}  // namespace varve
