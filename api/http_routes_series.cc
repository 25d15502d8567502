#include <fmt/format.h>

#include <charconv>
#include <map>
#include <utility>

#include "api/http_params.h"
#include "api/http_routes.h"
#include "api/json_writer.h"

namespace varve {
namespace {

// The range and limit of a listing. `end < start` is not an error there.
absl::StatusOr<ListingRange> ParseListing(const WebRequest& request) {
  if (!request.params_error.empty()) {
    return InvalidArgument("error parsing form values: {}",
                           request.params_error);
  }
  ListingRange range;
  VARVE_ASSIGN_OR_RETURN(range.limit, LimitParam(request));
  VARVE_ASSIGN_OR_RETURN(range.start_ms,
                         TimeParam(request, "start", kApiTimeMin));
  VARVE_ASSIGN_OR_RETURN(range.end_ms, TimeParam(request, "end", kApiTimeMax));
  return range;
}

template <typename T>
std::vector<std::string> Warnings(const Listing<T>& listing) {
  std::vector<std::string> warnings = listing.warnings;
  if (listing.truncated) warnings.emplace_back(kTruncatedWarning);
  return warnings;
}

WebResponse StringList(const Listing<std::string>& listing) {
  std::string data;
  JsonWriter json(&data);
  json.BeginArray();
  for (const std::string& item : listing.items) json.String(item);
  json.EndArray();
  return ApiSuccess(data, Warnings(listing));
}

absl::StatusOr<int64_t> CountParam(const WebRequest& request,
                                   std::string_view name) {
  const std::string_view text = request.Param(name);
  if (text.empty()) return -1;
  int64_t value = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    return InvalidArgument("{} must be a number", name);
  }
  return value;
}

}  // namespace

WebResponse HttpRoutes::Series(WebRequest& request) {
  if (request.params_error.empty() && !request.HasParam("match[]")) {
    return ApiError(
        absl::InvalidArgumentError("no match[] parameter provided"));
  }
  VARVE_API_ASSIGN(ListingRange range, ParseListing(request));
  auto selectors = SelectorParams(request);
  if (!selectors.ok()) {
    return ApiError(InvalidParam("match[]", Message(selectors.status())));
  }
  range.selectors = *std::move(selectors);
  const auto context = db().NewQueryContext(0, request.arrived_ns);
  VARVE_API_ASSIGN(const Listing<Labels> found, db().Series(*context, range));
  std::string data;
  JsonWriter json(&data);
  json.BeginArray();
  for (const Labels& labels : found.items) json.Value(labels);
  json.EndArray();
  return ApiSuccess(data, Warnings(found));
}

WebResponse HttpRoutes::LabelNames(WebRequest& request) {
  VARVE_API_ASSIGN(ListingRange range, ParseListing(request));
  VARVE_API_ASSIGN(range.selectors, SelectorParams(request));
  const auto context = db().NewQueryContext(0, request.arrived_ns);
  VARVE_API_ASSIGN(const Listing<std::string> found,
                   db().LabelNames(*context, range));
  return StringList(found);
}

WebResponse HttpRoutes::LabelValues(WebRequest& request) {
  constexpr std::string_view kHead = "/api/v1/label/";
  constexpr std::string_view kTail = "/values";
  std::string_view path = *Inside(request);
  path.remove_prefix(kHead.size());
  path.remove_suffix(kTail.size());
  const std::string name = UnescapeName(path);
  if (name.empty() || !IsValidUtf8(name)) {
    return ApiError(InvalidArgument("invalid label name: {}", Quote(name)));
  }
  VARVE_API_ASSIGN(ListingRange range, ParseListing(request));
  VARVE_API_ASSIGN(range.selectors, SelectorParams(request));
  const auto context = db().NewQueryContext(0, request.arrived_ns);
  VARVE_API_ASSIGN(const Listing<std::string> found,
                   db().LabelValues(*context, name, range));
  return StringList(found);
}

WebResponse HttpRoutes::MetricMetadata(WebRequest& request) {
  VARVE_API_ASSIGN(const int64_t limit, CountParam(request, "limit"));
  VARVE_API_ASSIGN(const int64_t per_metric,
                   CountParam(request, "limit_per_metric"));
  const std::string_view metric = request.Param("metric");
  std::map<std::string, std::vector<Metadata>> families;
  for (auto& [family, metadata] : db().FamilyMetadata()) {
    if (!metric.empty() && family != metric) continue;
    auto& entries = families[family];
    if (per_metric > 0 && entries.size() >= static_cast<size_t>(per_metric)) {
      continue;
    }
    entries.push_back(std::move(metadata));
  }
  std::string data;
  JsonWriter json(&data);
  json.BeginObject();
  int64_t written = 0;
  for (const auto& [family, entries] : families) {
    if (limit >= 0 && written++ >= limit) break;
    json.Key(family).BeginArray();
    for (const Metadata& m : entries) {
      json.BeginObject()
          .Field("type", m.type)
          .Field("unit", m.unit)
          .Field("help", m.help)
          .EndObject();
    }
    json.EndArray();
  }
  json.EndObject();
  return ApiSuccess(data);
}

WebResponse HttpRoutes::TargetsMetadata(WebRequest& request) {
  VARVE_API_ASSIGN(const int64_t limit, CountParam(request, "limit"));
  std::vector<Matcher> matchers;
  if (const auto text = request.Param("match_target"); !text.empty()) {
    auto parsed = ParseSelector(text);
    if (!parsed.ok()) {
      return ApiError(InvalidParam("match_target", Message(parsed.status())));
    }
    matchers = *std::move(parsed);
  }
  const std::string_view metric = request.Param("metric");
  std::string data;
  JsonWriter json(&data);
  json.BeginArray();
  int64_t written = 0;
  for (const TargetMetadata& target : db().MetadataOfTargets()) {
    // As in Prometheus, the limit never cuts through a target.
    if (limit >= 0 && written >= limit) break;
    if (!std::all_of(matchers.begin(), matchers.end(), [&](const Matcher& m) {
          return m.Matches(target.labels.Get(m.name()));
        })) {
      continue;
    }
    for (const auto& [family, metadata] : target.families) {
      if (!metric.empty() && family != metric) continue;
      json.BeginObject().Key("target").Value(target.labels);
      if (metric.empty()) json.Field("metric", family);
      json.Field("type", metadata.type)
          .Field("help", metadata.help)
          .Field("unit", metadata.unit)
          .EndObject();
      ++written;
    }
  }
  json.EndArray();
  return ApiSuccess(data);
}

}  // namespace varve
