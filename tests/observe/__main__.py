"""Runs the tests of what operators have: dashboards and rules, a rolling restart, recovery from a backup.

    python3 tests/observe --perch target/debug/perch --library .perch/onnxruntime/cpu/libonnxruntime.so

Needs Python 3.11, and what scripts/observe-tools and scripts/services install. Exits 1 when anything is not as it should be, 69 when
something needed is missing.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path

import files
import fleet
import recovered
import restarted
import watched
from kit import Wrong

TESTS = {
    "files": (lambda _: files.check(), "Rules, their cases, and dashboards"),
    "watched": (watched.check, "Two replicas under load and during a demotion, watched by Prometheus"),
    "restarted": (restarted.check, "Three replicas behind HAProxy, restarted one after the other"),
    "recovered": (recovered.check, "Recovery from a backup"),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--perch", type=Path, required=True)
    parser.add_argument("--library", type=Path, default=os.environ.get("ORT_DYLIB_PATH"), help="libonnxruntime.so")
    parser.add_argument("--fleet", action="store_true", default=fleet.FLEET, help="replicas share PostgreSQL")
    parser.add_argument("--rounds", type=int, default=1, help="how often each replica is restarted")
    parser.add_argument("tests", nargs="*", metavar="|".join(TESTS), help="those, instead of all")
    args = parser.parse_args()
    if args.library is None:
        parser.error("--library (or ORT_DYLIB_PATH) is needed")
    if unknown := set(args.tests) - set(TESTS):
        parser.error(f"no such test: {', '.join(sorted(unknown))}")
    args.perch, args.library = args.perch.resolve(), args.library.resolve()
    # So that a killed test takes its processes with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for name in args.tests or TESTS:
        test, title = TESTS[name]
        print(f"== {title}", flush=True)
        began = time.monotonic()
        try:
            test(args)
        except Wrong as wrong:
            print(f"FAILED {name}: {wrong}", file=sys.stderr)
            return 1
        print(f"ok {name}, {time.monotonic() - began:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
