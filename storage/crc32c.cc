#include "storage/crc32c.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace varve {
namespace internal {
namespace {

constexpr uint32_t kPolynomialReflected = 0x82f63b78;

/// Slicing by four: kTables[k][b] is the CRC of byte b followed by k zeros.
constexpr std::array<std::array<uint32_t, 256>, 4> MakeTables() {
  std::array<std::array<uint32_t, 256>, 4> tables{};
  for (uint32_t b = 0; b < 256; ++b) {
    uint32_t crc = b;
    for (int bit = 0; bit < 8; ++bit) {
      crc = (crc >> 1) ^ ((crc & 1) ? kPolynomialReflected : 0);
    }
    tables[0][b] = crc;
  }
  for (size_t k = 1; k < 4; ++k) {
    for (uint32_t b = 0; b < 256; ++b) {
      const uint32_t crc = tables[k - 1][b];
      tables[k][b] = (crc >> 8) ^ tables[0][crc & 0xff];
    }
  }
  return tables;
}

constexpr auto kTables = MakeTables();

}  // namespace

uint32_t Crc32cTable(std::string_view bytes, uint32_t crc) {
  crc = ~crc;
  const auto* at = reinterpret_cast<const unsigned char*>(bytes.data());
  size_t left = bytes.size();
  for (; left >= 4; at += 4, left -= 4) {
    uint32_t word;
    std::memcpy(&word, at, 4);
    crc ^= word;
    crc = kTables[3][crc & 0xff] ^ kTables[2][(crc >> 8) & 0xff] ^
          kTables[1][(crc >> 16) & 0xff] ^ kTables[0][crc >> 24];
  }
  for (; left > 0; ++at, --left) {
    crc = (crc >> 8) ^ kTables[0][(crc ^ *at) & 0xff];
  }
  return ~crc;
}

#if defined(__x86_64__)

bool Crc32cHasHardware() { return __builtin_cpu_supports("sse4.2") != 0; }

__attribute__((target("sse4.2"))) uint32_t Crc32cHardware(
    std::string_view bytes, uint32_t crc) {
  uint64_t wide = ~crc;
  const char* at = bytes.data();
  size_t left = bytes.size();
  for (; left >= 8; at += 8, left -= 8) {
    uint64_t word;
    std::memcpy(&word, at, 8);
    wide = _mm_crc32_u64(wide, word);
  }
  auto narrow = static_cast<uint32_t>(wide);
  for (; left > 0; ++at, --left) {
    narrow = _mm_crc32_u8(narrow, static_cast<unsigned char>(*at));
  }
  return ~narrow;
}

#else

bool Crc32cHasHardware() { return false; }
uint32_t Crc32cHardware(std::string_view bytes, uint32_t crc) {
  return Crc32cTable(bytes, crc);
}

#endif

}  // namespace internal

uint32_t Crc32c(std::string_view bytes, uint32_t crc) {
  static const bool hardware = internal::Crc32cHasHardware();
  return hardware ? internal::Crc32cHardware(bytes, crc)
                  : internal::Crc32cTable(bytes, crc);
}

}  // namespace varve
