#!/usr/bin/env python3
"""A full disk, a damaged log, a damaged block: the server says so, goes on, and
loses nothing but what the damage hit."""
import glob
import os
import resource
import signal
import subprocess
import time

import wire
from harness import run_tests, scratch, start_varve, wait_until

HOUR = 3600 * 1000


def now_ms():
    return int(time.time() * 1000)


def put(server, name, samples, want=204):
    status, text = wire.write(server, wire.series({"__name__": name}, samples))
    assert status == want, "writing %s got %s %s" % (name, status, text)
    return text


def count_of(server, name, window="12h"):
    """-> (number of samples, warnings)"""
    answer = server.post("/api/v1/query",
                         query="count_over_time(%s[%s])" % (name, window))[1]
    assert answer["status"] == "success", answer
    result = answer["data"]["result"]
    return (int(float(result[0]["value"][1])) if result else 0, answer.get("warnings", []))


def files(directory, folder):
    return sorted(f for f in glob.glob(os.path.join(directory, "data", folder, "**"),
                                       recursive=True) if os.path.isfile(f))


def flip(path, at, length=1):
    with open(path, "r+b") as f:
        f.seek(at, os.SEEK_SET if at >= 0 else os.SEEK_END)
        damaged = bytes(b ^ 0x5a for b in f.read(length))
        f.seek(at, os.SEEK_SET if at >= 0 else os.SEEK_END)
        f.write(damaged)


# ---------------------------------------------------------------- full disk

def writes_are_refused(server):
    # Many samples: the log has taken room for some MiB in advance.
    t = now_ms()
    samples = [(t - i, 1) for i in range(20000, 0, -1)]
    status, text = wire.write(server, wire.series({"__name__": "late"}, samples))
    assert status in (204, 503), (status, text)
    return text if status == 503 else None


def check_full_disk(server, make_room):
    """The disk of this server is full now, or soon will be."""
    text = wait_until(lambda: writes_are_refused(server), 30, "a 503")
    assert "storage" in text or "space" in text or "too large" in text or "/" in text, text
    # Queries go on, and so does the server.
    assert count_of(server, "early")[0] == 100
    assert server.call("GET", "/-/healthy")[0] == 200
    assert server.process.poll() is None
    make_room()
    wait_until(lambda: writes_are_refused(server) is None, 30, "writes again")
    put(server, "after", [(now_ms(), 7)])


def check_after_restart(directory, flags=()):
    with start_varve(directory, *flags) as server:
        assert count_of(server, "early") == (100, [])
        assert count_of(server, "after") == (1, [])


def early(server):
    t = now_ms()
    put(server, "early", [(t - i * 1000, i) for i in range(100, 0, -1)])


def disk_that_takes_no_byte():
    """Every write fails, as on a full disk; needs no root."""
    with scratch() as directory:
        # Without this a write beyond the limit would be a signal.
        old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            server = start_varve(directory)
        finally:
            signal.signal(signal.SIGXFSZ, old)
        with server:
            early(server)
            unlimited = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE,
                             (0, unlimited[1]))
            check_full_disk(server, lambda: resource.prlimit(
                server.process.pid, resource.RLIMIT_FSIZE, unlimited))
            server.stop(signal.SIGKILL)
        check_after_restart(directory)


def disk_without_space():
    """A real full disk, where the test may mount one."""
    with scratch() as directory:
        data = os.path.join(directory, "data")
        os.mkdir(data)
        if os.geteuid() != 0 or subprocess.run(
                ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", data],
                capture_output=True).returncode != 0:
            print("(not allowed to mount: skipped)")
            return
        filler = os.path.join(data, "filler")
        try:
            with start_varve(directory) as server:
                early(server)
                with open(filler, "wb") as f:
                    try:
                        while True:
                            f.write(bytes(1 << 16))
                            f.flush()
                    except OSError:
                        pass
                check_full_disk(server, lambda: os.remove(filler))
                server.stop(signal.SIGKILL)
            check_after_restart(directory)
        finally:
            subprocess.run(["umount", "-l", data], check=True)


# -------------------------------------------------------------- damaged log

def logged(directory, names):
    """Writes 10 samples under each name, one request each, and dies."""
    with start_varve(directory) as server:
        t = now_ms()
        for n, name in enumerate(names):
            put(server, name, [(t - 20000 + n * 1000 + i, i) for i in range(10)])
        server.stop(signal.SIGKILL)
    segments = [f for f in files(directory, "wal") if os.path.getsize(f) > 100]
    assert segments, files(directory, "wal")
    return segments[-1]


NAMES = ["w%d" % i for i in range(10)]


def torn_tail_of_the_log():
    for cut in (1, 5, 13):
        with scratch() as directory:
            segment = logged(directory, NAMES)
            os.truncate(segment, os.path.getsize(segment) - cut)
            with start_varve(directory) as server:
                for name in NAMES[:-1]:
                    assert count_of(server, name)[0] == 10, (cut, name)
                put(server, "more", [(now_ms(), 1)])
                server.stop(signal.SIGKILL)
            with start_varve(directory) as server:
                assert count_of(server, "w0")[0] == 10
                assert count_of(server, "more")[0] == 1


def garbage_behind_the_log():
    with scratch() as directory:
        segment = logged(directory, NAMES)
        with open(segment, "ab") as f:
            f.write(os.urandom(1000))
        with start_varve(directory) as server:
            for name in NAMES:
                assert count_of(server, name)[0] == 10, name
            put(server, "more", [(now_ms(), 1)])


def damage_inside_the_log():
    """Costs the record it hits, no other, and is told."""
    with scratch() as directory:
        segment = logged(directory, NAMES)
        flip(segment, os.path.getsize(segment) // 2, 4)
        with start_varve(directory) as server:
            counts = [count_of(server, name)[0] for name in NAMES]
            assert sum(c == 10 for c in counts) >= len(NAMES) - 2, counts
            assert all(c in (0, 10) for c in counts), counts
            page = server.call("GET", "/metrics")[2].decode()
            corruptions = [line for line in page.splitlines()
                           if line.startswith(("varve_wal_corruptions_total ",
                                               "prometheus_tsdb_wal_corruptions_total "))]
            assert corruptions and float(corruptions[0].split()[1]) >= 1, corruptions
            put(server, "more", [(now_ms(), 1)])


# ------------------------------------------------------------ damaged block

def sealed(directory):
    """Two blocks' worth of samples, flushed, and a clean stop."""
    with start_varve(directory, "--web.enable-admin-api") as server:
        t = now_ms()
        put(server, "old", [(t - 8 * HOUR + i, i) for i in range(100)])
        put(server, "new", [(t - 60000 + i, i) for i in range(100)])
        status, _, body = server.call("POST", "/api/v1/admin/tsdb/flush", timeout=60)
        assert status in (200, 204), (status, body)
        server.stop()
    blocks = [f for f in files(directory, "blocks") if os.path.getsize(f) > 100]
    assert len(blocks) >= 2, files(directory, "")
    return sorted(blocks, key=os.path.getmtime)


def check_damaged_block(damage):
    """damage(path) spoils every block of 8 hours ago, which it finds by trying:
    exactly one of the two names must be missing afterwards, with a warning."""
    with scratch() as directory:
        blocks = sealed(directory)
        damage(blocks[0])
        with start_varve(directory) as server:
            (old, old_warnings), (new, new_warnings) = (
                count_of(server, "old"), count_of(server, "new", "5m"))
            assert (old, new) in ((0, 100), (100, 0)), (old, new)
            warnings = count_of(server, '{__name__=~"old|new"}')[1]
            assert warnings and any("block" in w for w in warnings), (
                old_warnings, new_warnings, warnings)
            put(server, "more", [(now_ms(), 1)])
            assert count_of(server, "more")[0] == 1
        # Again: set aside, not deleted and not forgotten.
        with start_varve(directory) as server:
            assert count_of(server, '{__name__=~"old|new"}')[1]
            assert count_of(server, "more")[0] == 1


def block_cut_short():
    check_damaged_block(lambda path: os.truncate(path, os.path.getsize(path) // 2))


def block_emptied():
    check_damaged_block(lambda path: os.truncate(path, 0))


def block_gone():
    check_damaged_block(os.remove)


def block_with_a_wrong_head():
    check_damaged_block(lambda path: flip(path, 0, 8))


def block_with_a_wrong_tail():
    check_damaged_block(lambda path: flip(path, -8, 8))


def told_or_whole(server):
    """What is missing of `old` and `new` is told by a warning."""
    for name in ("old", "new"):
        count, warnings = count_of(server, name)
        assert count == 100 or any("block" in w for w in warnings), (name, count, warnings)
    put(server, "more", [(now_ms(), 1)])


def block_with_a_wrong_middle():
    for part in (0.2, 0.5, 0.8):
        with scratch() as directory:
            for block in sealed(directory):
                flip(block, int(os.path.getsize(block) * part), 16)
            with start_varve(directory) as server:
                told_or_whole(server)


def blocks_damaged_under_the_running_server():
    for damage in (lambda path: flip(path, 0, os.path.getsize(path)),
                   lambda path: os.truncate(path, 10), os.remove):
        with scratch() as directory:
            blocks = sealed(directory)
            with start_varve(directory) as server:
                for block in blocks:
                    damage(block)
                told_or_whole(server)
            with start_varve(directory) as server:
                told_or_whole(server)


if __name__ == "__main__":
    run_tests(disk_that_takes_no_byte, disk_without_space, torn_tail_of_the_log,
              garbage_behind_the_log, damage_inside_the_log, block_cut_short,
              block_emptied, block_gone, block_with_a_wrong_head,
              block_with_a_wrong_tail, block_with_a_wrong_middle,
              blocks_damaged_under_the_running_server)
