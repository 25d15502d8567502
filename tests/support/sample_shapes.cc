#include "tests/support/sample_shapes.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>

namespace varve {
namespace {

// The distributions are ours, since those of the standard library differ from
// one to the next.
class Dice {
 public:
  explicit Dice(uint64_t seed) : random_(seed) {}

  double Uniform() { return static_cast<double>(random_() >> 11) * 0x1p-53; }
  uint64_t Below(uint64_t n) { return random_() % n; }
  double Normal() {
    const double r = std::sqrt(-2 * std::log(1 - Uniform()));
    return r * std::cos(6.283185307179586 * Uniform());
  }
  double LogNormal(double median, double sigma) {
    return median * std::exp(sigma * Normal());
  }
  double Poisson(double mean) {
    if (mean > 40) {
      return std::max(0.0, std::round(mean + std::sqrt(mean) * Normal()));
    }
    const double limit = std::exp(-mean);
    double count = 0;
    for (double p = Uniform(); p > limit; p *= Uniform()) ++count;
    return count;
  }

 private:
  std::mt19937_64 random_;
};

double Rounded(double v, double power) { return std::round(v * power) / power; }

struct Shape {
  const char* name;
  unsigned share;  // of the series, in 1/100
  /// Makes the series' next value.
  std::function<std::function<double()>(Dice*)> make;
};

std::function<double()> Counter(Dice* dice) {
  const double per_scrape = dice->LogNormal(30, 2.5);
  double v = std::floor(dice->LogNormal(1e5, 2));
  return [=]() mutable { return v += dice->Poisson(per_scrape); };
}
std::function<double()> Bucket(Dice* dice) {
  const double per_scrape = dice->LogNormal(0.5, 2);
  double v = std::floor(dice->LogNormal(1e3, 2));
  return [=]() mutable { return v += dice->Poisson(per_scrape); };
}
std::function<double()> Cpu(Dice* dice) {
  const double power = dice->Below(2) == 0 ? 1e2 : 1e3;
  const double per_scrape = dice->LogNormal(1, 1.5);
  double v = dice->LogNormal(1e5, 1);
  return [=]() mutable {
    v += per_scrape * (0.7 + 0.6 * dice->Uniform());
    return Rounded(v, power);
  };
}
std::function<double()> CpuNanoseconds(Dice* dice) {
  const double per_scrape = dice->LogNormal(0.8, 1);
  double v = dice->LogNormal(1e4, 1);
  return [=]() mutable {
    v += per_scrape * (0.7 + 0.6 * dice->Uniform());
    return Rounded(v, 1e9);
  };
}
std::function<double()> Bytes(Dice* dice) {
  double v = 4096 * std::floor(dice->LogNormal(1e5, 1));
  return [=]() mutable {
    if (dice->Below(2) == 0) {
      v = std::max(0.0, v + 4096 * std::round(64 * dice->Normal()));
    }
    return v;
  };
}
std::function<double()> Gauge(Dice* dice) {
  const double power = dice->Below(3) == 0 ? 1e2 : 1;
  const double step = dice->LogNormal(2, 1);
  double v = dice->LogNormal(100, 1);
  return [=]() mutable {
    if (dice->Below(3) == 0) v = std::max(0.0, v + step * dice->Normal());
    return Rounded(v, power);
  };
}
std::function<double()> Latency(Dice* dice) {
  const double median = dice->LogNormal(0.01, 1);
  return [=] { return Rounded(std::fabs(dice->LogNormal(median, 0.3)), 1e9); };
}
std::function<double()> Sum(Dice* dice) {
  const double per_scrape = dice->LogNormal(3, 1);
  double v = 0;
  return [=]() mutable {
    for (double n = dice->Poisson(per_scrape); n > 0; --n) {
      v += dice->LogNormal(0.05, 0.8);
    }
    return v;
  };
}
/// A sum of short decimals, which is off by some units in the last place.
std::function<double()> DecimalSum(Dice* dice) {
  double v = 0;
  return [=]() mutable {
    for (int i = 0; i < 3; ++i) {
      v += Rounded(dice->LogNormal(0.05, 0.8), 1e3);
    }
    return v;
  };
}
std::function<double()> Clock(Dice* dice) {
  double v = 1.7e9;
  return [=]() mutable {
    v += 15;
    return v - dice->Uniform() * 10;
  };
}
std::function<double()> Ratio(Dice* dice) {
  return [=] { return dice->Uniform(); };
}
std::function<double()> Constant(Dice* dice) {
  const double v = dice->Below(2) == 0
                       ? static_cast<double>(dice->Below(3))
                       : 4096 * std::floor(dice->LogNormal(1e5, 1));
  return [=] { return v; };
}

const Shape kShapes[] = {
    {"constant", 50, Constant},
    {"counter", 12, Counter},
    {"bucket", 14, Bucket},
    {"cpu", 6, Cpu},
    {"cpu-ns", 3, CpuNanoseconds},
    {"bytes", 6, Bytes},
    {"gauge", 4, Gauge},
    {"latency", 2, Latency},
    {"sum", 1, Sum},
    {"decimal-sum", 1, DecimalSum},
    {"clock", 0, Clock},
    {"ratio", 1, Ratio},
};

}  // namespace

std::vector<ShapedSeries> MakeClusterSeries(const ShapeOptions& options) {
  Dice dice(options.seed);
  std::vector<ShapedSeries> out;
  const size_t kinds = std::size(kShapes);
  // Shapes take turns according to their shares, so that few series have all.
  std::vector<double> due(kinds);
  const auto share = [&](size_t k) {
    return options.changing_only && k == 0 ? 0 : kShapes[k].share + 0.2;
  };
  double shares = 0;
  for (size_t k = 0; k < kinds; ++k) shares += share(k);
  while (out.size() < options.series) {
    size_t next = 0;
    for (size_t k = 0; k < kinds; ++k) {
      due[k] += share(k);
      if (due[k] > due[next]) next = k;
    }
    due[next] -= shares;
    ShapedSeries s;
    s.shape = kShapes[next].name;
    const auto value = kShapes[next].make(&dice);
    const int64_t start =
        1'700'000'000'000 + static_cast<int64_t>(dice.Below(15000));
    for (size_t i = 0; i < options.samples; ++i) {
      s.timestamps.push_back(start +
                             static_cast<int64_t>(i) * options.interval_ms +
                             std::llrint(options.jitter_ms * dice.Normal()));
      s.values.push_back(value());
    }
    out.push_back(std::move(s));
  }
  return out;
}

}  // namespace varve
