#!/usr/bin/env python3
"""Deletion as a client sees it: at once, also when the process is killed right
after the answer; what is written later stays; the space comes back."""
import glob
import os
import random
import signal
import time
import urllib.parse

import wire
from harness import run_tests, scratch, start_varve

HOUR = 3600 * 1000
ADMIN = "/api/v1/admin/tsdb/"


def put(server, name, samples, **labels):
    status, text = wire.write(server, wire.series({"__name__": name, **labels}, samples))
    assert status == 204, (status, text)


def admin(server, what, **params):
    path = ADMIN + what + "?" + urllib.parse.urlencode(params, doseq=True)
    status, _, body = server.call("POST", path, timeout=120)
    assert (status, body) == (204, b""), (what, status, body)


def counts(server):
    """-> {(label n, label l): samples of the last 30 h}"""
    result = server.data("/api/v1/query",
                         query='count_over_time({n!=""}[30h])')["result"]
    return {(r["metric"]["n"], r["metric"]["l"]): int(r["value"][1]) for r in result}


def listed(server, label):
    status, answer = server.get("/api/v1/label/%s/values" % label)
    assert status == 200, answer
    return answer["data"]


def block_bytes(directory):
    return sum(os.path.getsize(f) for f in
               glob.glob(os.path.join(directory, "data", "blocks", "*")))


def fill(server, now):
    """Three series over a day, in blocks, and the newest hour in the head. Their
    values differ, for what is equal is stored once."""
    values = random.Random(1)
    for l in ("a", "b", "c"):
        put(server, "m", [(now - HOUR * h - i * 15000, values.random())
                          for h in range(24, 2, -1) for i in range(200, 0, -1)], n="m", l=l)
    admin(server, "flush")
    for l in ("a", "b", "c"):
        put(server, "m", [(now - i * 15000, i) for i in range(100, 0, -1)], n="m", l=l)


def deletions_survive_a_kill():
    with scratch() as directory:
        now = int(time.time() * 1000)
        server = start_varve(directory, "--web.enable-admin-api")
        try:
            fill(server, now)
            assert counts(server) == {("m", l): 4500 for l in "abc"}, counts(server)
            admin(server, "delete_series", **{"match[]": ['m{l="b"}', 'nothing{l="a"}']})
            server.stop(signal.SIGKILL)
            server = start_varve(directory, "--web.enable-admin-api")
            assert counts(server) == {("m", l): 4500 for l in "ac"}, counts(server)
            assert listed(server, "l") == ["a", "c"], listed(server, "l")
            # A range in head and blocks; a sample of a time that was deleted.
            admin(server, "delete_series", **{"match[]": 'm{l="c"}',
                                              "start": (now - 10 * HOUR) / 1000})
            left = counts(server)[("m", "c")]
            assert 0 < left < 4500, left
            put(server, "m", [(now - HOUR, 42)], n="m", l="c")
            put(server, "m", [(now - HOUR, 43)], n="m", l="b")
            server.stop(signal.SIGKILL)
            server = start_varve(directory, "--web.enable-admin-api")
            expected = {("m", "a"): 4500, ("m", "b"): 1, ("m", "c"): left + 1}
            assert counts(server) == expected, counts(server)
            # The space comes back.
            before = block_bytes(directory)
            admin(server, "clean_tombstones")
            assert block_bytes(directory) < before * 0.8, (before, block_bytes(directory))
            assert counts(server) == expected, counts(server)
            admin(server, "delete_series", **{"match[]": '{n="m"}'})
            assert counts(server) == {}, counts(server)
            assert listed(server, "l") == [], listed(server, "l")
            admin(server, "clean_tombstones")
            assert block_bytes(directory) == 0, block_bytes(directory)
            server.stop(signal.SIGKILL)
            server = start_varve(directory, "--web.enable-admin-api")
            assert counts(server) == {}, counts(server)
        finally:
            server.stop()


if __name__ == "__main__":
    run_tests(deletions_survive_a_kill)
