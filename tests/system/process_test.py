"""The process: flags, environment, signals, reload, ending, refusals."""
import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time

import harness
import wire

CONFIG = """
global: {scrape_interval: 1h, external_labels: {site: "%s"}}
"""


def run(*argv, env=None, seconds=20):
    """-> (exit code, output)"""
    done = subprocess.run([harness.VARVE, *argv], stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=seconds, env={**os.environ, **(env or {})})
    return done.returncode, (done.stdout + done.stderr).decode(errors="replace")


def test_version_and_help():
    code, text = run("--version")
    assert code == 0 and text.startswith("varve, version "), text
    assert "platform:" in text and "build date:" in text
    code, text = run("--help")
    assert code == 0 and "--storage.tsdb.path" in text and "VARVE_" in text


def test_bad_flags():
    for argv, words in (
            (["--nope"], "nope"),
            (["--query.timeout=soon"], "query.timeout"),
            (["--query.max-samples=-3"], "query.max-samples"),
            (["--log.level=loud"], "log.level"),
            (["--storage.tsdb.wal-fsync=often"], "wal-fsync"),
            (["--web.config.file=web.yml"], "web.config.file is refused"),
            (["--storage.tsdb.retention.size=10G"], "retention.size"),
            (["--agent"], "agent"),
            (["--query.timeout=1s", "--query.timeout=2s"], "query.timeout")):
        code, text = run(*argv)
        assert code == 2 and words in text, (argv, code, text)


# Every flag that `prometheus --help` of 3.5 lists, hidden ones included.
PROMETHEUS_FLAGS = """
--alertmanager.drain-notification-queue-on-shutdown --alertmanager.notification-batch-size=256
--alertmanager.notification-queue-capacity=10000 --auto-gomaxprocs --no-auto-gomemlimit
--auto-gomemlimit.ratio=0.9 --config.auto-reload-interval=30s
--enable-feature=native-histograms,exemplar-storage --log.format=logfmt --log.level=info
--query.lookback-delta=5m --query.max-concurrency=20 --query.max-samples=50000000
--query.timeout=2m --rules.alert.for-grace-period=10m --rules.alert.for-outage-tolerance=1h
--rules.alert.resend-delay=1m --rules.max-concurrent-evals=4 --scrape.adjust-timestamps
--scrape.discovery-reload-interval=5s --scrape.timestamp-tolerance=2ms
--storage.agent.no-lockfile --storage.agent.path=x --storage.agent.retention.max-time=0s
--storage.agent.retention.min-time=0s --storage.agent.wal-compression
--storage.agent.wal-compression-type=snappy --storage.agent.wal-segment-size=0B
--storage.agent.wal-truncate-frequency=0s --storage.remote.flush-deadline=1m
--storage.remote.read-concurrent-limit=10 --storage.remote.read-max-bytes-in-frame=1048576
--storage.remote.read-sample-limit=5e7 --storage.tsdb.allow-overlapping-compaction
--storage.tsdb.delayed-compaction.max-percent=10 --storage.tsdb.head-chunks-write-queue-size=0
--storage.tsdb.max-block-chunk-segment-size=0B --storage.tsdb.max-block-duration=1d12h
--storage.tsdb.min-block-duration=2h --no-storage.tsdb.no-lockfile
--storage.tsdb.retention.size=0B --storage.tsdb.retention.time=15d
--storage.tsdb.samples-per-chunk=120 --storage.tsdb.wal-compression
--storage.tsdb.wal-compression-type=snappy --storage.tsdb.wal-segment-size=0B
--web.console.libraries=x --web.console.templates=x --web.cors.origin=.*
--web.enable-admin-api --no-web.enable-lifecycle --web.enable-otlp-receiver
--web.enable-remote-write-receiver --web.external-url= --web.local-assets=x
--web.max-connections=512 --web.max-notifications-subscribers=16 --web.page-title=T
--web.read-timeout=5m
--web.remote-write-receiver.accepted-protobuf-messages=prometheus.WriteRequest
--web.remote-write-receiver.accepted-protobuf-messages=io.prometheus.write.v2.Request
--web.route-prefix=/ --web.user-assets=x
""".split()


def test_every_flag_of_prometheus_is_known():
    with harness.scratch() as directory:
        with harness.start_varve(directory, *PROMETHEUS_FLAGS, config="") as server:
            flags = server.get("/api/v1/status/flags")[1]["data"]
            for flag in PROMETHEUS_FLAGS:
                name = flag.lstrip("-").split("=")[0]
                assert name in flags or name.removeprefix("no-") in flags, name
            assert flags["web.enable-admin-api"] == "true"
            assert flags["auto-gomemlimit"] == "false"
            assert server.stop() == 0
            assert "--storage.tsdb.wal-compression has no effect here" in server.log_text()
            assert "--query.timeout has no effect" not in server.log_text()


def test_environment_and_subcommand():
    with harness.scratch() as directory:
        port = harness.free_port()
        env = {**os.environ, "VARVE_STORAGE_TSDB_PATH": directory + "/elsewhere",
               "VARVE_WEB_LISTEN_ADDRESS": "127.0.0.1:%d" % port,
               "VARVE_WEB_ENABLE_LIFECYCLE": "true"}
        server = harness.Server([harness.VARVE, "serve", "--log.format=json"], port,
                                directory + "/log", cwd=directory, env=env)
        with server.wait_ready():
            assert os.path.isdir(directory + "/elsewhere")
            assert server.call("POST", "/-/quit")[0] == 200
            assert server.process.wait(20) == 0
            for line in server.log_text().splitlines():
                assert json.loads(line)["msg"]


def test_without_a_configuration_it_scrapes_itself():
    with harness.scratch() as directory:
        with harness.start_varve(directory) as server:
            def up():
                got = server.data("/api/v1/query", query='up{job="varve"}')["result"]
                return got and got[0]["value"][1] == "1"
            harness.wait_until(up, 40, "varve to have scraped itself")
            target = server.get("/api/v1/targets")[1]["data"]["activeTargets"][0]
            assert target["health"] == "up" and target["scrapePool"] == "varve", target
            assert "Server is ready to receive web requests." in server.log_text()


def test_refuses_what_it_must_not_touch():
    with harness.scratch() as directory:
        with harness.start_varve(directory, config="") as server:
            code, text = run("--storage.tsdb.path=" + directory + "/data",
                             "--web.listen-address=127.0.0.1:0")
            assert code == 1, (code, text)
            code, text = run("--storage.tsdb.path=" + directory + "/other",
                             "--web.listen-address=127.0.0.1:%d" % server.port)
            assert code == 1 and "cannot listen on" in text, (code, text)
        foreign = directory + "/prometheus"
        os.makedirs(foreign + "/01HZXAMPLEXXXXXXXXXXXXXXXX")
        os.makedirs(foreign + "/chunks_head")
        os.makedirs(foreign + "/wal")
        for name in ("/wal/00000000", "/lock", "/queries.active",
                     "/01HZXAMPLEXXXXXXXXXXXXXXXX/meta.json"):
            with open(foreign + name, "w") as f:
                f.write("{}")
        before = sorted(os.walk(foreign))
        code, text = run("--storage.tsdb.path=" + foreign, "--web.listen-address=127.0.0.1:0")
        assert code == 1 and "Prometheus" in text, (code, text)
        assert sorted(os.walk(foreign)) == before
        code, text = run("--config.file=" + directory + "/none.yml",
                         "--storage.tsdb.path=" + directory + "/x",
                         "--web.listen-address=127.0.0.1:0")
        assert code == 1 and "none.yml" in text, (code, text)
        assert not os.path.exists(directory + "/x")


def site(server):
    text = server.get("/api/v1/status/config")[1]["data"]["yaml"]
    return [l.split(":")[1].strip() for l in text.splitlines() if "site:" in l][0]


def write_config(directory, text):
    path = directory + "/varve.yml"
    with open(path + ".new", "w") as f:
        f.write(text)
    os.rename(path + ".new", path)


def test_reload():
    with harness.scratch() as directory:
        with harness.start_varve(directory, "--web.enable-lifecycle", "--config.auto-reload-interval=0s",
                                 config=CONFIG % "a") as server:
            assert site(server) == "a"
            write_config(directory, CONFIG % "b")
            server.process.send_signal(signal.SIGHUP)
            harness.wait_until(lambda: site(server) == "b", what="SIGHUP to reload")
            write_config(directory, CONFIG % "c")
            assert server.call("POST", "/-/reload")[0] == 200 and site(server) == "c"
            write_config(directory, "global: {scrap_interval: 1m}\n")
            status, _, body = server.call("POST", "/-/reload")
            assert status == 500 and b"scrap_interval" in body and b"varve.yml:1" in body, body
            info = server.get("/api/v1/status/runtimeinfo")[1]["data"]
            assert info["reloadConfigSuccess"] is False and site(server) == "c"
            server.process.send_signal(signal.SIGHUP)      # does not end it either
            write_config(directory, CONFIG % "d")
            assert server.call("POST", "/-/reload")[0] == 200 and site(server) == "d"
            info = server.get("/api/v1/status/runtimeinfo")[1]["data"]
            assert info["reloadConfigSuccess"] is True


def test_reload_when_the_file_changes():
    with harness.scratch() as directory:
        with harness.start_varve(directory, "--config.auto-reload-interval=100ms",
                                 config=CONFIG % "a") as server:
            write_config(directory, CONFIG % "b")
            harness.wait_until(lambda: site(server) == "b", what="the change to be seen")


def test_ends_gracefully_and_keeps_everything():
    with harness.scratch() as directory:
        now = int(time.time()) * 1000
        for how in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL, signal.SIGTERM):
            with harness.start_varve(directory, config="") as server:
                now += 1
                status, text = wire.write(server, wire.series([("__name__", "kept")], [(now, float(now))]))
                assert status == 204, text
                code = server.stop(how)
                assert code == (0 if how != signal.SIGKILL else -9), (how, code, server.log_text())
        with harness.start_varve(directory, config="") as server:
            got = server.data("/api/v1/query", query="count_over_time(kept[1h])")["result"]
            assert got and got[0]["value"][1] == "4", got


def test_running_queries_finish_when_it_ends():
    with harness.scratch() as directory:
        with harness.start_varve(directory, config="") as server:
            now = int(time.time())
            wire.write(server, wire.series([("__name__", "m")], [(now * 1000, 1.0)]))
            answers = []

            def ask():
                answers.append(server.post(
                    "/api/v1/query_range", query="sum(sum_over_time(m[5m:20ms]))", start=now - 600,
                    end=now, step="0.1"))
            client = threading.Thread(target=ask)
            client.start()
            time.sleep(0.05)
            assert server.stop() == 0
            client.join()
            status, answer = answers[0]
            assert status in (200, 499, 503), answer


def test_listens_before_it_is_ready():
    # An answer comes at once, whatever the database is still doing.
    with harness.scratch() as directory:
        server = harness.start_varve(directory, config="", wait=False)
        with server:
            def health():
                with contextlib.suppress(OSError):
                    return server.call("GET", "/-/healthy")[0] == 200
            harness.wait_until(health, pause=0.005)
            assert server.call("GET", "/-/ready")[0] in (200, 503)
            server.wait_ready()


def test_route_prefix():
    with harness.scratch() as directory:
        port = harness.free_port()
        server = harness.start_varve(directory, "--web.external-url=http://x/varve/", config="",
                                     wait=False, port=port)
        with server:
            server.ready_path = "/varve/-/ready"
            server.wait_ready()
            assert server.get("/varve/api/v1/query", query="1")[0] == 200
            assert server.call("GET", "/api/v1/query?query=1")[0] == 404


def test_default_addresses():
    # Only the log can say it without taking port 9090 from somebody.
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("0.0.0.0", 9090))
            s.listen()
        except OSError:
            pass    # taken by another: as good
        with harness.scratch() as directory:
            code, text = run("--storage.tsdb.path=" + directory + "/d")
            assert code == 1 and "cannot listen on 127.0.0.1:9090" in text, text
            with open(directory + "/c.yml", "w") as f:
                f.write("")
            code, text = run("--storage.tsdb.path=" + directory + "/d",
                             "--config.file=" + directory + "/c.yml")
            assert code == 1 and "cannot listen on 0.0.0.0:9090" in text, text


if __name__ == "__main__":
    harness.run_tests(
        test_version_and_help, test_bad_flags, test_every_flag_of_prometheus_is_known,
        test_environment_and_subcommand, test_without_a_configuration_it_scrapes_itself,
        test_refuses_what_it_must_not_touch, test_reload, test_reload_when_the_file_changes,
        test_ends_gracefully_and_keeps_everything, test_running_queries_finish_when_it_ends,
        test_listens_before_it_is_ready, test_route_prefix, test_default_addresses)
