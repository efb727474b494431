"""GitHub's workflows, by actionlint."""

from __future__ import annotations

import tempfile
import unittest
from pathlib import Path

import kit
from test_workflows import FOLDER


def lint(*files: Path) -> None:
    """No shellcheck and no pyflakes: what they say depends on whether, and in which version, a machine has them."""
    kit.run(kit.TOOLS["actionlint"], "-color=false", "-shellcheck=", "-pyflakes=", *files)


class Actionlint(unittest.TestCase):
    def test_it_takes_them(self) -> None:
        lint(*FOLDER.glob("*.yml"))

    def test_a_typo_is_refused(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "image.yml"
            text = (FOLDER / "image.yml").read_text()
            file.write_text(text.replace("steps.name.outputs", "steps.nmae.outputs"))
            with self.assertRaisesRegex(kit.Failed, "nmae"):
                lint(file)
