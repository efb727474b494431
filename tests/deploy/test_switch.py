"""scripts/switch: what it asks kubectl for, with a kubectl that notes it, and smoke tests on two real servers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import unittest
from contextlib import ExitStack
from pathlib import Path

import kit

SMOKE = kit.ROOT / "examples/curve_forecaster/smoke_tests.jsonl"


class Switch(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        """One serves version 2, of which the smoke tests are; the other serves version 1, which answers otherwise."""
        stack = ExitStack()
        cls.addClassCleanup(stack.close)
        cls.other = stack.enter_context(kit.serving())
        models = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "models"
        kit.run("cp", "-a", kit.ROOT / "examples/models", models)
        kit.run(kit.PERCH, "models", "alias", "set", "curve_forecaster", "stable", "2", "--models", models)
        cls.good = stack.enter_context(kit.serving(models))

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        kubectl = self.folder / "kubectl"
        kubectl.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{kit.ROOT}/tests/deploy/fake_kubectl.py" "$@"\n')
        kubectl.chmod(0o755)

    def cluster(self, **changes: object) -> None:
        port = self.good.rpartition(":")[2]
        state = {
            "namespace": "perch",
            "service": "blue",
            "replicas": {"blue": 3, "green": 3},
            "ports": {"blue": port, "green": port, "service": None},
            "calls": [],
        }
        (self.folder / "state.json").write_text(json.dumps({**state, **changes}))

    def switch(self, *words: object, code: int = 0) -> str:
        environment = {
            **os.environ,
            "PATH": f"{self.folder}:{os.environ['PATH']}",
            "FAKE_KUBECTL": str(self.folder / "state.json"),
        }
        command = [sys.executable, kit.ROOT / "scripts/switch", *words]
        done = subprocess.run(
            [str(word) for word in command], env=environment, capture_output=True, text=True, timeout=60
        )
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        self.state = json.loads((self.folder / "state.json").read_text())
        self.calls = [call.removeprefix("--namespace perch ").split()[:2] for call in self.state["calls"]]
        return done.stdout + done.stderr

    def patches(self) -> int:
        return self.calls.count(["patch", "service"])

    def test_over_and_back(self) -> None:
        self.cluster()
        said = self.switch("green", "--smoke", SMOKE)
        self.assertEqual(self.state["service"], "green")
        order = [["get", "service"], ["get", "deployment"], ["get", "deployment"], ["rollout", "status"]]
        order += [["port-forward", "service/perch-green"], ["patch", "service"], ["port-forward", "service/perch"]]
        self.assertEqual(self.calls, order)
        tests = len(SMOKE.read_text().splitlines())
        self.assertIn(f"perch-green: ready, {tests} smoke tests passed", said)
        self.switch("back", "--smoke", SMOKE)
        self.assertEqual(self.state["service"], "blue")

    def test_who_is_there_already_stays(self) -> None:
        self.cluster()
        self.assertIn("perch is blue already", self.switch("blue"))
        self.assertEqual(self.calls, [["get", "service"]])

    def test_what_answers_otherwise_gets_no_callers(self) -> None:
        self.cluster(ports={"blue": None, "green": self.other.rpartition(":")[2], "service": None})
        said = self.switch("green", "--smoke", SMOKE, code=1)
        self.assertIn("perch-green failed the smoke test 1995Q1: expected [5.5363274], got", said)
        self.assertEqual((self.state["service"], self.patches()), ("blue", 0))

    def test_back_at_once_when_callers_would_be_answered_otherwise(self) -> None:
        good, other = self.good.rpartition(":")[2], self.other.rpartition(":")[2]
        self.cluster(ports={"blue": good, "green": good, "service": other})
        said = self.switch("green", "--smoke", SMOKE, code=1)
        self.assertIn("perch is blue again", said)
        self.assertEqual((self.state["service"], self.patches()), ("blue", 2))

    def test_who_is_not_there(self) -> None:
        self.cluster(ports={"blue": None, "green": kit.free_port(), "service": None})
        self.assertIn("perch-green is not ready", self.switch("green", code=1))
        self.assertEqual(self.patches(), 0)

    def test_what_does_not_roll_out(self) -> None:
        self.cluster(stuck="perch-green")
        self.assertIn("timed out", self.switch("green", "--smoke", SMOKE, code=1))
        self.assertNotIn(["port-forward", "service/perch-green"], self.calls)

    def test_as_many_replicas_as_serve(self) -> None:
        self.cluster(replicas={"blue": 7, "green": 2})
        self.switch("green", "--smoke", SMOKE)
        self.assertEqual(self.state["replicas"], {"blue": 7, "green": 7})

    def test_somebody_else_moved_it(self) -> None:
        self.cluster(steal="green")
        self.assertIn("invalid", self.switch("green", "--smoke", SMOKE, code=1))
        self.assertEqual(self.state["service"], "green")

    def test_a_dry_run_changes_nothing(self) -> None:
        self.cluster(replicas={"blue": 7, "green": 2})
        said = self.switch("green", "--smoke", SMOKE, "--dry-run")
        self.assertIn("would run: kubectl scale deployment/perch-green --replicas=7", said)
        self.assertIn('would run: kubectl patch service perch --type=json --patch=[{"op": "test"', said)
        self.assertEqual((self.state["service"], self.state["replicas"]["green"], self.patches()), ("blue", 2, 0))

    def test_wrong_usage(self) -> None:
        self.cluster()
        self.switch("red", code=64)
        self.assertIn("not found", self.switch("green", "--namespace", "other", code=1))

    def test_without_kubectl(self) -> None:
        done = subprocess.run(
            [sys.executable, kit.ROOT / "scripts/switch", "green"],
            env={"PATH": str(self.folder / "none")},
            capture_output=True,
            text=True,
        )
        self.assertEqual(done.returncode, 69)
        self.assertIn("kubectl is missing", done.stderr)

    def test_the_selector_is_that_of_the_overlay(self) -> None:
        objects = kit.kustomize(kit.K8S / "overlays/blue-green")
        selector = kit.the(objects, "Service", "perch")["spec"]["selector"]
        self.assertEqual(selector, {"app.kubernetes.io/name": "perch", "perch.dev/color": "blue"})
        for color in ("blue", "green"):
            kit.the(objects, "Deployment", f"perch-{color}")
            kit.the(objects, "Service", f"perch-{color}")


class Comparison(unittest.TestCase):
    """How answers are compared, as docs/policy.md#smoke-tests says."""

    def test_same(self) -> None:
        from importlib.machinery import SourceFileLoader
        from importlib.util import module_from_spec, spec_from_loader

        sys.dont_write_bytecode = True
        loader = SourceFileLoader("switch", str(kit.ROOT / "scripts/switch"))
        switch = module_from_spec(spec_from_loader("switch", loader))
        loader.exec_module(switch)
        nan = float("nan")
        for got, expected, is_same in [
            ([1.0], [1.00009], True),
            ([1.0], [1.0002], False),
            ([10000.5], [10000.0], True),  # a share of it
            ([nan], [nan], False),
            ([1], [2], False),
            (["a"], ["a"], True),
            ([1.0, 2.0], [1.0], False),
            ({"a": 1.0}, {"a": 1.0}, True),
            ({"a": 1.0, "b": 1.0}, {"a": 1.0}, False),
            (None, [1.0], False),
        ]:
            with self.subTest(got=got, expected=expected):
                self.assertEqual(switch.same(got, expected, 1e-4), is_same)
        self.assertFalse(switch.finite({"a": [1.0, nan]}))
