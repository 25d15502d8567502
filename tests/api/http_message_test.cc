#include "api/http_message.h"

#include <gtest/gtest.h>
#include <zlib.h>

namespace varve {
namespace {

TEST(PercentDecode, DecodesAndRefuses) {
  EXPECT_EQ(PercentDecode("a%2Fb+c", false), "a/b+c");
  EXPECT_EQ(PercentDecode("a%2fb+c", true), "a/b c");
  EXPECT_EQ(PercentDecode("%zz", true), std::nullopt);
  EXPECT_EQ(PercentDecode("%4", true), std::nullopt);
  EXPECT_EQ(PercentDecode("%", true), std::nullopt);
  EXPECT_EQ(PercentDecode("", true), "");
}

TEST(ParseForm, AsGo) {
  HttpPairs pairs;
  std::string error;
  ParseForm("a=1&&b&c=x=y&d=%41+b", &pairs, &error);
  EXPECT_EQ(pairs,
            (HttpPairs{{"a", "1"}, {"b", ""}, {"c", "x=y"}, {"d", "A b"}}));
  EXPECT_EQ(error, "");
  pairs.clear();
  ParseForm("a=%zz&b=1;2&c=3", &pairs, &error);
  EXPECT_EQ(pairs, (HttpPairs{{"c", "3"}}));
  EXPECT_EQ(error, "invalid URL escape \"%zz\"");
}

TEST(WebRequest, FirstValueWinsAndHeadersIgnoreCase) {
  WebRequest r;
  r.params = {{"q", "1"}, {"q", "2"}, {"e", ""}};
  r.headers = {{"Content-Type", "text/plain"}};
  EXPECT_EQ(r.Param("q"), "1");
  EXPECT_EQ(r.Params("q"), (std::vector<std::string>{"1", "2"}));
  EXPECT_TRUE(r.HasParam("e"));
  EXPECT_FALSE(r.HasParam("x"));
  EXPECT_EQ(r.Header("content-TYPE"), "text/plain");
}

TEST(AcceptsGzip, ReadsWeights) {
  EXPECT_TRUE(AcceptsGzip("gzip"));
  EXPECT_TRUE(AcceptsGzip("deflate, GZIP;q=0.5"));
  EXPECT_FALSE(AcceptsGzip("deflate, gzip;q=0"));
  EXPECT_FALSE(AcceptsGzip("gzip; q=0.00"));
  EXPECT_FALSE(AcceptsGzip("zstd"));
  EXPECT_FALSE(AcceptsGzip(""));
}

std::string Gunzip(const std::string& packed) {
  z_stream z = {};
  inflateInit2(&z, 15 + 16);
  std::string in = packed;
  std::string out(1 << 22, '\0');
  z.next_in = reinterpret_cast<Bytef*>(in.data());
  z.avail_in = static_cast<uInt>(in.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(inflate(&z, Z_FINISH), Z_STREAM_END);
  out.resize(out.size() - z.avail_out);
  inflateEnd(&z);
  return out;
}

TEST(GzipStream, PiecesMakeOneBody) {
  GzipStream gzip;
  std::string packed;
  std::string plain;
  for (int i = 0; i < 1000; ++i) {
    const std::string piece = "piece " + std::to_string(i * i) + "\n";
    plain += piece;
    gzip.Append(piece, false, &packed);
  }
  gzip.Append("", true, &packed);
  EXPECT_EQ(Gunzip(packed), plain);
  EXPECT_LT(packed.size(), plain.size() / 2);
}

TEST(HttpDisconnect, TellsOnceAlsoTheLate) {
  HttpDisconnect d;
  int told = 0;
  d.Set([&] { ++told; });
  d.Fire();
  d.Fire();
  EXPECT_EQ(told, 1);
  d.Set([&] { told += 10; });
  EXPECT_EQ(told, 11);
  HttpDisconnect cleared;
  cleared.Set([&] { told = -1; });
  cleared.Clear();
  cleared.Fire();
  EXPECT_EQ(told, 11);
}

}  // namespace
}  // namespace varve
