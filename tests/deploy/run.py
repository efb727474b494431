"""Tests of what is under deploy/: that it renders, that Kubernetes would take it, and that its parts fit together.

    python3 tests/deploy/run.py --perch target/debug/perch [--all] [--only test_switch]

Fetches its tools by scripts/deploy-tools. What cannot be had is a failure. The binary checks every configuration, answers
smoke tests, and is packed into the image. Tests in all_*.py run with --all only: their tools take long to build.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import unittest
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--perch", type=Path, required=True, help="the binary")
    parser.add_argument(
        "--library", type=Path, help="the folder of ONNX Runtime; by default that of scripts/onnxruntime"
    )
    parser.add_argument("--all", action="store_true", help="also the tests whose tools take long to build")
    parser.add_argument("--only", help="a module or a test, as unittest names them")
    return parser.parse_args()


def with_tools(all_of_them: bool) -> dict[str, str]:
    """Where the tools are; afterwards this is the Python that has the libraries."""
    if "PERCH_DEPLOY_TOOLS" not in os.environ:
        command = [ROOT / "scripts/deploy-tools", *(["--all"] if all_of_them else [])]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if done.returncode != 0:
            sys.exit(done.returncode)
        os.environ["PERCH_DEPLOY_TOOLS"] = done.stdout.strip().splitlines()[-1]
        python = json.loads(os.environ["PERCH_DEPLOY_TOOLS"])["python"]
        os.execv(python, [python, *sys.argv])
    return json.loads(os.environ["PERCH_DEPLOY_TOOLS"])


class Timed(unittest.TextTestResult):
    """Says of every test how long it took."""

    def startTest(self, test: unittest.TestCase) -> None:
        self.began = time.monotonic()
        super().startTest(test)

    def addSuccess(self, test: unittest.TestCase) -> None:
        unittest.TestResult.addSuccess(self, test)
        self.stream.writeln(f"ok ({time.monotonic() - self.began:.1f} s)")


def chosen_tests(chosen: argparse.Namespace) -> unittest.TestSuite:
    sys.path.insert(0, str(HERE))
    loader = unittest.TestLoader()
    if chosen.only:
        return loader.loadTestsFromName(chosen.only)
    suite, long = (loader.discover(str(HERE), pattern, str(HERE)) for pattern in ("test_*.py", "all_*.py"))
    if chosen.all:
        suite.addTests(long)
    else:
        left = ", ".join(f"{name} ({count} tests)" for name, count in modules_of(long).items())
        print(f"left to make test-deploy-all: {left}", file=sys.stderr)
    return suite


def modules_of(suite: unittest.TestSuite) -> Counter[str]:
    """How many tests each module has."""
    found: Counter[str] = Counter()
    for each in suite:
        found.update(modules_of(each) if isinstance(each, unittest.TestSuite) else [type(each).__module__])
    return found


def main() -> None:
    chosen = arguments()
    if (chosen.only or "").startswith("all_") and not chosen.all:
        sys.exit(f"tests/deploy: {chosen.only} needs --all")
    tools = with_tools(chosen.all)
    import kit

    kit.TOOLS.update(tools)
    kit.PERCH = chosen.perch.resolve()
    kit.LIBRARY = (chosen.library or ROOT / ".perch/onnxruntime/cpu").resolve()
    for path in (kit.PERCH, kit.LIBRARY / "libonnxruntime.so"):
        if not path.exists():
            sys.exit(f"tests/deploy: {path} is missing; run: make build runtime")
    runner = unittest.TextTestRunner(verbosity=2, descriptions=False, resultclass=Timed)
    result = runner.run(chosen_tests(chosen))
    sys.exit(not result.wasSuccessful() or not result.testsRun)


if __name__ == "__main__":
    main()
