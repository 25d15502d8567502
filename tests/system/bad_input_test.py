#!/usr/bin/env python3
"""Whatever comes in over the network ends in the right status and a message that
names the cause; the server keeps serving, and what it stored stays."""
import contextlib
import gzip
import os
import random
import resource
import socket
import threading
import time

import wire
from harness import run_tests, scratch, start_varve, wait_until

SEED = int(os.environ.get("VARVE_TEST_SEED", random.randrange(2**32)))
MEGABYTE = 1 << 20


def now_ms():
    return int(time.time() * 1000)


class Canary:
    """A sample stored before the bad input; looked at, with a fresh one, after."""

    def __init__(self, server):
        self.server, self.count = server, 0
        self.check()

    def check(self):
        self.count += 1
        status, text = wire.write(self.server, wire.series(
            {"__name__": "canary", "n": str(self.count)}, [(now_ms(), self.count)]))
        assert status == 204, "a good write got %s %s" % (status, text)
        got = self.server.data("/api/v1/query", query="sum(canary)")["result"]
        want = self.count * (self.count + 1) // 2
        assert got and float(got[0]["value"][1]) == want, (got, want)
        assert self.server.call("GET", "/-/healthy")[0] == 200


@contextlib.contextmanager
def varve(*flags, config=None):
    with scratch() as directory, start_varve(directory, *flags, config=config) as server:
        canary = Canary(server)
        yield server
        canary.check()


def values(server, query):
    """{label set without name and value: float} of an instant query."""
    return {tuple(sorted(r["metric"].items())): float(r["value"][1])
            for r in server.data("/api/v1/query", query=query)["result"]}


def refused(answer, status, *words):
    got, text = answer
    assert got == status, "status %s, not %s: %s" % (got, status, text[:300])
    for word in words:
        assert word in text, "no %r in %r" % (word, text[:300])


# ------------------------------------------------------------- remote write

def corrupt_snappy_and_protobuf():
    rng = random.Random(SEED)
    with varve() as server:
        message = wire.message(*[
            wire.series({"__name__": "m", "i": str(i)}, [(now_ms(), i)])
            for i in range(50)])
        body = wire.snappy(message)
        refused(wire.write_body(server, b""), 400, "snappy")
        for size in sorted({1, 2, 3, len(body) // 2, len(body) - 1}):
            refused(wire.write_body(server, body[:size]), 400, "snappy")
        for size in (1, 7, len(message) // 2, len(message) - 1):
            refused(wire.write_body(server, wire.snappy(message[:size])), 400,
                    "malformed protobuf at byte")
        refused(wire.write_body(server, message), 400, "snappy")
        refused(wire.write_body(server, wire.snappy(b"\x0b\x0c")), 400, "protobuf")
        for _ in range(100):
            damaged = bytearray(message)
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
            status, text = wire.write_body(server, wire.snappy(bytes(damaged)))
            assert status == 204 or (status == 400 and text), (status, text)
        # A sender that promises 4 GB, or 100 times what it sends.
        refused(wire.write_body(server, b"\xff\xff\xff\xff\x0f"), 413, "4294967295")
        refused(wire.write_body(server, wire.varint(100000) + b"\0" * 900), 400, "snappy")


def wrong_content_types():
    with varve() as server:
        body = wire.snappy(wire.message(wire.series({"__name__": "m"}, [(now_ms(), 1)])))

        def send(**headers):
            return wire.write_body(
                server, body, {k.replace("_", "-"): v for k, v in headers.items()})
        refused(send(Content_Type="application/json"), 415, "application/x-protobuf")
        refused(send(Content_Type="application/x-protobuf", Content_Encoding="gzip"),
                415, "snappy")
        refused(send(Content_Type="application/x-protobuf;"
                     "proto=io.prometheus.write.v3.Request"),
                415, "io.prometheus.write.v2.Request")
        assert send(Content_Type="application/x-protobuf;proto=prometheus.WriteRequest",
                    Content_Encoding="snappy")[0] == 204


def bad_labels_do_not_stop_good_ones():
    with varve() as server:
        t = now_ms()
        bad = [
            ([("a", "b")], "metric name is missing"),
            ([("__name__", "")], "metric name is missing"),
            ([("__name__", "m"), ("", "x")], "label name is empty"),
            ([("__name__", "m"), ("a", "1"), ("a", "2")], '"a" stands twice'),
            ([("__name__", b"\xff")], "not UTF-8"),
            ([("__name__", "m"), (b"\xc3\x28", "x")], "not UTF-8"),
            ([("__name__", "m"), ("a", b"\xed\xa0\x80")], "not UTF-8"),
        ]
        for i, (pairs, why) in enumerate(bad):
            answer = wire.write(
                server,
                wire.series({"__name__": "good", "i": str(i), "side": "before"}, [(t, i)]),
                wire.series(pairs, [(t, 1)]),
                wire.series({"__name__": "good", "i": str(i), "side": "after"}, [(t, i)]))
            refused(answer, 400, why, "1 rejected")
        assert values(server, "count(good)") == {(): 2 * len(bad)}
        # Unsorted labels are sorted, an empty value is no label.
        assert wire.write(server, wire.series(
            [("z", "1"), ("__name__", "unsorted"), ("e", ""), ("a", "2")], [(t, 5)]))[0] == 204
        got = server.data("/api/v1/query", query="unsorted")["result"][0]["metric"]
        assert got == {"__name__": "unsorted", "a": "2", "z": "1"}, got


def samples_that_are_not_taken():
    with varve() as server:
        t = now_ms()
        m = {"__name__": "m"}
        assert wire.write(server, wire.series(m, [(t, 1)]))[0] == 204
        assert wire.write(server, wire.series(m, [(t, 1)]))[0] == 204
        refused(wire.write(server, wire.series(m, [(t, 2), (t + 1, 3)])), 400, "duplicate",
                '__name__="m"', str(t))
        refused(wire.write(server, wire.series(m, [(t + 3600 * 1000, 3)])), 400, "ahead")
        refused(wire.write(server, wire.series(m, [(t - 100 * 24 * 3600 * 1000, 3)])), 400,
                "too old")
        for extreme in (2**63 - 1, -2**63):
            status, text = wire.write(server, wire.series(m, [(extreme, 3)]))
            assert status == 400 and text, (status, text)
        got = server.data("/api/v1/query", query="m[1h]")["result"][0]["values"]
        assert [v for _, v in got] == ["1", "3"], got


def labels_of_a_megabyte():
    with varve("--web.enable-admin-api") as server:
        t = now_ms()
        for name, pairs in (("name", [("__name__", "m"), ("n" * MEGABYTE, "x")]),
                            ("value", [("__name__", "m"), ("a", "v" * MEGABYTE)]),
                            ("metric", [("__name__", "m" * MEGABYTE)])):
            status, text = wire.write(server, wire.series(pairs, [(t, 1)]),
                                      wire.series({"__name__": "beside_" + name}, [(t, 1)]))
            assert status in (204, 400), (name, status, text[:300])
            assert status == 204 or ("long" in text and len(text) < 10000), text[:300]
            assert values(server, "count(beside_%s)" % name) == {(): 1}
        # 10,000 labels on one series.
        many = [("__name__", "many")] + [("l%d" % i, "v") for i in range(10000)]
        status, text = wire.write(server, wire.series(many, [(t, 1)]))
        assert status in (204, 400), (status, text[:300])
        status, _, body = server.call("POST", "/api/v1/admin/tsdb/flush", timeout=60)
        assert status in (200, 204), (status, body)


# ------------------------------------------------------------------ bodies

def send_raw(server, head, body=b"", pieces=1, seconds=60):
    """Sends bytes as they are; -> what came back until the peer was silent."""
    got = b""
    with socket.create_connection(("127.0.0.1", server.port), seconds) as s:
        try:
            s.sendall(head)
            for _ in range(pieces):
                s.sendall(body)
        except OSError:
            pass  # an answer before the end of the body, and then a reset
        with contextlib.suppress(OSError):
            while True:
                piece = s.recv(65536)
                if not piece:
                    break
                got += piece
                if b"\r\n\r\n" in got:
                    s.settimeout(0.5)
    return got


def status_of(answer):
    assert answer.startswith(b"HTTP/1."), answer[:100]
    return int(answer.split()[1])


def bodies_of_100_megabytes():
    with varve() as server:
        size = 100 * MEGABYTE
        for path in ("/api/v1/write", "/api/v1/query"):
            head = ("POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" %
                    (path, size)).encode()
            answer = send_raw(server, head, b"x" * MEGABYTE, 100)
            assert not answer or status_of(answer) in (400, 413), answer[:200]
        chunk = b"100000\r\n" + b"x" * MEGABYTE + b"\r\n"
        answer = send_raw(server, b"POST /api/v1/write HTTP/1.1\r\nHost: x\r\n"
                          b"Transfer-Encoding: chunked\r\n\r\n", chunk, 100)
        assert not answer or status_of(answer) in (400, 413), answer[:200]
        # A length that nobody could send.
        answer = send_raw(server, b"POST /api/v1/write HTTP/1.1\r\nHost: x\r\n"
                          b"Content-Length: 9223372036854775807\r\n\r\n", seconds=10)
        assert status_of(answer) in (400, 413), answer[:200]


def broken_http():
    with varve() as server:
        requests = [
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(200),
            b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\r\n" * 1000,
            b"GET /" + b"a" * MEGABYTE + b" HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 400000 + b"\r\n",
            b"GET / HTTP/1.1\r\nA: " + b"b" * MEGABYTE + b"\r\n\r\n",
            b"POST /api/v1/write HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
            b"POST /api/v1/write HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"GET /api/v1/query?query=%zz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        ]
        for request in requests:
            answer = send_raw(server, request, seconds=5)
            assert not answer or status_of(answer) in (400, 404, 413, 414, 431, 505), (
                request[:60], answer[:200])
        # A body that never ends its promise, and a client that leaves at once.
        with socket.create_connection(("127.0.0.1", server.port)) as s:
            s.sendall(b"POST /api/v1/write HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\nx")


def thousands_of_idle_connections():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = min(4000, hard - 200)
    idle = []
    try:
        with varve() as server:
            for i in range(count):
                try:
                    s = socket.create_connection(("127.0.0.1", server.port), 5)
                except OSError:
                    break  # refused: that is an answer, too
                idle.append(s)
                with contextlib.suppress(OSError):
                    if i % 2 == 1:
                        s.sendall(b"GET /api/v1/query?query=1 HTTP/1.1\r\nHost:")
                    elif i % 20 == 2:
                        s.sendall(b"POST /api/v1/write HTTP/1.1\r\nHost: x\r\n"
                                  b"Content-Length: 1000\r\n\r\nx")
            began = time.monotonic()
            assert server.data("/api/v1/query", query="1+1")["result"][1] == "2"
            assert time.monotonic() - began < 10, "slow beside idle connections"
            for s in idle:
                s.close()
            idle.clear()
    finally:
        for s in idle:
            s.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# ------------------------------------------------------------------ queries

def queries_nested_10000_deep():
    deep = 10000
    queries = {
        "brackets": "(" * deep + "1" + ")" * deep,
        "signs": "-" * deep + "1",
        "sums": "sum(" * deep + "canary" + ")" * deep,
        "subqueries": "canary" + "[1m:1s]" * deep,
        "chain": "+".join(["canary"] * deep),
        "powers": "^".join(["1"] * deep),
        "open": "(" * deep,
        "braces": "{" * deep,
        "labels": "canary{" + ",".join('a%d="b"' % i for i in range(deep)) + "}",
        "alternation": 'canary{n=~"' + "|".join(str(i) for i in range(deep)) + '"}',
        "repetition": 'canary{n=~"' + "(" * 1000 + "x" + "{1000})" * 1000 + '"}',
        "matchers": 'canary{n=~"(((a{0,100}){0,100}){0,100}){0,100}"}',
    }
    with varve() as server:
        for name, query in queries.items():
            status, answer = server.post("/api/v1/query", query=query)
            assert status in (200, 400, 422, 503), (name, status, answer)
            if status != 200:
                assert answer["status"] == "error" and answer["error"], (name, answer)
        for name in ("brackets", "signs", "sums", "subqueries", "open", "braces"):
            status, answer = server.post("/api/v1/query", query=queries[name])
            assert status == 400 and answer["errorType"] == "bad_data", (name, answer)
        status, answer = server.post("/api/v1/query", query="x" * (20 * MEGABYTE))
        assert status in (400, 413), (status, str(answer)[:200])


def bad_parameters():
    with varve() as server:
        good = {"query": "canary", "start": "1", "end": "2", "step": "1"}
        for change in ({"query": ""}, {"query": "foo("}, {"start": "x"}, {"end": ""},
                       {"step": "0"}, {"step": "-1"}, {"step": "NaN"}, {"end": "0"},
                       {"start": "1e400"}, {"timeout": "x"},
                       {"end": "1e18"}, {"limit": "-1"}, {"start": "Inf"}):
            status, answer = server.post("/api/v1/query_range", **{**good, **change})
            assert status == 400 and answer["errorType"] == "bad_data" and answer["error"], (
                change, status, answer)
        for path, params in (("/api/v1/series", {}), ("/api/v1/series", {"match[]": "{}"}),
                             ("/api/v1/labels", {"match[]": "a{"}),
                             ("/api/v1/query", {"query": "canary", "time": "soon"})):
            status, answer = server.post(path, **params)
            assert status == 400 and answer["error"], (path, params, status, answer)


# ----------------------------------------------------------------- scraping

class BadTarget:
    """A listener whose connections are handed to `behave`."""

    def __init__(self, behave):
        self.behave, self.open = behave, []
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(20)
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                s, _ = self.listener.accept()
                self.open.append(s)
                threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s):
        with contextlib.suppress(OSError):
            s.settimeout(30)
            s.recv(65536)
            self.behave(s)

    def close(self):
        self.listener.close()
        for s in self.open:
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
            s.close()


OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n"


def answer_of(body, more=b""):
    def behave(s):
        s.sendall(OK + more + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        s.close()
    return behave


def never_answers(s):
    time.sleep(30)


def streams_for_ever(s):
    s.sendall(OK + b"\r\n")
    while True:
        s.sendall(b"".join(b'endless{i="%d"} 1\n' % i for i in range(1000)))


def drips(s):
    s.sendall(OK + b"\r\n")
    while True:
        s.sendall(b"#")
        time.sleep(0.1)


def endless_headers(s):
    s.sendall(OK)
    while True:
        s.sendall(b"X-More: " + b"x" * 10000 + b"\r\n")


def hangs_up(s):
    s.sendall(OK + b"Content-Length: 1000\r\n\r\nm 1\n")
    s.close()


def is_gone(s):
    s.close()


def redirects(s):
    s.sendall(b"HTTP/1.1 302 Found\r\nLocation: /metrics\r\nContent-Length: 0\r\n\r\n")
    s.close()


SMALL_BOMB = gzip.compress(b"m 1\n" * (64 * MEGABYTE // 4))

BAD_TARGETS = {
    "never": (never_answers, ""),
    "endless": (streams_for_ever, ""),
    "drips": (drips, ""),
    "headers": (endless_headers, ""),
    "hangs_up": (hangs_up, ""),
    "gone": (is_gone, ""),
    "redirects": (redirects, ""),
    "garbage": (answer_of(b"\x00\xff\x01garbage\n"), "line 1"),
    "half": (answer_of(b"good 1\nhalf{a=\"b"), "line 2"),
    "twice": (answer_of(b'm{a="1",a="2"} 1\n'), "twice"),
    "no_utf8": (answer_of(b'm{a="\xff"} 1\n'), "UTF-8"),
    "status": (lambda s: s.sendall(b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"), "500"),
    "not_gzip": (answer_of(b"m 1\n", b"Content-Encoding: gzip\r\n"), ""),
    "half_gzip": (answer_of(gzip.compress(b"m 1\n" * 1000)[:20],
                            b"Content-Encoding: gzip\r\n"), ""),
    "bomb": (answer_of(SMALL_BOMB, b"Content-Encoding: gzip\r\n"), ""),
    "no_type": (lambda s: s.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n"
                                    b"Content-Length: 4\r\n\r\nm 1\n"), "Content-Type"),
    "megabyte": (answer_of(b'm{a="' + b"x" * MEGABYTE + b'"} 1\n'), "too long"),
}


def targets_that_misbehave():
    targets = {name: BadTarget(behave) for name, (behave, _) in BAD_TARGETS.items()}
    targets["fine"] = BadTarget(answer_of(b"fine 1\n"))
    config = ("global: {scrape_interval: 5s, scrape_timeout: 4s}\n"
              "scrape_configs:\n- job_name: j\n  body_size_limit: 10MB\n"
              "  label_value_length_limit: 10000\n  static_configs:\n" +
              "".join("  - {targets: ['%s'], labels: {case: '%s'}}\n" % (t.address, name)
                      for name, t in targets.items()))
    try:
        with varve(config=config) as server:
            def health():
                active = server.get("/api/v1/targets")[1]["data"]["activeTargets"]
                seen = {t["labels"]["case"]: t for t in active}
                if any(t["health"] == "unknown" for t in active):
                    return None
                return seen if len(seen) == len(targets) else None
            seen = wait_until(health, 30, "a scrape of every target")
            for name, (_, word) in BAD_TARGETS.items():
                got = seen[name]
                assert got["health"] == "down" and got["lastError"], (name, got)
                assert word in got["lastError"], (name, got["lastError"])
            down = wait_until(
                lambda: (lambda v: v if len(v) == len(targets) else None)(
                    values(server, "max by (case) (up)")), 20, "up of every target")
            for labels, up in down.items():
                assert up == (1 if dict(labels)["case"] == "fine" else 0), (labels, up)
            # Nothing of a broken body is kept.
            assert values(server, "count({case!~'fine|', __name__!~'up|scrape_.*'})") == {}
            assert values(server, "fine") != {}
    finally:
        for target in targets.values():
            target.close()


if __name__ == "__main__":
    print("VARVE_TEST_SEED=%d" % SEED, flush=True)
    run_tests(corrupt_snappy_and_protobuf, wrong_content_types,
              bad_labels_do_not_stop_good_ones, samples_that_are_not_taken,
              labels_of_a_megabyte, bodies_of_100_megabytes, broken_http,
              thousands_of_idle_connections, queries_nested_10000_deep, bad_parameters,
              targets_that_misbehave)
