#include "api/http_explain.h"

#include "api/json_writer.h"

namespace varve {
namespace {

// As deep as the expression, whose depth the parser bounds.
void Write(const promql::Explanation& e, JsonWriter* json) {
  json->BeginObject().Field("operator", e.op).Field("text", e.text);
  if (!e.details.empty()) {
    json->Key("details").BeginArray();
    for (const std::string& detail : e.details) json->String(detail);
    json->EndArray();
  }
  if (e.cost.has_value()) {
    json->Key("cost").BeginObject().Key("timeSeconds");
    json->Number(static_cast<double>(e.cost->time_ns) / 1e9);
    json->Field("series", e.cost->series).Field("samples", e.cost->samples);
    json->Field("bytes", e.cost->bytes_max).EndObject();
  }
  if (!e.inputs.empty()) {
    json->Key("inputs").BeginArray();
    for (const promql::Explanation& input : e.inputs) Write(input, json);
    json->EndArray();
  }
  json->EndObject();
}

}  // namespace

void AppendExplanation(const promql::Explanation& explanation,
                       std::string* out) {
  JsonWriter json(out);
  Write(explanation, &json);
}

}  // namespace varve
