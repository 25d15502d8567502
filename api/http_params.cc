#include "api/http_params.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>

#include "api/json_writer.h"

namespace varve {
namespace {

constexpr int64_t kNsPerMs = 1'000'000;
constexpr int64_t kNsPerSecond = 1'000'000'000;

// Go's strconv.ParseFloat for the decimal forms that clients send.
std::optional<double> ParseFloat(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  double value = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value);
  if (end != text.data() + text.size() || text.empty()) return std::nullopt;
  if (error == std::errc::result_out_of_range) return std::nullopt;
  if (error != std::errc()) return std::nullopt;
  return value;
}

// Milliseconds of float seconds, rounded as Prometheus does it: the fraction to
// three decimals, then truncated by way of nanoseconds.
int64_t MsOfSeconds(double seconds) {
  constexpr double kLimit = 1e15;
  if (std::isnan(seconds)) return kApiTimeMin;
  if (seconds > kLimit) return kApiTimeMax;
  if (seconds < -kLimit) return kApiTimeMin;
  double whole = 0;
  const double fraction = std::modf(seconds, &whole);
  const double rounded = std::round(fraction * 1000) / 1000;
  const auto ns = static_cast<int64_t>(rounded * 1e9);
  int64_t ms = ns / kNsPerMs;
  if (ns % kNsPerMs < 0) --ms;
  return static_cast<int64_t>(whole) * 1000 + ms;
}

// Days from 1970-01-01 to a date of the proleptic Gregorian calendar.
int64_t DaysTo(int64_t year, int month, int day) {
  year -= month <= 2 ? 1 : 0;
  const int64_t era = (year >= 0 ? year : year - 399) / 400;
  const int64_t of_era = year - era * 400;
  const int64_t of_year =
      (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year -
         719468;
}

// Reads fixed-width numbers and separators off the front of a text.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}

  int Number(size_t width) {
    int value = 0;
    if (rest_.size() < width) return Fail();
    for (size_t i = 0; i < width; ++i) {
      if (rest_[i] < '0' || rest_[i] > '9') return Fail();
      value = value * 10 + (rest_[i] - '0');
    }
    rest_.remove_prefix(width);
    return value;
  }
  void Expect(char c) {
    if (!Take(c)) Fail();
  }
  bool Take(char c) {
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  /// The milliseconds of ".123456789", rounded down.
  int Fraction() {
    int ms = 0;
    int digits = 0;
    for (; !rest_.empty() && rest_.front() >= '0' && rest_.front() <= '9';
         ++digits) {
      if (digits < 3) ms = ms * 10 + (rest_.front() - '0');
      rest_.remove_prefix(1);
    }
    if (digits == 0) return Fail();
    for (; digits < 3; ++digits) ms *= 10;
    return ms;
  }
  bool ok() const { return ok_; }
  bool done() const { return rest_.empty(); }

 private:
  int Fail() {
    ok_ = false;
    rest_ = {};
    return 0;
  }
  std::string_view rest_;
  bool ok_ = true;
};

int DaysIn(int64_t year, int month) {
  constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  return month == 2 && leap ? 29 : kDays[month - 1];
}

std::optional<int64_t> ParseRfc3339(std::string_view text) {
  Scanner in(text);
  const int year = in.Number(4);
  in.Expect('-');
  const int month = in.Number(2);
  in.Expect('-');
  const int day = in.Number(2);
  in.Expect('T');
  const int hour = in.Number(2);
  in.Expect(':');
  const int minute = in.Number(2);
  in.Expect(':');
  const int second = in.Number(2);
  const int ms = in.Take('.') ? in.Fraction() : 0;
  int offset_minutes = 0;
  if (!in.Take('Z')) {
    const bool west = in.Take('-');
    if (!west) in.Expect('+');
    const int hours = in.Number(2);
    in.Expect(':');
    const int minutes = in.Number(2);
    if (hours > 24 || minutes > 60) return std::nullopt;
    offset_minutes = (hours * 60 + minutes) * (west ? -1 : 1);
  }
  if (!in.ok() || !in.done()) return std::nullopt;
  if (month < 1 || month > 12 || day < 1 || day > DaysIn(year, month) ||
      hour > 23 || minute > 59 || second > 59) {
    return std::nullopt;
  }
  const int64_t minutes =
      (DaysTo(year, month, day) * 24 + hour) * 60 + minute - offset_minutes;
  return (minutes * 60 + second) * 1000 + ms;
}

}  // namespace

absl::StatusOr<int64_t> ParseApiTime(std::string_view text) {
  if (const auto seconds = ParseFloat(text)) return MsOfSeconds(*seconds);
  if (const auto ms = ParseRfc3339(text)) return *ms;
  // What Prometheus's own clients send for "the beginning" and "the end".
  if (text == "-292273086-05-16T16:47:06Z") return kApiTimeMin;
  if (text == "292277025-08-18T07:12:54.999999999Z") return kApiTimeMax;
  return InvalidArgument("cannot parse {} to a valid timestamp", Quote(text));
}

absl::StatusOr<int64_t> ParseApiDuration(std::string_view text) {
  if (const auto seconds = ParseFloat(text)) {
    const double ns = *seconds * static_cast<double>(kNsPerSecond);
    if (!(ns < 9.2233720368547748e18 && ns > -9.2233720368547748e18)) {
      return InvalidArgument(
          "cannot parse {} to a valid duration. It overflows int64",
          Quote(text));
    }
    return static_cast<int64_t>(ns);
  }
  const auto ms = ParseDurationMs(text);
  if (!ms || *ms > INT64_MAX / kNsPerMs) {
    return InvalidArgument("cannot parse {} to a valid duration", Quote(text));
  }
  return *ms * kNsPerMs;
}

absl::Status InvalidParam(std::string_view name, std::string_view text) {
  return InvalidArgument("invalid parameter \"{}\": {}", name, text);
}

absl::StatusOr<int64_t> TimeParam(const WebRequest& request,
                                  std::string_view name, int64_t otherwise) {
  const std::string_view text = request.Param(name);
  if (text.empty()) return otherwise;
  auto time = ParseApiTime(text);
  if (!time.ok()) {
    return InvalidParam(name, fmt::format("invalid time value for '{}': {}",
                                          name, Message(time.status())));
  }
  return time;
}

absl::StatusOr<bool> BoolParam(const WebRequest& request,
                               std::string_view name) {
  const std::string_view text = request.Param(name);
  if (text.empty()) return false;
  for (const std::string_view yes : {"1", "t", "T", "TRUE", "true", "True"}) {
    if (text == yes) return true;
  }
  for (const std::string_view no : {"0", "f", "F", "FALSE", "false", "False"}) {
    if (text == no) return false;
  }
  return InvalidParam(name, fmt::format("unable to parse boolean "
                                        "strconv.ParseBool: parsing {}: "
                                        "invalid syntax",
                                        Quote(text)));
}

absl::StatusOr<int64_t> LimitParam(const WebRequest& request) {
  const std::string_view text = request.Param("limit");
  if (text.empty()) return 0;
  std::string_view digits = text;
  if (digits.starts_with('+')) digits.remove_prefix(1);
  int64_t limit = 0;
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), limit);
  const bool whole = end == digits.data() + digits.size();
  if (whole && error == std::errc::result_out_of_range) {
    return InvalidParam("limit",
                        fmt::format("strconv.Atoi: parsing {}: value out of "
                                    "range",
                                    Quote(text)));
  }
  if (!whole || error != std::errc()) {
    return InvalidParam(
        "limit",
        fmt::format("strconv.Atoi: parsing {}: invalid syntax", Quote(text)));
  }
  if (limit < 0) return InvalidParam("limit", "limit must be non-negative");
  return limit;
}

absl::StatusOr<std::vector<std::vector<Matcher>>> SelectorParams(
    const WebRequest& request) {
  std::vector<std::vector<Matcher>> selectors;
  for (const std::string& text : request.Params("match[]")) {
    VARVE_ASSIGN_OR_RETURN(std::vector<Matcher> matchers, ParseSelector(text));
    selectors.push_back(std::move(matchers));
  }
  for (const auto& matchers : selectors) {
    if (std::all_of(matchers.begin(), matchers.end(),
                    [](const Matcher& m) { return m.MatchesEmpty(); })) {
      return InvalidArgument(
          "match[] must contain at least one non-empty matcher");
    }
  }
  return selectors;
}

namespace {

void AppendUtf8(std::string* out, uint32_t c) {
  if (c < 0x80) {
    out->push_back(static_cast<char>(c));
  } else if (c < 0x800) {
    out->push_back(static_cast<char>(0xc0 | (c >> 6)));
    out->push_back(static_cast<char>(0x80 | (c & 0x3f)));
  } else if (c < 0x10000) {
    out->push_back(static_cast<char>(0xe0 | (c >> 12)));
    out->push_back(static_cast<char>(0x80 | ((c >> 6) & 0x3f)));
    out->push_back(static_cast<char>(0x80 | (c & 0x3f)));
  } else {
    out->push_back(static_cast<char>(0xf0 | (c >> 18)));
    out->push_back(static_cast<char>(0x80 | ((c >> 12) & 0x3f)));
    out->push_back(static_cast<char>(0x80 | ((c >> 6) & 0x3f)));
    out->push_back(static_cast<char>(0x80 | (c & 0x3f)));
  }
}

}  // namespace

std::string UnescapeName(std::string_view name) {
  constexpr std::string_view kPrefix = "U__";
  if (!name.starts_with(kPrefix)) return std::string(name);
  std::string_view rest = name.substr(kPrefix.size());
  std::string out;
  while (!rest.empty()) {
    if (rest[0] != '_') {
      out.push_back(rest[0]);
      rest.remove_prefix(1);
    } else if (rest.starts_with("__")) {
      out.push_back('_');
      rest.remove_prefix(2);
    } else {  // _<hex code point>_
      const size_t end = rest.find('_', 1);
      if (end == std::string_view::npos || end == 1 || end > 7) {
        return std::string(name);
      }
      uint32_t code = 0;
      const auto [at, error] =
          std::from_chars(rest.data() + 1, rest.data() + end, code, 16);
      const bool surrogate = code >= 0xd800 && code < 0xe000;
      if (error != std::errc() || at != rest.data() + end || surrogate ||
          code > 0x10ffff) {
        return std::string(name);
      }
      AppendUtf8(&out, code);
      rest.remove_prefix(end + 1);
    }
  }
  return out;
}

ApiErrorKind ErrorKindOf(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
      return {"bad_data", 400};
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kResourceExhausted:
      return {"execution", 422};
    case absl::StatusCode::kCancelled:
      return {"canceled", 499};
    case absl::StatusCode::kDeadlineExceeded:
      return {"timeout", 503};
    case absl::StatusCode::kUnavailable:
      return {"unavailable", 503};
    case absl::StatusCode::kNotFound:
      return {"not_found", 404};
    default:
      return {"internal", 500};
  }
}

WebResponse ApiError(ApiErrorKind kind, std::string_view text) {
  WebResponse response;
  response.status = kind.status;
  response.Set("Content-Type", "application/json");
  JsonWriter(&response.body)
      .BeginObject()
      .Field("status", "error")
      .Field("errorType", kind.type)
      .Field("error", text)
      .EndObject();
  return response;
}

WebResponse ApiError(const absl::Status& status) {
  return ApiError(ErrorKindOf(status.code()), Message(status));
}

void AppendApiEnd(std::string* out, const std::vector<std::string>& warnings,
                  const std::vector<std::string>& infos) {
  const auto list = [out](std::string_view name,
                          const std::vector<std::string>& texts) {
    if (texts.empty()) return;
    out->append(name);
    JsonWriter json(out);
    json.BeginArray();
    for (const std::string& text : texts) json.String(text);
    json.EndArray();
  };
  list(",\"warnings\":", warnings);
  list(",\"infos\":", infos);
  out->push_back('}');
}

WebResponse ApiSuccess(std::string_view data,
                       const std::vector<std::string>& warnings) {
  WebResponse response;
  response.Set("Content-Type", "application/json");
  response.body.reserve(data.size() + 64);
  response.body.append("{\"status\":\"success\",\"data\":");
  response.body.append(data);
  AppendApiEnd(&response.body, warnings, {});
  return response;
}

}  // namespace varve
