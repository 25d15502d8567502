#include "storage/labels.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <cstring>

namespace varve {
namespace {

void PutVarint(std::string* out, uint64_t v) {
  while (v >= 0x80) {
    out->push_back(static_cast<char>(v | 0x80));
    v >>= 7;
  }
  out->push_back(static_cast<char>(v));
}

/// The packed string is our own, so the varint is known to be complete.
uint64_t GetVarint(const char** at) {
  uint64_t v = 0;
  for (int shift = 0;; shift += 7) {
    const auto byte = static_cast<unsigned char>(*(*at)++);
    v |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return v;
  }
}

std::string_view GetText(const char** at) {
  const size_t size = GetVarint(at);
  std::string_view text(*at, size);
  *at += size;
  return text;
}

/// Of a text with its length before it.
size_t TextBytes(std::string_view text) {
  size_t bytes = text.size() + 1;
  for (size_t size = text.size(); size >= 0x80; size >>= 7) ++bytes;
  return bytes;
}

/// Writes such a text to memory that has room; gives its end.
char* WriteText(char* at, std::string_view text) {
  size_t size = text.size();
  for (; size >= 0x80; size >>= 7) *at++ = static_cast<char>(size | 0x80);
  *at++ = static_cast<char>(size);
  return std::copy_n(text.data(), text.size(), at);
}

void PutLabel(std::string* out, std::string_view name, std::string_view value) {
  PutVarint(out, name.size());
  out->append(name);
  PutVarint(out, value.size());
  out->append(value);
}

bool IsName(std::string_view name, bool colon) {
  if (name.empty()) return false;
  for (size_t i = 0; i < name.size(); ++i) {
    const char c = name[i];
    const bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                    c == '_' || (colon && c == ':') ||
                    (i > 0 && c >= '0' && c <= '9');
    if (!ok) return false;
  }
  return true;
}

/// Length of the well-formed UTF-8 sequence at `at`, or 0.
size_t Utf8Length(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) {
    return static_cast<unsigned char>(text[at + i]);
  };
  const unsigned char b0 = byte(0);
  if (b0 < 0x80) return 1;
  const size_t length = b0 >= 0xf0 ? 4 : b0 >= 0xe0 ? 3 : 2;
  if (b0 < 0xc2 || b0 > 0xf4 || at + length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  const unsigned char b1 = byte(1);
  if ((b0 == 0xe0 && b1 < 0xa0) || (b0 == 0xed && b1 > 0x9f) ||
      (b0 == 0xf0 && b1 < 0x90) || (b0 == 0xf4 && b1 > 0x8f)) {
    return 0;
  }
  return length;
}

}  // namespace

void Labels::Iterator::Read() {
  if (at_ == end_) return;
  const char* at = at_;
  label_.name = GetText(&at);
  label_.value = GetText(&at);
  next_ = at;
}

Labels::Labels(std::initializer_list<LabelView> labels)
    : Labels(FromUnsorted(std::vector<LabelView>(labels))) {}

Labels Labels::FromUnsorted(std::vector<LabelView> labels) {
  std::stable_sort(
      labels.begin(), labels.end(),
      [](const LabelView& a, const LabelView& b) { return a.name < b.name; });
  Labels out;
  for (size_t i = 0; i < labels.size(); ++i) {
    const bool last =
        i + 1 == labels.size() || labels[i + 1].name != labels[i].name;
    if (last && !labels[i].value.empty()) {
      PutLabel(&out.packed_, labels[i].name, labels[i].value);
    }
  }
  return out;
}

Labels Labels::FromSorted(const std::vector<LabelView>& labels) {
  Labels out;
  size_t bytes = 0;
  for (const LabelView& l : labels) {
    bytes += TextBytes(l.name) + TextBytes(l.value);
  }
  out.packed_.resize(bytes);
  char* at = out.packed_.data();
  for (const LabelView& l : labels) {
    at = WriteText(WriteText(at, l.name), l.value);
  }
  return out;
}

size_t Labels::size() const {
  size_t n = 0;
  for (auto it = begin(); it != end(); ++it) ++n;
  return n;
}

std::string_view Labels::Get(std::string_view name) const {
  for (const LabelView& label : *this) {
    if (label.name == name) return label.value;
    if (label.name > name) break;
  }
  return {};
}

uint64_t Labels::Hash() const {
  return XXH3_64bits(packed_.data(), packed_.size());
}

std::string Labels::ToString() const {
  std::string name;
  std::string list;
  for (const LabelView& label : *this) {
    if (label.name == kMetricName && IsLegacyMetricName(label.value)) {
      name = label.value;
      continue;
    }
    if (!list.empty()) list += ", ";
    list += IsLegacyLabelName(label.name) ? std::string(label.name)
                                          : Quote(label.name);
    list += '=';
    list += Quote(label.value);
  }
  if (!name.empty() && list.empty()) return name;
  return fmt::format("{}{{{}}}", name, list);
}

std::strong_ordering operator<=>(const Labels& a, const Labels& b) {
  auto ia = a.begin();
  auto ib = b.begin();
  for (; ia != a.end() && ib != b.end(); ++ia, ++ib) {
    if (const auto order = *ia <=> *ib; order != 0) return order;
  }
  if (ia == a.end() && ib == b.end()) return std::strong_ordering::equal;
  return ia == a.end() ? std::strong_ordering::less
                       : std::strong_ordering::greater;
}

bool SeriesLess(const Labels& a, const Labels& b) {
  const auto order = a.metric_name() <=> b.metric_name();
  return order != 0 ? order < 0 : a < b;
}

LabelsBuilder::LabelsBuilder(const Labels& base) {
  for (const LabelView& label : base) {
    entries_.emplace_back(label.name, label.value);
  }
}

LabelsBuilder& LabelsBuilder::Set(std::string_view name,
                                  std::string_view value) {
  if (value.empty()) return Del(name);
  auto it = std::lower_bound(
      entries_.begin(), entries_.end(), name,
      [](const auto& entry, std::string_view n) { return entry.first < n; });
  if (it != entries_.end() && it->first == name) {
    it->second = value;
  } else {
    entries_.emplace(it, name, value);
  }
  return *this;
}

LabelsBuilder& LabelsBuilder::Del(std::string_view name) {
  std::erase_if(entries_,
                [&](const auto& entry) { return entry.first == name; });
  return *this;
}

LabelsBuilder& LabelsBuilder::Keep(const std::vector<std::string>& names) {
  std::erase_if(entries_, [&](const auto& entry) {
    return std::find(names.begin(), names.end(), entry.first) == names.end();
  });
  return *this;
}

std::string_view LabelsBuilder::Get(std::string_view name) const {
  for (const auto& [n, v] : entries_) {
    if (n == name) return v;
  }
  return {};
}

Labels LabelsBuilder::Build() const {
  Labels out;
  for (const auto& [name, value] : entries_) {
    PutLabel(&out.packed_, name, value);
  }
  return out;
}

bool IsLegacyMetricName(std::string_view name) { return IsName(name, true); }
bool IsLegacyLabelName(std::string_view name) { return IsName(name, false); }

bool IsValidUtf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    // Nearly all text is ASCII.
    if (at + sizeof(uint64_t) <= text.size()) {
      uint64_t word;
      std::memcpy(&word, text.data() + at, sizeof(word));
      if ((word & 0x8080808080808080) == 0) {
        at += sizeof(word);
        continue;
      }
    }
    const size_t length = Utf8Length(text, at);
    if (length == 0) return false;
    at += length;
  }
  return true;
}

std::string Quote(std::string_view text) {
  std::string out = "\"";
  for (size_t at = 0; at < text.size();) {
    const auto c = static_cast<unsigned char>(text[at]);
    const size_t length = Utf8Length(text, at);
    if (length > 1) {
      out.append(text.substr(at, length));
      at += length;
      continue;
    }
    ++at;
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\a':
        out += "\\a";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\v':
        out += "\\v";
        break;
      default:
        if (c < 0x20 || c >= 0x7f) {
          out += fmt::format("\\x{:02x}", c);
        } else {
          out += static_cast<char>(c);
        }
    }
  }
  out += '"';
  return out;
}

}  // namespace varve
