#include "tools/query_table.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "api/varve.h"

namespace varve {
namespace {

using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::object;

constexpr size_t kPlotWidth = 60;

/// Strings as they are, everything else as JSON.
std::string TextOf(const element& value) {
  std::string_view text;
  if (value.get(text) == simdjson::SUCCESS) return std::string(text);
  return simdjson::minify(value);
}

/// `name{a="b"}`.
std::string MetricText(const object& labels) {
  std::string name;
  std::string rest;
  for (const auto& [key, value] : labels) {
    if (key == "__name__") {
      name = TextOf(value);
      continue;
    }
    rest += fmt::format("{}{}=\"{}\"", rest.empty() ? "" : ", ", key,
                        TextOf(value));
  }
  return rest.empty() && !name.empty() ? name : name + "{" + rest + "}";
}

using Line = std::vector<std::string>;

/// Columns padded to the widest; bytes for characters, which is near enough.
std::string Table(const std::vector<Line>& lines) {
  std::vector<size_t> widths;
  for (const Line& line : lines) {
    widths.resize(std::max(widths.size(), line.size()));
    for (size_t i = 0; i < line.size(); ++i) {
      widths[i] = std::max(widths[i], line[i].size());
    }
  }
  std::string out;
  for (const Line& line : lines) {
    for (size_t i = 0; i + 1 < line.size(); ++i) {
      out += fmt::format("{:<{}}  ", line[i], widths[i]);
    }
    out += (line.empty() ? "" : line.back()) + "\n";
  }
  return out;
}

/// `[time, value]`, the value a number in a string or a histogram.
struct Point {
  std::string time;
  std::string text;
  double number = std::numeric_limits<double>::quiet_NaN();
};

Point PointOf(const element& pair) {
  Point point;
  element time;
  element value;
  if (pair.at(0).get(time) != simdjson::SUCCESS ||
      pair.at(1).get(value) != simdjson::SUCCESS) {
    return point;
  }
  point.time = TextOf(time);
  object histogram;
  if (value.get(histogram) == simdjson::SUCCESS) {
    const auto field = [&histogram](const char* name) {
      element e;
      return histogram[name].get(e) == simdjson::SUCCESS ? TextOf(e) : "?";
    };
    point.text = fmt::format("count {} sum {}", field("count"), field("sum"));
    return point;
  }
  point.text = TextOf(value);
  point.number = std::strtod(point.text.c_str(), nullptr);
  return point;
}

/// The points of a series of any result.
std::vector<Point> PointsOf(const object& series) {
  std::vector<Point> points;
  for (const char* key : {"value", "histogram"}) {
    element pair;
    if (series[key].get(pair) == simdjson::SUCCESS) {
      points.push_back(PointOf(pair));
    }
  }
  for (const char* key : {"values", "histograms"}) {
    array pairs;
    if (series[key].get(pairs) != simdjson::SUCCESS) continue;
    for (const element pair : pairs) points.push_back(PointOf(pair));
  }
  return points;
}

Line PlotLine(const std::string& metric, const std::vector<Point>& points) {
  std::vector<double> values;
  for (const Point& point : points) values.push_back(point.number);
  double low = std::numeric_limits<double>::infinity();
  double high = -low;
  for (double v : values) {
    if (!std::isfinite(v)) continue;
    low = std::min(low, v);
    high = std::max(high, v);
  }
  return {metric, points.empty() ? "" : points.back().text,
          low > high ? "" : fmt::format("{:.6g}..{:.6g}", low, high),
          Sparkline(values, kPlotWidth)};
}

std::string SeriesText(const array& result, QueryView view) {
  std::vector<Line> lines;
  if (view == QueryView::kPlot) {
    lines.push_back({"series", "last", "range", ""});
  }
  for (const element item : result) {
    object series;
    object labels;
    if (item.get(series) != simdjson::SUCCESS ||
        series["metric"].get(labels) != simdjson::SUCCESS) {
      continue;
    }
    std::string metric = MetricText(labels);
    const std::vector<Point> points = PointsOf(series);
    if (view == QueryView::kPlot) {
      lines.push_back(PlotLine(metric, points));
      continue;
    }
    for (const Point& point : points) {
      lines.push_back({metric, point.time, point.text});
      metric.clear();
    }
  }
  return Table(lines);
}

/// The data of a list: label sets or names.
std::string ListText(const array& list) {
  std::string out;
  for (const element item : list) {
    object labels;
    out += (item.get(labels) == simdjson::SUCCESS ? MetricText(labels)
                                                  : TextOf(item)) +
           "\n";
  }
  return out;
}

/// A line for each operator, its inputs below it and further in. Costs are
/// those of the operator and all below.
void Explained(const element& node, const std::string& indent,
               std::vector<Line>* lines) {
  const auto text = [](const element& from, const char* key) {
    element value;
    return from[key].get(value) == simdjson::SUCCESS ? TextOf(value) : "";
  };
  Line line(4);
  element cost;
  if (node["cost"].get(cost) == simdjson::SUCCESS) {
    const double seconds =
        std::strtod(text(cost, "timeSeconds").c_str(), nullptr);
    line = {fmt::format("{:.3f} ms", seconds * 1e3), text(cost, "series"),
            text(cost, "samples"), text(cost, "bytes")};
  }
  std::string what =
      indent + text(node, "operator") + "  " + text(node, "text");
  array details;
  if (node["details"].get(details) == simdjson::SUCCESS) {
    for (const element detail : details) what += "  " + TextOf(detail);
  }
  line.push_back(std::move(what));
  lines->push_back(std::move(line));
  array inputs;
  if (node["inputs"].get(inputs) != simdjson::SUCCESS) return;
  for (const element input : inputs) Explained(input, indent + "  ", lines);
}

std::string DataText(const element& data, QueryView view) {
  array list;
  if (data.get(list) == simdjson::SUCCESS) return ListText(list);
  element explanation;
  if (data["explanation"].get(explanation) == simdjson::SUCCESS) {
    std::vector<Line> lines = {{"time", "series", "samples", "bytes", ""}};
    Explained(explanation, "", &lines);
    return Table(lines);
  }
  element result;
  if (data["result"].get(result) != simdjson::SUCCESS) {
    return TextOf(data) + "\n";
  }
  std::string_view type;
  if (data["resultType"].get(type) == simdjson::SUCCESS &&
      (type == "scalar" || type == "string")) {
    return PointOf(result).text + "\n";
  }
  return result.get(list) == simdjson::SUCCESS ? SeriesText(list, view)
                                               : TextOf(result) + "\n";
}

std::string Remarks(const element& answer, const char* key) {
  std::string out;
  array remarks;
  if (answer[key].get(remarks) != simdjson::SUCCESS) return out;
  for (const element remark : remarks) out += TextOf(remark) + "\n";
  return out;
}

}  // namespace

std::string Sparkline(const std::vector<double>& values, size_t width) {
  static constexpr const char* kBlocks[] = {"▁", "▂", "▃", "▄",
                                            "▅", "▆", "▇", "█"};
  double low = std::numeric_limits<double>::infinity();
  double high = -low;
  for (double v : values) {
    if (!std::isfinite(v)) continue;
    low = std::min(low, v);
    high = std::max(high, v);
  }
  const size_t blocks = std::min(width, values.size());
  std::string out;
  for (size_t i = 0; i < blocks; ++i) {
    // The last value of the part that the block stands for.
    const double v = values[(i + 1) * values.size() / blocks - 1];
    if (std::isnan(v)) {
      out += " ";
      continue;
    }
    const double part = high > low ? (v - low) / (high - low) : 0;
    out += kBlocks[static_cast<size_t>(std::clamp(part, 0.0, 1.0) * 7 + 0.5)];
  }
  return out;
}

absl::StatusOr<std::string> QueryText(std::string_view body, QueryView view) {
  simdjson::dom::parser parser;
  element answer;
  std::string_view status;
  if (parser.parse(body.data(), body.size()).get(answer) != simdjson::SUCCESS ||
      answer["status"].get(status) != simdjson::SUCCESS) {
    return InvalidArgument("this is no answer of the Prometheus API: {}",
                           body.substr(0, 200));
  }
  if (status != "success") {
    std::string_view error = "the server names no reason";
    if (answer["error"].get(error) != simdjson::SUCCESS) error = body;
    return FailedPrecondition("{}", error);
  }
  element data;
  if (answer["data"].get(data) != simdjson::SUCCESS) return "";
  return DataText(data, view) + Remarks(answer, "warnings") +
         Remarks(answer, "infos");
}

}  // namespace varve
