#include "storage/crc32c.h"

#include <gtest/gtest.h>

#include <string>

namespace varve {
namespace {

// RFC 3720, appendix B.4.
TEST(Crc32c, GivesTheKnownVectors) {
  std::string ascending;
  std::string descending;
  for (int i = 0; i < 32; ++i) {
    ascending.push_back(static_cast<char>(i));
    descending.push_back(static_cast<char>(31 - i));
  }
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(Crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(Crc32c(ascending), 0x46dd794eu);
  EXPECT_EQ(Crc32c(descending), 0x113fdb5cu);
  EXPECT_EQ(Crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(Crc32c(""), 0u);
}

TEST(Crc32c, TableEqualsHardwareAtEveryLengthAndOffset) {
  if (!internal::Crc32cHasHardware()) GTEST_SKIP() << "no SSE4.2";
  std::string bytes;
  for (int i = 0; i < 200; ++i) bytes.push_back(static_cast<char>(i * 37));
  for (size_t from = 0; from < 9; ++from) {
    for (size_t size = 0; from + size <= bytes.size(); ++size) {
      const auto part = std::string_view(bytes).substr(from, size);
      ASSERT_EQ(internal::Crc32cTable(part, 7),
                internal::Crc32cHardware(part, 7));
    }
  }
}

TEST(Crc32c, ContinuesOverPieces) {
  const std::string text = "the quick brown fox jumps";
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    const auto view = std::string_view(text);
    EXPECT_EQ(Crc32c(view.substr(cut), Crc32c(view.substr(0, cut))),
              Crc32c(text));
  }
}

}  // namespace
}  // namespace varve
