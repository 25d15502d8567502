#include <cstdint>
#include <string_view>

#include "ingest/text_parser.h"
#include "storage/check.h"
#include "storage/status_macros.h"

// Any bytes as a raw series text or as the labels of an exemplar: either an
// error that says something, or labels that keep their invariants.

namespace {

void CheckLabels(const varve::Labels& labels) {
  std::string_view last;
  for (const varve::LabelView& label : labels) {
    VARVE_CHECK(!label.value.empty());
    VARVE_CHECK(label.name > last);
    VARVE_CHECK(varve::IsValidUtf8(label.name));
    VARVE_CHECK(varve::IsValidUtf8(label.value));
    last = label.name;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const varve::FamilyType type :
       {varve::FamilyType::kUnknown, varve::FamilyType::kHistogram}) {
    for (const varve::NameScheme scheme :
         {varve::NameScheme::kUtf8, varve::NameScheme::kLegacy}) {
      const auto labels = varve::ParseSeriesText(text, type, scheme);
      VARVE_CHECK(labels.ok() || !varve::Message(labels.status()).empty());
      if (!labels.ok()) continue;
      VARVE_CHECK(!labels->metric_name().empty());
      CheckLabels(*labels);
    }
  }
  const auto exemplar = varve::ParseExemplarLabels(text);
  if (exemplar.ok()) CheckLabels(*exemplar);
  return 0;
}
