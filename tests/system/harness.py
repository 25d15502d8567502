"""What the black-box tests share: processes on free loopback ports, HTTP calls,
bounded waiting. Standard library only."""
import contextlib
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse

VARVE = os.environ.get("VARVE_BIN", "build/release/varve")
PEERS = os.environ.get("VARVE_PEERS", "")


def peer(name):
    """Path of an unpacked peer's program; the test is skipped without it."""
    path = os.path.join(PEERS, "usr/bin", name)
    if not os.path.exists(path):
        print("skipped: no %s; tools/test unpacks it" % path)
        sys.exit(77)
    return path


def free_port():
    """A port that nobody listens on, outside the range from which the system
    takes the ports of outgoing connections: those of other tests would take one
    from there between this and the start of the server."""
    for _ in range(100):
        port = random.SystemRandom().randrange(10000, 32000)
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port in 100 attempts")


def wait_until(condition, seconds=30, what="condition", pause=0.05):
    """Polls until the condition gives something true; returns that."""
    deadline = time.monotonic() + seconds
    while True:
        got = condition()
        if got:
            return got
        if time.monotonic() > deadline:
            raise AssertionError("waited %ss in vain for %s" % (seconds, what))
        time.sleep(pause)


class Server:
    """A process with an HTTP port. Use as a context manager."""

    def __init__(self, argv, port, log, ready="/-/ready", cwd=None, env=None):
        self.port, self.log_path, self.ready_path = port, log, ready
        self.log = open(log, "ab")
        self.process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
            cwd=cwd, env=env)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def log_text(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def wait_ready(self, seconds=30):
        def ready():
            if self.process.poll() is not None:
                raise AssertionError("process ended with %s:\n%s" % (
                    self.process.returncode, self.log_text()[-3000:]))
            with contextlib.suppress(OSError, http.client.HTTPException):
                return self.call("GET", self.ready_path)[0] == 200
        wait_until(ready, seconds, "%s of port %d" % (self.ready_path, self.port))
        return self

    def stop(self, how=signal.SIGTERM, seconds=20):
        """-> exit code; killed when it does not end in time."""
        if self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()
        return self.process.returncode

    def call(self, method, path, body=None, headers=None, timeout=30):
        """-> (status, headers, body bytes); one connection a call."""
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            c.request(method, path, body=body, headers=headers or {})
            r = c.getresponse()
            return r.status, r.headers, r.read()
        finally:
            c.close()

    def get(self, path, **params):
        """-> (status, parsed JSON)"""
        query = urllib.parse.urlencode(params, doseq=True)
        status, _, body = self.call("GET", path + ("?" + query if query else ""))
        return status, json.loads(body)

    def post(self, path, **params):
        status, _, body = self.call(
            "POST", path, urllib.parse.urlencode(params, doseq=True),
            {"Content-Type": "application/x-www-form-urlencoded"})
        return status, json.loads(body)

    def data(self, path, **params):
        """The `data` of a successful answer."""
        status, answer = self.post(path, **params)
        assert status == 200 and answer["status"] == "success", (path, params, answer)
        return answer["data"]


def start_varve(directory, *flags, config=None, port=None, wait=True, env=None):
    """varve on a free port with its data below `directory`."""
    port = port or free_port()
    argv = [VARVE, "--storage.tsdb.path=" + os.path.join(directory, "data"),
            "--web.listen-address=127.0.0.1:%d" % port]
    if config is not None:
        path = os.path.join(directory, "varve.yml")
        with open(path, "w") as f:
            f.write(config)
        argv.append("--config.file=" + path)
    server = Server(argv + list(flags), port, os.path.join(directory, "varve.log"),
                    env=env)
    return server.wait_ready() if wait else server


@contextlib.contextmanager
def scratch():
    """A temporary directory, removed afterwards."""
    path = tempfile.mkdtemp(prefix="varve-test-")
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def run_tests(*tests):
    """Runs functions in turn; prints each name; exit status 1 if any failed."""
    failed = 0
    for test in tests:
        began = time.monotonic()
        try:
            test()
            verdict = "ok"
        except AssertionError as e:
            failed += 1
            verdict = "FAILED: %s" % e
        print("%-40s %6.1fs  %s" % (test.__name__, time.monotonic() - began, verdict),
              flush=True)
    sys.exit(1 if failed else 0)
