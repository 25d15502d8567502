#include "storage/coding.h"

#include <gtest/gtest.h>

#include <limits>

namespace varve {
namespace {

TEST(Coding, FixedIntegersAreLittleEndian) {
  std::string out;
  PutFixed16(&out, 0x0102);
  PutFixed32(&out, 0x01020304);
  EXPECT_EQ(out, std::string("\x02\x01\x04\x03\x02\x01"));
  Decoder in(out);
  EXPECT_EQ(in.Fixed16(), 0x0102);
  EXPECT_EQ(in.Fixed32(), 0x01020304u);
  EXPECT_TRUE(in.done());
}

TEST(Coding, VarintsRoundTripAtEveryLength) {
  for (int shift = 0; shift < 64; ++shift) {
    for (const uint64_t v : {uint64_t{1} << shift, (uint64_t{1} << shift) - 1,
                             std::numeric_limits<uint64_t>::max() >> shift}) {
      std::string out;
      PutVarint(&out, v);
      Decoder in(out);
      EXPECT_EQ(in.Varint(), v);
      EXPECT_TRUE(in.done());
      for (size_t n = 0; n < out.size(); ++n) {
        Decoder cut(std::string_view(out).substr(0, n));
        EXPECT_EQ(cut.Varint(), 0u);
        EXPECT_FALSE(cut.ok());
      }
    }
  }
}

TEST(Coding, ZigZagKeepsSmallMagnitudesSmall) {
  EXPECT_EQ(ZigZag(0), 0u);
  EXPECT_EQ(ZigZag(-1), 1u);
  EXPECT_EQ(ZigZag(1), 2u);
  for (const int64_t v : {std::numeric_limits<int64_t>::min(), int64_t{-7},
                          std::numeric_limits<int64_t>::max()}) {
    EXPECT_EQ(UnZigZag(ZigZag(v)), v);
  }
}

TEST(Decoder, RefusesAVarintThatIsTooLong) {
  const std::string long_bytes(11, '\x80');
  Decoder eleven(long_bytes);
  eleven.Varint();
  EXPECT_FALSE(eleven.ok());
  const std::string overflow = std::string(9, '\xff') + '\x02';
  Decoder ten(overflow);
  ten.Varint();
  EXPECT_FALSE(ten.ok());
}

TEST(Decoder, FailureIsForGood) {
  const std::string bytes =
      "\x05"
      "ab";
  Decoder in(bytes);
  EXPECT_EQ(in.Text(), "");
  EXPECT_FALSE(in.ok());
  EXPECT_EQ(in.U8(), 0);
  EXPECT_EQ(in.remaining(), 0u);
  EXPECT_FALSE(in.done());
}

TEST(Decoder, HugeLengthsDoNotWrapAround) {
  std::string out;
  PutVarint(&out, std::numeric_limits<uint64_t>::max());
  Decoder in(out);
  EXPECT_EQ(in.Text(), "");
  EXPECT_FALSE(in.ok());
}

TEST(Decoder, VarintAtMostRefusesMore) {
  std::string out;
  PutVarint(&out, 7);
  EXPECT_EQ(Decoder(out).VarintAtMost(7), 7u);
  Decoder in(out);
  in.VarintAtMost(6);
  EXPECT_FALSE(in.ok());
}

}  // namespace
}  // namespace varve
