"""The HTTP API from outside: what Grafana calls, forms, compression, limits,
and clients that misbehave."""
import contextlib
import gzip
import http.client
import json
import socket
import threading
import time
import urllib.parse

import harness
import wire

T0 = int(time.time()) * 1000 - 600_000     # ten minutes ago
STEP = 15_000
NAMES = ["http_requests_total", "node_load1"]
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def fill(server):
    for name in NAMES:
        all_series = []
        for i in range(20):
            pairs = {"__name__": name, "instance": "host%d" % i, "job": "api" if i % 2 else "web"}
            all_series.append(wire.series(
                sorted(pairs.items()), [(T0 + k * STEP, float(i * k)) for k in range(41)]))
        status, text = wire.write(server, *all_series)
        assert status == 204, (status, text)


@contextlib.contextmanager
def filled(*flags):
    with harness.scratch() as directory:
        with harness.start_varve(directory, *flags, config="") as server:
            fill(server)
            yield server


SERVER = None       # the one that most tests share


def seconds(ms):
    return "%.3f" % (ms / 1000)


# ------------------------------------------------------------------- Grafana

def test_grafana_save_and_test():
    status, answer = SERVER.post("/api/v1/query", query="1+1", time=seconds(T0))
    assert status == 200, answer
    assert answer == {"status": "success", "data": {
        "resultType": "scalar", "result": [T0 / 1000, "2"]}}, answer
    info = SERVER.get("/api/v1/status/buildinfo")[1]["data"]
    major, minor = [int(n) for n in info["version"].split(".")[:2]]
    assert (major, minor) >= (2, 24), info     # else Grafana hides features
    assert set(info) >= {"version", "revision", "branch", "buildUser", "buildDate", "goVersion"}


def test_grafana_variables():
    span = {"start": seconds(T0), "end": seconds(T0 + 600_000)}
    assert SERVER.data("/api/v1/labels", **span) == ["__name__", "instance", "job"]
    status, answer = SERVER.get("/api/v1/label/__name__/values", **span)
    assert (status, answer["data"]) == (200, sorted(NAMES)), answer
    status, answer = SERVER.get("/api/v1/label/job/values",
                                **{"match[]": 'node_load1{instance="host1"}'}, **span)
    assert (status, answer["data"]) == (200, ["api"]), answer
    got = SERVER.data("/api/v1/series", **{"match[]": 'node_load1{instance=~"host[12]"}'}, **span)
    assert got == [{"__name__": "node_load1", "instance": "host%d" % i,
                    "job": "api" if i % 2 else "web"} for i in (1, 2)], got
    # Outside the data there is nothing.
    early = {"start": "1000", "end": "2000"}
    assert SERVER.data("/api/v1/labels", **early) == []
    assert SERVER.data("/api/v1/series", **{"match[]": "node_load1"}, **early) == []


def test_grafana_explore():
    status, answer = SERVER.post("/api/v1/query_range", query="sum by (job) (node_load1)",
                                 start=seconds(T0), end=seconds(T0 + 600_000), step="60")
    assert status == 200, answer
    result = answer["data"]["result"]
    assert [s["metric"]["job"] for s in result] == ["api", "web"], result
    assert [len(s["values"]) for s in result] == [11, 11], result
    assert result[0]["values"][1] == [T0 / 1000 + 60, "400"], result[0]["values"][:3]
    assert SERVER.get("/api/v1/metadata", limit="10")[0] == 200
    assert SERVER.get("/api/v1/query_exemplars", query="node_load1", start=seconds(T0),
                      end=seconds(T0 + 1000))[1] == {"status": "success", "data": []}
    assert SERVER.get("/api/v1/rules")[1]["data"] == {"groups": []}
    assert SERVER.get("/api/v1/alerts")[1]["data"] == {"alerts": []}
    rate = SERVER.data("/api/v1/query", query="rate(http_requests_total[5m])",
                       time=seconds(T0 + 600_000))["result"]
    assert len(rate) == 20 and all(s["value"][1] == str(i / 15) or
                                   abs(float(s["value"][1]) * 15 - i) < 1e-9
                                   for i, s in ((int(s["metric"]["instance"][4:]), s) for s in rate))


# ---------------------------------------------------------------------- HTTP

def test_get_and_post_forms_agree():
    params = {"query": "node_load1{job='web'} + 1", "time": seconds(T0 + 60_000)}
    got, sent = SERVER.get("/api/v1/query", **params), SERVER.post("/api/v1/query", **params)
    assert got == sent and got[0] == 200 and len(got[1]["data"]["result"]) == 10


def test_gzip():
    path = "/api/v1/query?query=node_load1&time=" + seconds(T0)
    _, headers, plain = SERVER.call("GET", path)
    assert headers["Content-Encoding"] is None
    _, headers, packed = SERVER.call("GET", path, headers={"Accept-Encoding": "gzip"})
    assert headers["Content-Encoding"] == "gzip" and len(packed) < len(plain)
    assert gzip.decompress(packed) == plain


def test_large_answers_are_streamed():
    path = "/api/v1/query_range?query=node_load1&start=%s&end=%s&step=0.1" % (
        seconds(T0), seconds(T0 + 600_000))
    status, headers, body = SERVER.call("GET", path)
    assert status == 200 and headers["Transfer-Encoding"] == "chunked"
    result = json.loads(body)["data"]["result"]
    assert len(result) == 20 and all(len(s["values"]) == 6001 for s in result)
    _, headers, packed = SERVER.call("GET", path, headers={"Accept-Encoding": "gzip"})
    assert headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed) == body


def test_keep_alive():
    c = http.client.HTTPConnection("127.0.0.1", SERVER.port, timeout=20)
    c.connect()
    first = c.sock
    for _ in range(20):
        c.request("GET", "/api/v1/query?query=1")
        r = c.getresponse()
        assert r.status == 200 and r.read()
        assert c.sock is first
    c.close()


def test_errors():
    for path, status, kind in (
            ("/api/v1/query", 400, "bad_data"),
            ("/api/v1/query?query=up{", 400, "bad_data"),
            ("/api/v1/query_range?query=up&start=0&end=11001&step=1", 400, "bad_data"),
            ("/api/v1/query?query=node_load1%2Bon(job)node_load1&time=" + seconds(T0), 422, "execution"),
            ("/api/v1/query?query=node_load1&timeout=0", 503, "timeout"),
            ("/api/v1/parse_query?query=(", 400, "bad_data")):
        got, answer = SERVER.get(path)
        assert (got, answer["status"], answer["errorType"]) == (status, "error", kind), (path, answer)
    for path in ("/nope", "/api/v1/nope", "/api/v2/query", "/-/nope"):
        assert SERVER.call("GET", path)[0] == 404, path
    status, headers, _ = SERVER.call("DELETE", "/api/v1/query")
    assert (status, headers["Allow"]) == (405, "GET, OPTIONS, POST")
    assert SERVER.call("POST", "/-/reload")[0] == 403
    assert SERVER.call("POST", "/-/quit")[0] == 403
    for what in ("flush", "delete_series?match[]=up", "clean_tombstones"):
        assert SERVER.call("POST", "/api/v1/admin/tsdb/" + what)[0] == 500, what


def test_cors():
    status, headers, body = SERVER.call("OPTIONS", "/api/v1/query", headers={"Origin": "http://g"})
    assert (status, body) == (204, b"") and headers["Access-Control-Allow-Origin"] == "http://g"
    _, headers, _ = SERVER.call("GET", "/api/v1/labels", headers={"Origin": "http://g"})
    assert headers["Access-Control-Allow-Origin"] == "http://g" and headers["Vary"] == "Origin"


def test_pages():
    status, headers, body = SERVER.call("GET", "/")
    assert status == 200 and b"varve" in body and headers["Content-Type"].startswith("text/html")
    status, headers, body = SERVER.call("GET", "/metrics")
    assert status == 200 and headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert b"\nvarve_head_series 4" in body, body[:3000]
    for path in ("flags", "config", "runtimeinfo", "tsdb", "walreplay", "buildinfo"):
        status, answer = SERVER.get("/api/v1/status/" + path)
        assert (status, answer["status"]) == (200, "success"), path
    assert SERVER.get("/api/v1/status/tsdb")[1]["data"]["headStats"]["numSeries"] == 40


# -------------------------------------------------------------------- limits

def raw(server, data, seconds_max=30):
    with socket.create_connection(("127.0.0.1", server.port), timeout=seconds_max) as s:
        with contextlib.suppress(OSError):
            s.sendall(data)
        out = b""
        with contextlib.suppress(OSError):
            while True:
                got = s.recv(65536)
                if not got:
                    break
                out += got
        return out


def test_size_limits():
    assert b" 431 " in raw(SERVER, b"GET /" + b"x" * 2_000_000 + b" HTTP/1.1\r\n\r\n")[:30]
    hundred_mb = 100 << 20
    head = b"POST /api/v1/write HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % hundred_mb
    assert b" 413 " in raw(SERVER, head + b"x" * hundred_mb, 60)[:30]
    deep = "(" * 10_000 + "1" + ")" * 10_000
    status, answer = SERVER.post("/api/v1/query", query=deep)
    assert (status, answer["errorType"]) == (400, "bad_data"), answer
    assert SERVER.get("/api/v1/query", query="1")[0] == 200


def test_garbage():
    for data in (b"\x16\x03\x01\x00\xa5\x01\x00", b"\x00" * 100 + b"\r\n\r\n", b"GET\r\n\r\n",
                 b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
                 b"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n"):
        answer = raw(SERVER, data + b"\r\n\r\n")
        assert answer == b"" or answer.startswith(b"HTTP/1.1 4"), (data, answer[:100])
    assert SERVER.call("GET", "/-/healthy")[0] == 200


def test_stalled_uploads():
    """More of them than there are slots, and the server answers others."""
    stalled = []
    try:
        head = (b"POST /api/v1/write HTTP/1.1\r\nHost: x\r\n"
                b"Content-Length: 1000000\r\n\r\n")
        for _ in range(1500):
            s = socket.create_connection(("127.0.0.1", SERVER.port), timeout=60)
            s.sendall(head + b"and no more")
            stalled.append(s)
        for _ in range(5):
            assert SERVER.call("GET", "/-/healthy", timeout=60)[0] == 200
    finally:
        for s in stalled:
            s.close()


def test_compressed_form():
    headers = {"Content-Type": "application/x-www-form-urlencoded",
               "Content-Encoding": "gzip"}
    status, _, body = SERVER.call("POST", "/api/v1/query", gzip.compress(b"query=6*7"), headers)
    assert (status, json.loads(body)["data"]["result"][1]) == (200, "42"), body
    status, _, body = SERVER.call("POST", "/api/v1/query", b"query=6*7", headers)
    assert status == 400 and b"gzip" in body, body


def test_thousands_of_idle_connections():
    idle = []
    try:
        for i in range(2000):
            s = socket.create_connection(("127.0.0.1", SERVER.port), timeout=20)
            if i % 3 == 0:
                s.sendall(b"GET /-/healthy HTTP/1.1\r\nX")    # never finished
            idle.append(s)
        for _ in range(5):
            assert SERVER.call("GET", "/-/healthy", timeout=20)[0] == 200
            assert SERVER.get("/api/v1/query", query="1")[0] == 200
    finally:
        for s in idle:
            s.close()


def test_query_budgets():
    with filled("--query.max-samples=10", "--query.max-bytes=1MB") as server:
        status, answer = server.get("/api/v1/query", query="sum(rate(node_load1[10m]))",
                                    time=seconds(T0 + 600_000))
        assert (status, answer["errorType"]) == (422, "execution"), answer
        assert "too many samples" in answer["error"], answer
        assert server.get("/api/v1/query", query="1")[0] == 200


def slow_query():
    # Some seconds of work: many steps of many windows.
    return {"query": "sum(sum_over_time(node_load1[10m:10ms])) + sum(quantile_over_time("
                     "0.9, http_requests_total[10m:10ms]))", "start": seconds(T0),
            "end": seconds(T0 + 600_000), "step": "0.1"}


def running(server):
    body = server.call("GET", "/metrics")[2].decode()
    line = [l for l in body.splitlines()
            if l.startswith('varve_http_requests_running{kind="query"}')]
    return float(line[0].split()[-1])


def test_disconnect_cancels():
    body = urllib.parse.urlencode(slow_query())
    s = socket.create_connection(("127.0.0.1", SERVER.port), timeout=20)
    s.sendall(("POST /api/v1/query_range HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\n"
               "Content-Length: %d\r\n\r\n%s" % (FORM["Content-Type"], len(body), body)).encode())
    harness.wait_until(lambda: running(SERVER) >= 1, what="the query to run", pause=0.005)
    s.close()
    began = time.monotonic()
    harness.wait_until(lambda: running(SERVER) == 0, 5, "the query to be cancelled")
    assert time.monotonic() - began < 5


def test_slow_queries_do_not_block_writes_and_health():
    clients, answers = [], []
    for _ in range(4):
        t = threading.Thread(target=lambda: answers.append(SERVER.post(
            "/api/v1/query_range", timeout="2s", **slow_query())))
        t.start()
        clients.append(t)
    try:
        harness.wait_until(lambda: running(SERVER) >= 1, what="queries to run", pause=0.005)
        assert SERVER.call("GET", "/-/healthy", timeout=5)[0] == 200
        status, text = wire.write(SERVER, wire.series(
            [("__name__", "busy")], [(T0, 1.0)]), timeout=10)
        assert status == 204, text
    finally:
        for t in clients:
            t.join()
    assert [(s, a["errorType"]) for s, a in answers] == [(503, "timeout")] * 4, answers


if __name__ == "__main__":
    with filled() as SERVER:
        harness.run_tests(
            test_grafana_save_and_test, test_grafana_variables, test_grafana_explore,
            test_get_and_post_forms_agree, test_gzip, test_large_answers_are_streamed,
            test_keep_alive, test_errors, test_cors, test_pages, test_size_limits,
            test_garbage, test_thousands_of_idle_connections, test_stalled_uploads,
            test_compressed_form, test_query_budgets,
            test_disconnect_cancels, test_slow_queries_do_not_block_writes_and_health)
