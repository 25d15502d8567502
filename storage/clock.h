#pragma once

#include <cstdint>

namespace varve {

/// Where time comes from, so that tests can drive it. Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;

  /// Wall-clock time in milliseconds since 1970-01-01 UTC.
  virtual int64_t NowMs() const = 0;
  /// A clock that never steps back, in nanoseconds from an arbitrary origin.
  virtual int64_t MonotonicNs() const = 0;

  /// The machine's clock; lives for ever.
  static Clock* System();
};

}  // namespace varve
