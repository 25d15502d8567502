#include "api/json_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "storage/check.h"

namespace varve {
namespace {

constexpr char kHex[] = "0123456789abcdef";

void AppendInt(std::string* out, int64_t value) {
  char buffer[24];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), value).ptr;
  out->append(buffer, static_cast<size_t>(end - buffer));
}

void AppendUnicodeEscape(std::string* out, unsigned char c) {
  out->append("\\u00");
  out->push_back(kHex[c >> 4]);
  out->push_back(kHex[c & 15]);
}

// Writes what may not stand bare in any JSON string. False when c may.
bool AppendCommonEscape(std::string* out, unsigned char c) {
  switch (c) {
    case '"':
      out->append("\\\"");
      return true;
    case '\\':
      out->append("\\\\");
      return true;
    case '\n':
      out->append("\\n");
      return true;
    case '\r':
      out->append("\\r");
      return true;
    case '\t':
      out->append("\\t");
      return true;
    default:
      return false;
  }
}

// Length of the well-formed UTF-8 sequence at the front of `text`; 0 if none.
size_t Utf8Length(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  size_t length = 1;
  if (lead >= 0xf0) {
    length = 4;
  } else if (lead >= 0xe0) {
    length = 3;
  } else if (lead >= 0x80) {
    length = 2;
  }
  if (length > text.size()) return 0;
  return IsValidUtf8(text.substr(0, length)) ? length : 0;
}

// Appends the character at the front of `text`, which is not ASCII; returns
// how many bytes it took.
size_t AppendWideCharacter(std::string* out, std::string_view text) {
  const size_t length = Utf8Length(text);
  if (length == 0) {
    out->append("\\ufffd");
    return 1;
  }
  const std::string_view character = text.substr(0, length);
  if (character == "\xe2\x80\xa8") {
    out->append("\\u2028");
  } else if (character == "\xe2\x80\xa9") {
    out->append("\\u2029");
  } else {
    out->append(character);
  }
  return length;
}

bool NeedsNoEscape(unsigned char c) {
  return c >= 0x20 && c < 0x80 && c != '"' && c != '\\' && c != '<' &&
         c != '>' && c != '&';
}

// ------------------------------------------------------------------ numbers

// i / scale with three or six decimals, trailing zeros cut. REQUIRES: i > 0.
void AppendDecimal(std::string* out, uint64_t i, uint64_t scale) {
  AppendInt(out, static_cast<int64_t>(i / scale));
  uint64_t rest = i % scale;
  if (rest == 0) return;
  char digits[8];
  size_t length = 0;
  for (uint64_t s = scale / 10; s != 0 && rest != 0; s /= 10) {
    digits[length++] = static_cast<char>('0' + rest / s);
    rest %= s;
  }
  out->push_back('.');
  out->append(digits, length);
}

// Most values of real data are short decimals. When i < 10^15 and i / scale
// gives v back, i / scale is v's shortest form: decimals of at most 15 digits
// map to distinct doubles. bench/json_bench: 9 ns against 47 of to_chars.
bool TryAppendDecimal(std::string* out, double v) {
  const double a = std::fabs(v);
  if (!(a < 1e9 && a >= 1e-6)) return false;
  for (const double scale : {1e3, 1e6}) {
    const double scaled = a * scale;
    const double rounded = std::nearbyint(scaled);
    if (rounded / scale != a) continue;
    if (v < 0) out->push_back('-');
    AppendDecimal(out, static_cast<uint64_t>(rounded),
                  static_cast<uint64_t>(scale));
    return true;
  }
  return false;
}

bool TryAppendInteger(std::string* out, double v) {
  if (!(std::fabs(v) < 9007199254740992.0)) return false;  // 2^53; also NaN
  const auto i = static_cast<int64_t>(v);
  if (static_cast<double>(i) != v || (i == 0 && std::signbit(v))) return false;
  AppendInt(out, i);
  return true;
}

// Integers of 2^53 and above: the shortest digits, then zeros, where to_chars
// in fixed form would print the exact value.
void AppendLargeInteger(std::string* out, double v) {
  char buffer[40];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), v,
                                 std::chars_format::scientific)
                       .ptr;
  const std::string_view text(buffer, static_cast<size_t>(end - buffer));
  const size_t e = text.find('e');
  int exponent = 0;
  std::from_chars(text.data() + e + 2, end, exponent);
  for (const char c : text.substr(0, e)) {
    if (c == '.') continue;
    out->push_back(c);
    if (c != '-') --exponent;
  }
  out->append(static_cast<size_t>(exponent + 1), '0');
}

void AppendShortest(std::string* out, double v) {
  const double a = std::fabs(v);
  const bool fixed = a == 0 || (a >= 1e-6 && a < 1e21);
  if (fixed && a >= 9007199254740992.0) return AppendLargeInteger(out, v);
  char buffer[40];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), v,
                                 fixed ? std::chars_format::fixed
                                       : std::chars_format::scientific)
                       .ptr;
  out->append(buffer, static_cast<size_t>(end - buffer));
}

// --------------------------------------------------------------- histograms

// 2^(part/256 - 1), part in [0, 256): the product of nested square roots, from
// the largest factor down. Not correctly rounded, on purpose: these are the
// very bounds that Prometheus prints and compares with.
double OctavePart(int part) {
  double bound = (part & 128) != 0 ? 1 / std::sqrt(2.0) : 0.5;
  double root = std::sqrt(std::sqrt(2.0));
  for (int bit = 64; bit != 0; bit >>= 1) {
    if ((part & bit) != 0) bound *= root;
    root = std::sqrt(root);
  }
  return bound;
}

// The upper bound of bucket `index` of an exponential schema. The bucket that
// ends at 2^1024 is closed by the largest float64 instead.
double ExponentialBound(int32_t index, int32_t schema) {
  int64_t octave = 0;
  double fraction = 0.5;
  if (schema < 0) {
    octave = static_cast<int64_t>(index) * (1 << -schema);
  } else {
    const int32_t part = index & ((1 << schema) - 1);
    octave = index >> schema;
    fraction = OctavePart(part << (8 - schema));
  }
  if (fraction == 0.5 && octave == 1024) {
    return std::numeric_limits<double>::max();
  }
  return std::ldexp(
      fraction, static_cast<int>(std::clamp<int64_t>(octave + 1, -5000, 5000)));
}

class BucketWriter {
 public:
  BucketWriter(std::string* out, const FloatHistogram& h) : out_(out), h_(h) {}

  void Write() {
    if (h_.schema == kCustomBucketsSchema) {
      WriteCustom();
    } else if (h_.schema >= -4 && h_.schema <= 8) {
      WriteNegative();
      if (h_.zero_count > 0) {
        Bucket(3, -h_.zero_threshold, h_.zero_threshold, h_.zero_count);
      }
      WritePositive();
    }
    if (any_) out_->push_back(']');
  }

 private:
  // The zero bucket takes from those that it overlaps.
  //
  // How a bucket's bounds belong to it: 0 = (l,u], 1 = [l,u), 2 = (l,u),
  // 3 = [l,u].
  void Bucket(int rule, double lower, double upper, double count) {
    if (count == 0) return;
    out_->append(any_ ? ",[" : ",\"buckets\":[[");
    any_ = true;
    AppendInt(out_, rule);
    for (const double v : {lower, upper, count}) {
      out_->append(",\"");
      AppendSampleValue(out_, v);
      out_->push_back('"');
    }
    out_->push_back(']');
  }

  // The index of each bucket, in order.
  static std::vector<int32_t> Indexes(std::span<const HistogramSpan> spans,
                                      size_t buckets) {
    std::vector<int32_t> indexes;
    int64_t at = 0;
    for (const HistogramSpan& span : spans) {
      at += span.offset;
      for (uint32_t i = 0; i < span.length && indexes.size() < buckets; ++i) {
        indexes.push_back(static_cast<int32_t>(at++));
      }
    }
    return indexes;
  }

  void WriteNegative() {
    const auto indexes = Indexes(h_.negative_spans, h_.negative_buckets.size());
    for (size_t i = indexes.size(); i-- > 0;) {
      Bucket(1, -ExponentialBound(indexes[i], h_.schema),
             std::min(-ExponentialBound(indexes[i] - 1, h_.schema),
                      -h_.zero_threshold),
             h_.negative_buckets[i]);
    }
  }

  void WritePositive() {
    const auto indexes = Indexes(h_.positive_spans, h_.positive_buckets.size());
    for (size_t i = 0; i < indexes.size(); ++i) {
      Bucket(0,
             std::max(ExponentialBound(indexes[i] - 1, h_.schema),
                      h_.zero_threshold),
             ExponentialBound(indexes[i], h_.schema), h_.positive_buckets[i]);
    }
  }

  double CustomBound(int64_t index) const {
    constexpr double kInf = std::numeric_limits<double>::infinity();
    if (index < 0) return -kInf;
    if (static_cast<size_t>(index) >= h_.custom_values.size()) return kInf;
    return h_.custom_values[static_cast<size_t>(index)];
  }

  void WriteCustom() {
    const auto indexes = Indexes(h_.positive_spans, h_.positive_buckets.size());
    for (size_t i = 0; i < indexes.size(); ++i) {
      Bucket(indexes[i] == 0 ? 3 : 0, CustomBound(indexes[i] - 1),
             CustomBound(indexes[i]), h_.positive_buckets[i]);
    }
  }

  std::string* out_;
  const FloatHistogram& h_;
  bool any_ = false;
};

// Days since 1970 to year, month, day (proleptic Gregorian).
struct Date {
  int64_t year;
  int month;
  int day;
};
Date CivilDate(int64_t days) {
  days += 719468;  // from 0000-03-01
  const int64_t era = (days >= 0 ? days : days - 146096) / 146097;
  const int64_t of_era = days - era * 146097;
  const int64_t year_of_era =
      (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
  const int64_t of_year =
      of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int64_t shifted_month = (5 * of_year + 2) / 153;
  const int day = static_cast<int>(of_year - (153 * shifted_month + 2) / 5 + 1);
  const int month = static_cast<int>(shifted_month < 10 ? shifted_month + 3
                                                        : shifted_month - 9);
  return {year_of_era + era * 400 + (month <= 2 ? 1 : 0), month, day};
}

}  // namespace

void AppendJsonString(std::string* out, std::string_view text) {
  out->push_back('"');
  size_t i = 0;
  while (i < text.size()) {
    size_t end = i;
    while (end < text.size() &&
           NeedsNoEscape(static_cast<unsigned char>(text[end]))) {
      ++end;
    }
    out->append(text.substr(i, end - i));
    i = end;
    if (i == text.size()) break;
    const auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x80) {
      i += AppendWideCharacter(out, text.substr(i));
      continue;
    }
    if (c == '\b') {
      out->append("\\b");
    } else if (c == '\f') {
      out->append("\\f");
    } else if (!AppendCommonEscape(out, c)) {
      AppendUnicodeEscape(out, c);
    }
    ++i;
  }
  out->push_back('"');
}

void AppendJsonLabelText(std::string* out, std::string_view text) {
  out->push_back('"');
  size_t clean = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 && c != '"' && c != '\\') continue;
    out->append(text.substr(clean, i - clean));
    clean = i + 1;
    if (!AppendCommonEscape(out, c)) AppendUnicodeEscape(out, c);
  }
  out->append(text.substr(clean));
  out->push_back('"');
}

void AppendJsonLabels(std::string* out, const Labels& labels) {
  out->push_back('{');
  bool first = true;
  for (const LabelView& label : labels) {
    if (!first) out->push_back(',');
    first = false;
    AppendJsonLabelText(out, label.name);
    out->push_back(':');
    AppendJsonLabelText(out, label.value);
  }
  out->push_back('}');
}

void AppendSampleValue(std::string* out, double value) {
  if (TryAppendInteger(out, value)) return;
  if (TryAppendDecimal(out, value)) return;
  if (std::isnan(value)) {
    out->append("NaN");
  } else if (std::isinf(value)) {
    out->append(value > 0 ? "+Inf" : "-Inf");
  } else {
    AppendShortest(out, value);
  }
}

void AppendScalarValue(std::string* out, double value) {
  const double a = std::fabs(value);
  if (a >= 1e21 && std::isfinite(value)) {
    AppendLargeInteger(out, value);
  } else if (a != 0 && a < 1e-6) {
    char buffer[400];  // 1e-324 with 17 digits
    const auto end = std::to_chars(buffer, buffer + sizeof(buffer), value,
                                   std::chars_format::fixed)
                         .ptr;
    out->append(buffer, static_cast<size_t>(end - buffer));
  } else {
    AppendSampleValue(out, value);
  }
}

void AppendJsonNumber(std::string* out, double value) {
  VARVE_CHECK(std::isfinite(value));
  const size_t start = out->size();
  AppendSampleValue(out, value);
  // encoding/json shortens e-09 to e-9, as JavaScript prints it.
  const size_t length = out->size() - start;
  if (length >= 4 && out->compare(out->size() - 4, 3, "e-0") == 0) {
    out->erase(out->size() - 2, 1);
  }
}

void AppendSampleTime(std::string* out, int64_t timestamp_ms) {
  uint64_t ms = static_cast<uint64_t>(timestamp_ms);
  if (timestamp_ms < 0) {
    out->push_back('-');
    ms = 0 - ms;
  }
  char buffer[28];
  char* end = std::to_chars(buffer, buffer + 20, ms / 1000).ptr;
  if (const auto fraction = static_cast<int>(ms % 1000); fraction != 0) {
    *end++ = '.';
    *end++ = static_cast<char>('0' + fraction / 100);
    *end++ = static_cast<char>('0' + fraction / 10 % 10);
    *end++ = static_cast<char>('0' + fraction % 10);
  }
  out->append(buffer, static_cast<size_t>(end - buffer));
}

void AppendJsonHistogram(std::string* out, const FloatHistogram& histogram) {
  out->append("{\"count\":\"");
  AppendSampleValue(out, histogram.count);
  out->append("\",\"sum\":\"");
  AppendSampleValue(out, histogram.sum);
  out->push_back('"');
  BucketWriter(out, histogram).Write();
  out->push_back('}');
}

void AppendJsonTime(std::string* out, int64_t unix_ns) {
  constexpr int64_t kSecond = 1'000'000'000;
  int64_t seconds = unix_ns / kSecond;
  int64_t ns = unix_ns % kSecond;
  if (ns < 0) {
    ns += kSecond;
    --seconds;
  }
  int64_t days = seconds / 86400;
  int64_t of_day = seconds % 86400;
  if (of_day < 0) {
    of_day += 86400;
    --days;
  }
  const Date date = CivilDate(days);
  fmt::format_to(std::back_inserter(*out),
                 "\"{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", date.year, date.month,
                 date.day, of_day / 3600, of_day / 60 % 60, of_day % 60);
  if (ns != 0) {
    const std::string digits = fmt::format("{:09}", ns);
    out->push_back('.');
    out->append(digits, 0, digits.find_last_not_of('0') + 1);
  }
  out->append("Z\"");
}

void JsonWriter::Comma() {
  if (comma_) out_->push_back(',');
  comma_ = true;
}

JsonWriter& JsonWriter::Open(char bracket) {
  Comma();
  out_->push_back(bracket);
  comma_ = false;
  return *this;
}

JsonWriter& JsonWriter::Shut(char bracket) {
  out_->push_back(bracket);
  comma_ = true;
  return *this;
}

JsonWriter& JsonWriter::Key(std::string_view key) {
  Comma();
  AppendJsonString(out_, key);
  out_->push_back(':');
  comma_ = false;
  return *this;
}

JsonWriter& JsonWriter::String(std::string_view text) {
  Comma();
  AppendJsonString(out_, text);
  return *this;
}

JsonWriter& JsonWriter::Int(int64_t value) {
  Comma();
  AppendInt(out_, value);
  return *this;
}

JsonWriter& JsonWriter::Number(double value) {
  Comma();
  AppendJsonNumber(out_, value);
  return *this;
}

JsonWriter& JsonWriter::Bool(bool value) {
  return Raw(value ? "true" : "false");
}

JsonWriter& JsonWriter::Null() { return Raw("null"); }

JsonWriter& JsonWriter::Value(const Labels& labels) {
  Comma();
  AppendJsonLabels(out_, labels);
  return *this;
}

JsonWriter& JsonWriter::Time(int64_t unix_ns) {
  Comma();
  AppendJsonTime(out_, unix_ns);
  return *this;
}

JsonWriter& JsonWriter::Raw(std::string_view json) {
  Comma();
  out_->append(json);
  return *this;
}

}  // namespace varve
