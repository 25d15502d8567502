#include <cmath>
#include <limits>

#include "query/functions.h"

// Functions of a time in seconds since 1970, UTC.

namespace varve::promql {
namespace {

constexpr uint64_t kDaySeconds = 86400;

/// Go counts time from 1 January of the year -292277022399 in an unsigned
/// number, which wraps for times near the ends of an int64. So does this, since
/// such times come up: they are what an infinite argument becomes.
constexpr uint64_t kSecondsBefore1970 = 9223372028715321600u;
constexpr int64_t kDaysBefore1970 =
    static_cast<int64_t>(kSecondsBefore1970 / kDaySeconds);

struct Date {
  int64_t year = 0;
  int month = 0;  ///< 1..12
  int day = 0;    ///< 1..31
};

int64_t FloorDiv(int64_t a, int64_t b) { return a / b - (a % b < 0 ? 1 : 0); }

bool IsLeap(int64_t year) {
  return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

int DaysInMonth(int64_t year, int month) {
  static constexpr int kDays[] = {31, 28, 31, 30, 31, 30,
                                  31, 31, 30, 31, 30, 31};
  return month == 2 && IsLeap(year) ? 29 : kDays[month - 1];
}

/// The date of a day counted from 1970-01-01. Years are counted from March, so
/// that the leap day is the last one; 400 years have 146,097 days.
Date DateOf(int64_t days) {
  const int64_t shifted = days + 719468;  // From 0000-03-01.
  const int64_t era = FloorDiv(shifted, 146097);
  const int64_t day_of_era = shifted - era * 146097;
  const int64_t year_of_era = (day_of_era - day_of_era / 1460 +
                               day_of_era / 36524 - day_of_era / 146096) /
                              365;
  const int64_t day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int64_t march_month = (5 * day_of_year + 2) / 153;
  Date date;
  date.day = static_cast<int>(day_of_year - (153 * march_month + 2) / 5 + 1);
  date.month =
      static_cast<int>(march_month < 10 ? march_month + 3 : march_month - 9);
  date.year = year_of_era + era * 400 + (date.month <= 2 ? 1 : 0);
  return date;
}

int DayOfYear(const Date& date) {
  int day = date.day;
  for (int month = 1; month < date.month; ++month) {
    day += DaysInMonth(date.year, month);
  }
  return day;
}

/// Whole seconds, cut towards zero; what no int64 can hold becomes the least
/// one, as the conversion of the usual processors has it.
int64_t Seconds(double v) {
  constexpr double kLimit = 9223372036854775808.0;
  return v >= -kLimit && v < kLimit ? static_cast<int64_t>(v)
                                    : std::numeric_limits<int64_t>::min();
}

uint64_t Absolute(int64_t seconds) {
  return static_cast<uint64_t>(seconds) + kSecondsBefore1970;
}

/// Days since 1970-01-01.
int64_t DayAt(int64_t seconds) {
  return static_cast<int64_t>(Absolute(seconds) / kDaySeconds) -
         kDaysBefore1970;
}

Date DateAt(int64_t seconds) { return DateOf(DayAt(seconds)); }

uint64_t SecondOfDay(int64_t seconds) {
  return Absolute(seconds) % kDaySeconds;
}

double DayOfMonth(int64_t s) { return DateAt(s).day; }
double DayOfWeek(int64_t s) {
  const int64_t day = DayAt(s) + 4;  // 1970 began on a Thursday
  return static_cast<double>(day - FloorDiv(day, 7) * 7);
}
double YearDay(int64_t s) { return DayOfYear(DateAt(s)); }
double MonthDays(int64_t s) {
  const Date date = DateAt(s);
  return DaysInMonth(date.year, date.month);
}
double Hour(int64_t s) { return static_cast<double>(SecondOfDay(s) / 3600); }
double Minute(int64_t s) {
  return static_cast<double>(SecondOfDay(s) / 60 % 60);
}
double Month(int64_t s) { return DateAt(s).month; }
double Year(int64_t s) { return static_cast<double>(DateAt(s).year); }

template <double (*F)(int64_t)>
absl::Status Map(const FunctionCall&, Row* row) {
  for (size_t i = 0; i < row->values.size(); ++i) {
    if (row->HasFloat(i)) row->values[i] = F(Seconds(row->values[i]));
  }
  return absl::OkStatus();
}

constexpr FunctionImpl kFunctions[] = {
    {.name = "day_of_month", .row = Map<DayOfMonth>},
    {.name = "day_of_week", .row = Map<DayOfWeek>},
    {.name = "day_of_year", .row = Map<YearDay>},
    {.name = "days_in_month", .row = Map<MonthDays>},
    {.name = "hour", .row = Map<Hour>},
    {.name = "minute", .row = Map<Minute>},
    {.name = "month", .row = Map<Month>},
    {.name = "year", .row = Map<Year>},
};

}  // namespace

std::span<const FunctionImpl> TimeFunctions() { return kFunctions; }

}  // namespace varve::promql
