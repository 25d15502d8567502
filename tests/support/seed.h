#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>

namespace varve {

/// The seed of a random test: VARVE_TEST_SEED when that is set, else a new one.
/// Printed, so that a failure can be repeated.
inline uint64_t TestSeed() {
  const char* given = std::getenv("VARVE_TEST_SEED");
  const uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10)
                                         : std::random_device()();
  std::printf("VARVE_TEST_SEED=%llu\n", static_cast<unsigned long long>(seed));
  return seed;
}

}  // namespace varve
