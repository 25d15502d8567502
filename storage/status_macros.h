#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <fmt/format.h>

#include <string>
#include <utility>

// Returns from the enclosing function when `expr` is not OK.
#define VARVE_RETURN_IF_ERROR(expr)                                            \
  do {                                                                         \
    if (absl::Status varve_status = (expr); !varve_status.ok()) [[unlikely]] { \
      return varve_status;                                                     \
    }                                                                          \
  } while (false)

#define VARVE_CONCAT_(a, b) a##b
#define VARVE_CONCAT(a, b) VARVE_CONCAT_(a, b)

// VARVE_ASSIGN_OR_RETURN(auto x, MakeX()): x is the value, or we return.
#define VARVE_ASSIGN_OR_RETURN(lhs, expr) \
  VARVE_ASSIGN_OR_RETURN_(VARVE_CONCAT(varve_or_, __LINE__), lhs, expr)
#define VARVE_ASSIGN_OR_RETURN_(tmp, lhs, expr) \
  auto tmp = (expr);                            \
  if (!tmp.ok()) [[unlikely]]                   \
    return std::move(tmp).status();             \
  lhs = *std::move(tmp)

namespace varve {

// Statuses with a formatted message. One meaning per code, see ENGINEERING
// conventions in ARCHITECTURE.md: DataLoss = wrong bytes on disk,
// InvalidArgument = bad user input, OutOfRange = sample time not accepted,
// ResourceExhausted = over budget, Unavailable = I/O, retry,
// FailedPrecondition = closed or in use, Internal = our bug.

template <typename... Args>
absl::Status DataLoss(fmt::format_string<Args...> f, Args&&... args) {
  return absl::DataLossError(fmt::format(f, std::forward<Args>(args)...));
}
template <typename... Args>
absl::Status InvalidArgument(fmt::format_string<Args...> f, Args&&... args) {
  return absl::InvalidArgumentError(
      fmt::format(f, std::forward<Args>(args)...));
}
template <typename... Args>
absl::Status OutOfRange(fmt::format_string<Args...> f, Args&&... args) {
  return absl::OutOfRangeError(fmt::format(f, std::forward<Args>(args)...));
}
template <typename... Args>
absl::Status ResourceExhausted(fmt::format_string<Args...> f, Args&&... args) {
  return absl::ResourceExhaustedError(
      fmt::format(f, std::forward<Args>(args)...));
}
template <typename... Args>
absl::Status Unavailable(fmt::format_string<Args...> f, Args&&... args) {
  return absl::UnavailableError(fmt::format(f, std::forward<Args>(args)...));
}
template <typename... Args>
absl::Status FailedPrecondition(fmt::format_string<Args...> f, Args&&... args) {
  return absl::FailedPreconditionError(
      fmt::format(f, std::forward<Args>(args)...));
}
template <typename... Args>
absl::Status NotFound(fmt::format_string<Args...> f, Args&&... args) {
  return absl::NotFoundError(fmt::format(f, std::forward<Args>(args)...));
}
template <typename... Args>
absl::Status Unimplemented(fmt::format_string<Args...> f, Args&&... args) {
  return absl::UnimplementedError(fmt::format(f, std::forward<Args>(args)...));
}
template <typename... Args>
absl::Status Internal(fmt::format_string<Args...> f, Args&&... args) {
  return absl::InternalError(fmt::format(f, std::forward<Args>(args)...));
}

/// The message as the type the rest of varve uses.
inline std::string_view Message(const absl::Status& status) {
  return {status.message().data(), status.message().size()};
}

}  // namespace varve
