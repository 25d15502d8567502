#include "api/http_params.h"

#include <gtest/gtest.h>

namespace varve {
namespace {

std::string Text(const absl::Status& status) {
  return std::string(Message(status));
}

TEST(ParseApiTime, SecondsAndRfc3339) {
  EXPECT_EQ(*ParseApiTime("10"), 10000);
  EXPECT_EQ(*ParseApiTime("+1.5"), 1500);
  EXPECT_EQ(*ParseApiTime("1.2345"), 1234);
  EXPECT_EQ(*ParseApiTime("-1.05"), -1050);
  EXPECT_EQ(*ParseApiTime("1e3"), 1000000);
  EXPECT_EQ(*ParseApiTime("1435781451.781"), 1435781451781);
  EXPECT_EQ(*ParseApiTime("2015-07-01T20:10:51.781Z"), 1435781451781);
  EXPECT_EQ(*ParseApiTime("2015-07-01T22:10:51.7819+02:00"), 1435781451781);
  EXPECT_EQ(*ParseApiTime("1969-12-31T23:59:59Z"), -1000);
  EXPECT_EQ(*ParseApiTime("2024-02-29T00:00:00Z"), 1709164800000);
  EXPECT_EQ(*ParseApiTime("1e30"), kApiTimeMax);
  EXPECT_EQ(*ParseApiTime("-1e30"), kApiTimeMin);
  EXPECT_EQ(*ParseApiTime("-292273086-05-16T16:47:06Z"), kApiTimeMin);
  for (const char* bad :
       {"", "abc", "1x", "2015-07-01", "2015-02-29T00:00:00Z",
        "2015-07-01T25:00:00Z", "2015-07-01T20:10:51", "2015-07-01T20:10:51.Z",
        "2015-07-01T20:10:51Zx", "2015-07-01T20:10:51+2:00"}) {
    EXPECT_EQ(Text(ParseApiTime(bad).status()),
              fmt::format("cannot parse \"{}\" to a valid timestamp", bad));
  }
}

TEST(ParseApiDuration, SecondsAndUnits) {
  EXPECT_EQ(*ParseApiDuration("1"), 1'000'000'000);
  EXPECT_EQ(*ParseApiDuration("0.001"), 1'000'000);
  EXPECT_EQ(*ParseApiDuration("-1"), -1'000'000'000);
  EXPECT_EQ(*ParseApiDuration("1h30m"), 5400 * int64_t{1'000'000'000});
  EXPECT_EQ(*ParseApiDuration("1ms"), 1'000'000);
  EXPECT_EQ(Text(ParseApiDuration("1x").status()),
            "cannot parse \"1x\" to a valid duration");
  EXPECT_EQ(Text(ParseApiDuration("").status()),
            "cannot parse \"\" to a valid duration");
  EXPECT_EQ(Text(ParseApiDuration("-1s").status()),
            "cannot parse \"-1s\" to a valid duration");
  EXPECT_EQ(Text(ParseApiDuration("9223372037").status()),
            "cannot parse \"9223372037\" to a valid duration. It overflows "
            "int64");
}

TEST(LimitParam, AsGo) {
  WebRequest r;
  EXPECT_EQ(*LimitParam(r), 0);
  const auto with = [&](std::string text) {
    r.params = {{"limit", std::move(text)}};
    return LimitParam(r);
  };
  EXPECT_EQ(*with("3"), 3);
  EXPECT_EQ(Text(with("abc").status()),
            "invalid parameter \"limit\": strconv.Atoi: parsing \"abc\": "
            "invalid syntax");
  EXPECT_EQ(Text(with("99999999999999999999").status()),
            "invalid parameter \"limit\": strconv.Atoi: parsing "
            "\"99999999999999999999\": value out of range");
  EXPECT_EQ(Text(with("-1").status()),
            "invalid parameter \"limit\": limit must be non-negative");
}

TEST(UnescapeName, OnlyWhatIsEscaped) {
  EXPECT_EQ(UnescapeName("U__a_2e_b"), "a.b");
  EXPECT_EQ(UnescapeName("U__a__b"), "a_b");
  EXPECT_EQ(UnescapeName("U___1f30a_"), "\xf0\x9f\x8c\x8a");
  EXPECT_EQ(UnescapeName("U__job"), "job");
  EXPECT_EQ(UnescapeName("job_2e_"), "job_2e_");
  EXPECT_EQ(UnescapeName("U__a_zz_"), "U__a_zz_");
  EXPECT_EQ(UnescapeName("U__a_2e"), "U__a_2e");
  EXPECT_EQ(UnescapeName("U__a_d800_"), "U__a_d800_");
  EXPECT_EQ(UnescapeName("U__a_123456789_"), "U__a_123456789_");
}

TEST(ErrorKindOf, OneTable) {
  EXPECT_EQ(ErrorKindOf(absl::StatusCode::kInvalidArgument).status, 400);
  EXPECT_EQ(ErrorKindOf(absl::StatusCode::kFailedPrecondition).status, 422);
  EXPECT_EQ(ErrorKindOf(absl::StatusCode::kResourceExhausted).type,
            "execution");
  EXPECT_EQ(ErrorKindOf(absl::StatusCode::kCancelled).status, 499);
  EXPECT_EQ(ErrorKindOf(absl::StatusCode::kDeadlineExceeded).type, "timeout");
  EXPECT_EQ(ErrorKindOf(absl::StatusCode::kUnavailable).status, 503);
  EXPECT_EQ(ErrorKindOf(absl::StatusCode::kNotFound).type, "not_found");
  EXPECT_EQ(ErrorKindOf(absl::StatusCode::kInternal).status, 500);
  EXPECT_EQ(ErrorKindOf(absl::StatusCode::kDataLoss).status, 500);
}

}  // namespace
}  // namespace varve
