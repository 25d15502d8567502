#include "storage/deletion.h"

#include <algorithm>

#include "storage/coding.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

constexpr uint8_t kFormat = 1;

}  // namespace

bool Selects(const Selectors& selectors, const Labels& labels) {
  return std::any_of(
      selectors.begin(), selectors.end(), [&](const auto& matchers) {
        return !matchers.empty() &&
               std::all_of(matchers.begin(), matchers.end(),
                           [&](const Matcher& m) {
                             return m.Matches(labels.Get(m.name()));
                           });
      });
}

std::string EncodeDeletion(const Deletion& deletion) {
  std::string out;
  PutU8(&out, kFormat);
  PutVarint(&out, deletion.wal_segment);
  PutZigZag(&out, deletion.range.first_ms);
  PutZigZag(&out, deletion.range.last_ms);
  PutVarint(&out, deletion.selectors.size());
  for (const auto& matchers : deletion.selectors) {
    PutVarint(&out, matchers.size());
    for (const Matcher& matcher : matchers) {
      PutU8(&out, static_cast<uint8_t>(matcher.type()));
      PutText(&out, matcher.name());
      PutText(&out, matcher.value());
    }
  }
  return out;
}

absl::StatusOr<DeletionPtr> DecodeDeletion(uint64_t number,
                                           std::string_view bytes) {
  const auto malformed = [&] {
    return DataLoss("deletion {}: malformed row", number);
  };
  Decoder in(bytes);
  const uint8_t format = in.U8();
  if (in.ok() && format != kFormat) {
    return Unimplemented("deletion {}: format {}, this varve reads only {}",
                         number, format, kFormat);
  }
  auto out = std::make_shared<Deletion>();
  out->number = number;
  out->wal_segment = in.Varint();
  out->range.first_ms = in.ZigZagVarint();
  out->range.last_ms = in.ZigZagVarint();
  const uint64_t selectors = in.VarintAtMost(in.remaining());
  for (uint64_t s = 0; s < selectors && in.ok(); ++s) {
    auto& matchers = out->selectors.emplace_back();
    const uint64_t count = in.VarintAtMost(in.remaining());
    for (uint64_t m = 0; m < count && in.ok(); ++m) {
      const uint8_t type = in.U8();
      const std::string_view name = in.Text();
      const std::string_view value = in.Text();
      if (!in.ok() || type > static_cast<uint8_t>(MatchType::kNotRegex)) {
        return malformed();
      }
      auto matcher = Matcher::Create(static_cast<MatchType>(type),
                                     std::string(name), std::string(value));
      if (!matcher.ok()) {
        return DataLoss("deletion {}: {}", number, Message(matcher.status()));
      }
      matchers.push_back(*std::move(matcher));
    }
  }
  if (!in.done()) return malformed();
  return out;
}

std::string SelectorsText(const Selectors& selectors) {
  std::string out;
  for (const auto& matchers : selectors) {
    if (!out.empty()) out += " | ";
    out += '{';
    for (size_t i = 0; i < matchers.size(); ++i) {
      if (i > 0) out += ',';
      out += matchers[i].ToString();
    }
    out += '}';
  }
  return out;
}

}  // namespace varve
