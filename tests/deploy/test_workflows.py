"""GitHub's workflows: what they use is pinned, and what they run is there. actionlint's word: all_workflows.py."""

from __future__ import annotations

import re
import shutil
import unittest
from pathlib import Path

import kit

FOLDER = kit.ROOT / ".github/workflows"


class Workflows(unittest.TestCase):
    def setUp(self) -> None:
        self.files = {path.name: path.read_text() for path in sorted(FOLDER.glob("*.yml"))}

    def test_they_are_all_there(self) -> None:
        self.assertEqual(set(self.files), {"build.yml", "test.yml", "image.yml", "chart.yml", "release.yml"})

    def test_actions_are_pinned_by_commit(self) -> None:
        for name, text in self.files.items():
            for used in re.findall(r"uses: (.+)", text):
                with self.subTest(workflow=name, used=used):
                    self.assertRegex(
                        used, r"^\./\.github/workflows/\w+\.yml$|^[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$"
                    )

    def test_nothing_may_more_than_it_has_to(self) -> None:
        for name, text in self.files.items():
            with self.subTest(workflow=name):
                self.assertIn("\npermissions:\n  contents: read\n", text)
                jobs = kit.load(FOLDER / name)["jobs"]
                for job in jobs.values():
                    self.assertTrue("timeout-minutes" in job or "uses" in job)

    def test_what_they_run_is_there(self) -> None:
        targets = set(re.findall(r"(?m)^([a-z-]+):", (kit.ROOT / "Makefile").read_text()))
        for name, text in self.files.items():
            with self.subTest(workflow=name):
                for line in re.findall(r"\bmake ([a-z -]+)$", text, re.M):
                    self.assertLessEqual(set(line.split()), targets)
                for script in re.findall(r"run: ((?:scripts|\.ci)/[\w-]+)", text):
                    self.assertTrue((kit.ROOT / script).exists(), script)

    def test_the_notes_of_a_release(self) -> None:
        """The awk of release.yml cuts one version out of a changelog."""
        program = re.search(r"awk -v start=\"## \$VERSION\" '(.+?)' CHANGELOG", self.files["release.yml"]).group(1)
        text = "# Changelog\n\n## Unreleased\n\n- c\n\n## 1.2.0\n\n### Part\n\n- b\n\n## 1.1.0\n\n- a\n"
        self.assertIsNotNone(shutil.which("awk"))
        self.assertEqual(kit.run("awk", "-v", "start=## 1.2.0", program, input=text), "\n### Part\n\n- b\n\n")
