#!/usr/bin/env python3
"""Runs the shared PromQL conformance cases against varve and holds the list of
those that pass, tests/promql/conformance_passing.txt, as a ratchet: a case that
is listed must pass. `conformance_test.py --update` writes the list anew."""
import json
import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SUITE = os.path.join(ROOT, "..", "shared", "conformance")
RATCHET = os.path.join(ROOT, "tests", "promql", "conformance_passing.txt")


def name_of(case, seen):
    """file:line, the line being that of the eval in its file."""
    name = "%s:%s" % (case["file"], case["line"])
    assert name not in seen, "two cases of one name: " + name
    return name


def run():
    """-> {name: passed}"""
    with tempfile.TemporaryDirectory(prefix="varve-test-") as directory:
        out = os.path.join(directory, "results.json")
        subprocess.run(
            [sys.executable, os.path.join(SUITE, "runner", "promqltest"), "--adapter", "varve",
             "--dir", os.path.join(SUITE, "promqltest"), "--json", out, "--min", "1"],
            check=True, timeout=1200)
        with open(out) as f:
            cases = json.load(f)["cases"]
    results = {}
    for case in cases:
        results[name_of(case, results)] = case["status"] == "passed"
    return results


def main():
    results = run()
    passing = sorted(name for name, passed in results.items() if passed)
    if "--update" in sys.argv:
        with open(RATCHET, "w") as f:
            f.writelines(name + "\n" for name in passing)
        print("%d cases listed" % len(passing))
        return 0
    with open(RATCHET) as f:
        listed = f.read().split()
    lost = [name for name in listed if not results.get(name)]
    new = set(passing) - set(listed)
    print("%d of %d pass; %d listed, %d of them lost, %d new" % (
        len(passing), len(results), len(listed), len(lost), len(new)))
    for name in lost:
        print("  no longer passes: " + name)
    return 1 if lost or not listed else 0


if __name__ == "__main__":
    sys.exit(main())
