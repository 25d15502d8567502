#!/usr/bin/env python3
"""A real Prometheus scrapes a real node_exporter and itself and remote-writes
to varve; then both are asked the same, and the answers must be equal value by
value (relative error 1e-9). A fixed exposition served to both scrapers must
give equal series. The peers are Debian 12's: Prometheus 2.42."""
import http.server
import json
import math
import os
import threading
import time

from harness import (Server, free_port, peer, run_tests, scratch, start_varve,
                     wait_until)
from peer_queries import INSTANT, KNOWN_DIFFERENCES, RANGE

# The oldest window asked for reaches back 35 s; a counter's first window has to
# stay out of them, since 2.42 and 3.x cap its extrapolation to zero otherwise.
SECONDS_OF_DATA = 42
TOLERANCE = 1e-9


def start_prometheus(directory, config):
    path = os.path.join(directory, "prometheus.yml")
    with open(path, "w") as f:
        f.write(config)
    port = free_port()
    return port, lambda: Server(
        [peer("prometheus"), "--config.file=" + path,
         "--storage.tsdb.path=" + os.path.join(directory, "prometheus-data"),
         "--web.listen-address=127.0.0.1:%d" % port], port,
        os.path.join(directory, "prometheus.log")).wait_ready(60)


# -- comparison -----------------------------------------------------------

def same_value(a, b):
    x, y = float(a), float(b)
    if math.isnan(x) or math.isnan(y):
        return math.isnan(x) and math.isnan(y)
    if math.isinf(x) or math.isinf(y) or x == y:
        return x == y
    return abs(x - y) <= TOLERANCE * max(abs(x), abs(y))


def same_points(a, b):
    return len(a) == len(b) and all(
        p[0] == q[0] and same_value(p[1], q[1]) for p, q in zip(a, b))


def difference(want, got):
    """None when two API answers are equal, else what differs."""
    if want["status"] != got["status"] or want.get("errorType") != got.get("errorType"):
        return "%s %s / %s %s" % (want["status"], want.get("error"),
                                  got["status"], got.get("error"))
    if want["status"] != "success":
        return None
    want, got = want["data"], got["data"]
    if want["resultType"] != got["resultType"]:
        return "type %s / %s" % (want["resultType"], got["resultType"])
    a, b = want["result"], got["result"]
    if want["resultType"] == "string":
        return None if a == b else "%s / %s" % (a, b)
    if want["resultType"] == "scalar":
        return None if same_points([a], [b]) else "%s / %s" % (a, b)

    def key(series):
        return json.dumps(series["metric"], sort_keys=True)

    def points(series):
        return series["values"] if "values" in series else [series["value"]]
    left, right = {key(s): points(s) for s in a}, {key(s): points(s) for s in b}
    if len(left) != len(a) or len(right) != len(b):
        return "a label set stands twice"
    if left.keys() != right.keys():
        return "series: only Prometheus %s, only varve %s" % (
            sorted(left.keys() - right.keys())[:3], sorted(right.keys() - left.keys())[:3])
    for k in left:
        if not same_points(left[k], right[k]):
            return "%s: %s / %s" % (k, left[k][:4], right[k][:4])
    return None


def order(answer):
    """The values as they are listed; series of equal value may change places."""
    return [float(s["value"][1]) for s in answer["data"]["result"]]


# -- the stage: three processes and some seconds of data -------------------

class Stage:
    """Prometheus, node_exporter and varve with `seconds` of common history."""

    def __init__(self, directory):
        self.varve = start_varve(directory, config="global: {evaluation_interval: 1s}\n")
        node_port = free_port()
        self.node = Server([peer("prometheus-node-exporter"),
                            "--web.listen-address=127.0.0.1:%d" % node_port], node_port,
                           os.path.join(directory, "node.log"), ready="/metrics").wait_ready()
        port, start = start_prometheus(directory, """
global: {scrape_interval: 1s, evaluation_interval: 1s}
scrape_configs:
- job_name: prometheus
  static_configs: [{targets: ['127.0.0.1:%%d']}]
- job_name: node
  static_configs: [{targets: ['127.0.0.1:%d']}]
remote_write:
- url: http://127.0.0.1:%d/api/v1/write
  queue_config: {batch_send_deadline: 100ms}
  metadata_config: {send_interval: 1s}
""" % (node_port, self.varve.port))
        path = os.path.join(directory, "prometheus.yml")
        with open(path) as f:
            text = f.read() % port
        with open(path, "w") as f:
            f.write(text)
        self.prometheus = start()
        self.time = self.settled_time()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for server in (self.prometheus, self.node, self.varve):
            server.stop()

    def scrape_times(self, server, now):
        """{instance: [sample times]} of `up` in the last minutes."""
        answer = server.data("/api/v1/query", query="up[5m]", time=now)
        return {s["metric"]["instance"]: [t for t, _ in s["values"]] for s in answer["result"]}

    def settled_time(self):
        """An instant with enough history before it, the same data on both
        sides, and no sample on the boundary of a window of whole seconds: 2.42
        has windows closed at the left, 3.x and varve open ones."""
        def enough():
            times = self.scrape_times(self.prometheus, time.time())
            return len(times) == 2 and all(
                t[-1] - t[0] > SECONDS_OF_DATA for t in times.values())
        wait_until(enough, SECONDS_OF_DATA + 30, "scrapes", 0.5)
        times = self.scrape_times(self.prometheus, time.time())
        end = math.floor(min(t[-1] for t in times.values())) - 3  # `offset -2s`
        fractions = sorted(t % 1 for ts in times.values() for t in ts) + [0.0]
        for candidate in range(50, 1000, 25):
            c = candidate / 1000
            if all(min(abs(c - f), 1 - abs(c - f)) > 0.012 for f in fractions):
                end += c
                break
        else:
            raise AssertionError("scrapes fill the whole second: %s" % fractions)

        def arrived():
            theirs, ours = (self.scrape_times(s, end) for s in (self.prometheus, self.varve))
            return theirs == ours
        wait_until(arrived, 30, "the same `up` samples on both sides", 0.2)
        # `up` is written at the end of a scrape; one more batch may be under way.
        both = [lambda s=s: s.data("/api/v1/query", query="count({job!=''})", time=end)["result"]
                for s in (self.prometheus, self.varve)]
        wait_until(lambda: both[0]() == both[1](), 30, "the same number of series", 0.2)
        return end

    def ask(self, server, query, is_range):
        query = query.replace("{t}", "%.3f" % (self.time - 4))
        if is_range:
            return server.post("/api/v1/query_range", query=query, start=self.time - 20,
                               end=self.time, step=2)[1]
        return server.post("/api/v1/query", query=query, time=self.time)[1]

    def compare(self, query, is_range, query_of_varve=None):
        want = self.ask(self.prometheus, query, is_range)
        got = self.ask(self.varve, query_of_varve or query, is_range)
        found = difference(want, got)
        if found is None and query.startswith("sort") and order(want) != order(got):
            found = "another order"
        return found, bool(want.get("data", {}).get("result"))


STAGE = None


def test_equal_answers():
    known = {q for q, _ in KNOWN_DIFFERENCES}
    asked, filled, wrong = 0, 0, []
    for is_range, queries in ((False, INSTANT), (True, RANGE)):
        for query in queries:
            found, non_empty = STAGE.compare(query, is_range)
            asked, filled = asked + 1, filled + non_empty
            if found and query not in known:
                wrong.append("%s%s\n      %s" % ("range: " if is_range else "", query, found))
    print("  %d queries, %d with an answer that is not empty, %d differ" % (
        asked, filled, len(wrong)))
    assert not wrong, "\n  ".join(["answers differ"] + wrong)
    assert asked >= 80 and filled >= 50, (asked, filled)


def test_planted_bugs_are_seen():
    for query, bug in (("sum by (mode) (node_cpu_seconds_total)",
                        "sum by (mode) (node_cpu_seconds_total) * 1.00000001"),
                       ("rate(node_cpu_seconds_total[10s])", "irate(node_cpu_seconds_total[10s])"),
                       ("up", "up{job='node'}"), ("node_load1", "node_load1 + 0"),
                       ("sort(node_cpu_seconds_total)", "sort_desc(node_cpu_seconds_total)")):
        assert STAGE.compare(query, False)[0] is None, query
        assert STAGE.compare(query, False, bug)[0], "not seen: " + bug


def test_labels_series_metadata():
    span = {"start": STAGE.time - 20, "end": STAGE.time}
    for path, args in (
            ("/api/v1/labels", span),
            ("/api/v1/labels", {**span, "match[]": "node_load1"}),
            ("/api/v1/label/__name__/values", span),
            ("/api/v1/label/mode/values", {**span, "match[]": ["node_cpu_seconds_total"]}),
            ("/api/v1/label/nope/values", span)):
        a, b = (s.get(path, **args)[1] for s in (STAGE.prometheus, STAGE.varve))
        assert a["data"] == b["data"], (path, args, a["data"][:9], b["data"][:9])
    a, b = ({json.dumps(x, sort_keys=True) for x in s.data(
        "/api/v1/series", **{**span, "match[]": ["{job='node'}", "up"]})}
            for s in (STAGE.prometheus, STAGE.varve))
    assert a == b and len(a) > 200, (len(a), len(b), sorted(a ^ b)[:5])

    def metadata(server):
        return {name: {(m["type"], m["help"], m["unit"]) for m in entries}
                for name, entries in server.get("/api/v1/metadata")[1]["data"].items()}
    wanted = metadata(STAGE.prometheus)
    # The sender keeps its targets' metadata by metric name and sends it in turns.
    wait_until(lambda: wanted.keys() <= metadata(STAGE.varve).keys(), 15, "metadata")
    got = metadata(STAGE.varve)
    wrong = {n: (wanted[n], got[n]) for n in wanted if got[n] != wanted[n]}
    assert not wrong, list(wrong.items())[:3]


EXPOSITION = b"""# HELP app_requests_total Requests.
# TYPE app_requests_total counter
app_requests_total{code="200",path="/a b"} 1027
app_requests_total{code="500",path="/\\"q\\"\\\\"} 3
# TYPE app_temperature gauge
app_temperature{room="k\xc3\xbcche"} -3.5e-2
app_nan NaN
app_inf{sign="-"} -Inf
app_big 1.7976931348623157e+308
app_dated 5 %d
# TYPE app_latency_seconds histogram
app_latency_seconds_bucket{le="0.1"} 4
app_latency_seconds_bucket{le="1"} 7
app_latency_seconds_bucket{le="+Inf"} 9
app_latency_seconds_sum 5.5
app_latency_seconds_count 9
# TYPE app_size summary
app_size{quantile="0.5"} 12
app_size_sum 100
app_size_count 8
app_kept{instance="other",job="theirs"} 1
app_dropped{drop="me"} 1
"""

SCRAPE_CONFIG = """
global: {scrape_interval: 1s, external_labels: {cluster: c1}}
scrape_configs:
- job_name: plain
  params: {who: [me]}
  static_configs: [{targets: ['127.0.0.1:%(port)d'], labels: {env: test}}]
  relabel_configs:
  - {source_labels: [__address__], regex: '(.*):\\d+', target_label: host, replacement: 'h-$1'}
  - {action: labelmap, regex: '__param_(who)', replacement: asked_$1}
  metric_relabel_configs:
  - {source_labels: [drop], regex: me, action: drop}
  - {source_labels: [__name__, code], separator: '@', regex: 'app_requests_total@(.)..', target_label: class, replacement: '${1}xx'}
- job_name: honest
  honor_labels: true
  static_configs: [{targets: ['127.0.0.1:%(port)d']}]
- job_name: gone
  static_configs: [{targets: ['127.0.0.1:%(dead)d']}]
- job_name: limited
  sample_limit: 3
  static_configs: [{targets: ['127.0.0.1:%(port)d']}]
"""


def normal_le(metric):
    """3.x writes the bounds of classic histograms as floats: le="1.0"; 2.42
    takes them as they stand. The one known difference of scraped series."""
    m = dict(metric)
    for name in ("le", "quantile"):
        if name in m and m[name] != "+Inf" and "." not in m[name]:
            m[name] += ".0"
    return json.dumps(m, sort_keys=True)


def test_equal_scrapes():
    class Target(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = EXPOSITION % int(time.time() * 1000 - 1000)
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass
    target = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Target)
    threading.Thread(target=target.serve_forever, daemon=True).start()
    config = SCRAPE_CONFIG % {"port": target.server_address[1], "dead": free_port()}
    with scratch() as directory:
        _, start = start_prometheus(directory, config)
        try:
            with start() as prometheus, start_varve(directory, config=config) as varve:
                def snapshot(server):
                    now = time.time()
                    found = {}
                    for selector in ("{job=~'plain|honest|theirs|gone|limited'}",):
                        for s in server.data("/api/v1/query", query=selector, time=now)["result"]:
                            name = s["metric"]["__name__"]
                            timed = name in ("scrape_duration_seconds", "app_dated")
                            first = name == "scrape_series_added"
                            found[normal_le(s["metric"])] = None if timed or first else s["value"][1]
                    return found
                wait_until(lambda: len(snapshot(prometheus)) > 40, 20, "Prometheus's scrapes")
                deadline = time.monotonic() + 15
                while snapshot(prometheus) != snapshot(varve) and time.monotonic() < deadline:
                    time.sleep(0.3)  # a target's first scrape comes within its interval
                a, b = snapshot(prometheus), snapshot(varve)
                assert a == b, sorted(set(a.items()) ^ set(b.items()))[:8]
                a, b = ({(t["labels"]["job"], t["health"]) for t in s.get("/api/v1/targets")[1]
                         ["data"]["activeTargets"]} for s in (prometheus, varve))
                assert a == b, (a, b)
        finally:
            target.shutdown()


def main():
    global STAGE
    with scratch() as directory, Stage(directory) as STAGE:
        run_tests(test_equal_answers, test_planted_bugs_are_seen,
                  test_labels_series_metadata, test_equal_scrapes)


if __name__ == "__main__":
    main()
