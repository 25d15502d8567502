#include "tests/support/write_message.h"

#include <snappy.h>

#include <bit>

namespace varve {

void ProtoWriter::Raw(uint64_t varint) {
  for (; varint >= 0x80; varint >>= 7) {
    bytes_.push_back(static_cast<char>(varint | 0x80));
  }
  bytes_.push_back(static_cast<char>(varint));
}

ProtoWriter& ProtoWriter::Varint(uint32_t field, uint64_t value) {
  Raw(field << 3);
  Raw(value);
  return *this;
}

ProtoWriter& ProtoWriter::ZigZag(uint32_t field, int64_t value) {
  return Varint(field, (static_cast<uint64_t>(value) << 1) ^
                           static_cast<uint64_t>(value >> 63));
}

ProtoWriter& ProtoWriter::Double(uint32_t field, double value) {
  Raw(field << 3 | 1);
  const auto bits = std::bit_cast<uint64_t>(value);
  bytes_.append(reinterpret_cast<const char*>(&bits), sizeof(bits));
  return *this;
}

ProtoWriter& ProtoWriter::Bytes(uint32_t field, std::string_view bytes) {
  Raw(field << 3 | 2);
  Raw(bytes.size());
  bytes_.append(bytes);
  return *this;
}

ProtoWriter& ProtoWriter::PackedVarint(uint32_t field,
                                       const std::vector<uint64_t>& values) {
  ProtoWriter packed;
  for (uint64_t v : values) packed.Raw(v);
  return Bytes(field, packed.str());
}

ProtoWriter& ProtoWriter::PackedZigZag(uint32_t field,
                                       const std::vector<int64_t>& values) {
  ProtoWriter packed;
  for (int64_t v : values) {
    packed.Raw((static_cast<uint64_t>(v) << 1) ^
               static_cast<uint64_t>(v >> 63));
  }
  return Bytes(field, packed.bytes_);
}

ProtoWriter& ProtoWriter::PackedDouble(uint32_t field,
                                       const std::vector<double>& values) {
  return Bytes(field, {reinterpret_cast<const char*>(values.data()),
                       values.size() * sizeof(double)});
}

std::string LabelFields(const MessageLabels& labels) {
  ProtoWriter out;
  for (const auto& [name, value] : labels) {
    out.Bytes(1, ProtoWriter().Bytes(1, name).Bytes(2, value).str());
  }
  return out.str();
}

std::string SampleField(const MessageSample& sample) {
  return ProtoWriter()
      .Bytes(2, ProtoWriter()
                    .Double(1, sample.value)
                    .Varint(2, static_cast<uint64_t>(sample.timestamp_ms))
                    .str())
      .str();
}

std::string TimeSeries(const MessageLabels& labels,
                       const std::vector<MessageSample>& samples,
                       std::string_view more) {
  std::string out = LabelFields(labels);
  for (const MessageSample& sample : samples) out += SampleField(sample);
  return out.append(more);
}

std::string WriteMessage(const std::vector<std::string>& series) {
  ProtoWriter out;
  for (const std::string& s : series) out.Bytes(1, s);
  return out.str();
}

std::string WriteMessageV2(const std::vector<std::string>& symbols,
                           const std::vector<std::string>& series) {
  ProtoWriter out;
  for (const std::string& s : symbols) out.Bytes(4, s);
  for (const std::string& s : series) out.Bytes(5, s);
  return out.str();
}

std::string HistogramMessage(int64_t timestamp_ms) {
  const std::string span = ProtoWriter().ZigZag(1, -2).Varint(2, 3).str();
  return ProtoWriter()
      .Varint(1, 7)
      .Double(3, 12.5)
      .ZigZag(4, 1)
      .Double(5, 0.001)
      .Varint(6, 1)
      .Bytes(11, span)
      .PackedZigZag(12, {1, 2, -1})
      .Varint(15, static_cast<uint64_t>(timestamp_ms))
      .str();
}

std::string Snappy(std::string_view message) {
  std::string out;
  snappy::Compress(message.data(), message.size(), &out);
  return out;
}

}  // namespace varve
