#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace varve {

/// Builds remote-write messages byte by byte, wrong ones too: nothing is
/// sorted or checked.
class ProtoWriter {
 public:
  ProtoWriter& Varint(uint32_t field, uint64_t value);
  ProtoWriter& ZigZag(uint32_t field, int64_t value);
  ProtoWriter& Double(uint32_t field, double value);
  ProtoWriter& Bytes(uint32_t field, std::string_view bytes);
  ProtoWriter& PackedVarint(uint32_t field,
                            const std::vector<uint64_t>& values);
  ProtoWriter& PackedZigZag(uint32_t field, const std::vector<int64_t>& values);
  ProtoWriter& PackedDouble(uint32_t field, const std::vector<double>& values);
  const std::string& str() const { return bytes_; }

 private:
  void Raw(uint64_t varint);
  std::string bytes_;
};

struct MessageSample {
  int64_t timestamp_ms;
  double value;
};

using MessageLabels = std::vector<std::pair<std::string, std::string>>;

/// The label fields of a TimeSeries.
std::string LabelFields(const MessageLabels& labels);
std::string SampleField(const MessageSample& sample);
/// A TimeSeries; `more` is appended as it is (exemplars, histograms).
std::string TimeSeries(const MessageLabels& labels,
                       const std::vector<MessageSample>& samples,
                       std::string_view more = {});
/// A WriteRequest of these TimeSeries.
std::string WriteMessage(const std::vector<std::string>& series);
/// A Request of remote write 2.0: symbols, then TimeSeries.
std::string WriteMessageV2(const std::vector<std::string>& symbols,
                           const std::vector<std::string>& series);
/// A good integer histogram, of schema 1, with 7 observations.
std::string HistogramMessage(int64_t timestamp_ms);
std::string Snappy(std::string_view message);

}  // namespace varve
