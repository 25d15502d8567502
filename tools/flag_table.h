#pragma once

#include <span>
#include <string_view>

namespace varve {

enum class FlagKind { kBool, kText, kTexts, kDuration, kNumber, kBytes };
enum class FlagEffect { kWorks, kNone, kRefused };

struct FlagSpec {
  std::string_view name;
  FlagKind kind;
  std::string_view value;  ///< the default
  FlagEffect effect;
  std::string_view help;  ///< with kNone and kRefused: why
};

/// A name of --enable-feature.
struct FeatureSpec {
  std::string_view name;
  std::string_view note;  ///< "" when it works, or is simply always on
};

inline constexpr std::string_view kNoAgent = "there is no agent mode";

/// Every flag of `varve serve`, sorted by name. Defaults are Prometheus's
/// unless the help says otherwise.
std::span<const FlagSpec> FlagTable();

/// The features of Prometheus 3.x, sorted by name.
std::span<const FeatureSpec> FeatureTable();

}  // namespace varve
