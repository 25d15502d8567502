#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "storage/histogram.h"
#include "storage/labels.h"

namespace varve {

// JSON as the Prometheus HTTP API writes it. All functions append to `out`.

/// A quoted string, escaped as Prometheus escapes all texts but labels: also
/// `<`, `>`, `&` and U+2028/9. Bytes that are not UTF-8 become U+FFFD.
void AppendJsonString(std::string* out, std::string_view text);
/// A quoted string, escaped as Prometheus escapes label names and values:
/// only quotes, backslashes and control characters.
void AppendJsonLabelText(std::string* out, std::string_view text);
/// `{"name":"value",...}`
void AppendJsonLabels(std::string* out, const Labels& labels);

/// The digits of a sample value, without quotes: the shortest that give the
/// same float64, fixed for 1e-6 <= |v| < 1e21, else with an exponent of at
/// least two digits; `+Inf`, `-Inf`, `NaN`, `-0`.
void AppendSampleValue(std::string* out, double value);
/// A scalar's digits: as above, but never with an exponent.
void AppendScalarValue(std::string* out, double value);
/// Milliseconds as seconds: `12`, `12.500`, `-0.001`.
void AppendSampleTime(std::string* out, int64_t timestamp_ms);
/// A JSON number as Go's encoding/json gives a float64. REQUIRES: finite.
void AppendJsonNumber(std::string* out, double value);
/// `{"count":"..","sum":"..","buckets":[[rule,"lower","upper","count"],..]}`;
/// empty buckets are left out, and "buckets" too when none is left.
void AppendJsonHistogram(std::string* out, const FloatHistogram& histogram);
/// An RFC 3339 time in UTC with as many decimals as needed, quoted.
void AppendJsonTime(std::string* out, int64_t unix_ns);

/// Builds one JSON value and puts the commas. The caller keeps the order of
/// calls valid. Single-thread.
class JsonWriter {
 public:
  explicit JsonWriter(std::string* out) : out_(out) {}

  JsonWriter& BeginObject() { return Open('{'); }
  JsonWriter& EndObject() { return Shut('}'); }
  JsonWriter& BeginArray() { return Open('['); }
  JsonWriter& EndArray() { return Shut(']'); }
  JsonWriter& Key(std::string_view key);
  JsonWriter& String(std::string_view text);
  JsonWriter& Int(int64_t value);
  JsonWriter& Number(double value);
  JsonWriter& Bool(bool value);
  JsonWriter& Null();
  JsonWriter& Value(const Labels& labels);
  JsonWriter& Time(int64_t unix_ns);
  /// A value that is JSON already.
  JsonWriter& Raw(std::string_view json);

  /// Key and value in one.
  JsonWriter& Field(std::string_view key, std::string_view text) {
    return Key(key).String(text);
  }
  JsonWriter& Field(std::string_view key, int64_t value) {
    return Key(key).Int(value);
  }

 private:
  JsonWriter& Open(char bracket);
  JsonWriter& Shut(char bracket);
  void Comma();

  std::string* out_;
  bool comma_ = false;  // a value stands before the place to write at
};

}  // namespace varve
