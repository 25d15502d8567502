#include <fmt/format.h>

#include "api/http_routes.h"

namespace varve {
namespace {

std::string EscapeHtml(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '&':
        out += "&amp;";
        break;
      default:
        out.push_back(c);
    }
  }
  return out;
}

constexpr std::string_view kPage = R"(<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title>
<style>body{{font-family:sans-serif;max-width:44em;margin:3em auto;padding:0 1em;line-height:1.5}}
code{{background:#eee;padding:0 .3em}}</style></head>
<body>
<h1>{title}</h1>
<p>This is <b>varve {version}</b>, a time-series database that speaks the Prometheus HTTP API. {state}</p>
<p>Use it as a data source of the type Prometheus, send to it with
<code>remote_write: [{{url: http://THIS-ADDRESS{prefix}/api/v1/write}}]</code>, or ask it right here:</p>
<form action="{prefix}/api/v1/query"><input name="query" value="up" size="50" aria-label="PromQL query"> <button>Query</button></form>
<ul>
<li><a href="{prefix}/api/v1/targets">targets</a>: what is scraped, and how that goes</li>
<li><a href="{prefix}/api/v1/status/config">configuration</a>, <a href="{prefix}/api/v1/status/flags">flags</a>, <a href="{prefix}/api/v1/status/runtimeinfo">runtime information</a></li>
<li><a href="{prefix}/api/v1/status/tsdb">series and labels</a>, <a href="{prefix}/api/v1/metadata">metadata</a></li>
<li><a href="{prefix}/metrics">metrics</a> of the server itself</li>
<li><a href="{prefix}/-/healthy">health</a> and <a href="{prefix}/-/ready">readiness</a></li>
</ul>
</body></html>
)";

}  // namespace

WebResponse HttpRoutes::HomePage(WebRequest&) {
  WebResponse response;
  response.Set("Content-Type", "text/html; charset=utf-8");
  response.body = fmt::format(
      kPage, fmt::arg("title", EscapeHtml(options_.page_title)),
      fmt::arg("version", Version()),
      fmt::arg("prefix", EscapeHtml(options_.route_prefix)),
      fmt::arg("state", database_.load() == nullptr
                            ? "It is starting and not ready for queries yet."
                            : "It is ready."));
  return response;
}

}  // namespace varve
