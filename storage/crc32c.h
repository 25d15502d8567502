#pragma once

#include <cstdint>
#include <string_view>

namespace varve {

/// CRC-32C (Castagnoli, reflected, initial and final inversion), as in iSCSI
/// and most storage formats. `crc` continues the CRC of earlier bytes:
/// Crc32c(a + b) == Crc32c(b, Crc32c(a)). Uses the CPU's instruction when there
/// is one. Thread-safe.
uint32_t Crc32c(std::string_view bytes, uint32_t crc = 0);

namespace internal {
/// The fallback, here so that tests can compare the two.
uint32_t Crc32cTable(std::string_view bytes, uint32_t crc);
/// REQUIRES: Crc32cHasHardware().
uint32_t Crc32cHardware(std::string_view bytes, uint32_t crc);
bool Crc32cHasHardware();
}  // namespace internal

}  // namespace varve
