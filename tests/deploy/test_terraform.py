"""The Terraform module, read as text. What OpenTofu says of it: all_terraform.py."""

from __future__ import annotations

import json
import unittest

import hcl2
import kit

MODULE = kit.DEPLOY / "terraform"


def parsed() -> dict:
    """Every block of the module, by kind."""
    blocks: dict = {}
    for file in sorted(MODULE.glob("*.tf")):
        for kind, found in hcl2.loads(file.read_text()).items():
            if isinstance(found, list):
                blocks.setdefault(kind, []).extend(found)
    return blocks


class Module(unittest.TestCase):
    def test_what_is_asked_and_given_is_described(self) -> None:
        blocks = parsed()
        for kind in ("variable", "output"):
            for block in blocks[kind]:
                for name, body in block.items():
                    with self.subTest(kind=kind, name=name):
                        self.assertTrue(body.get("description"))
                        if kind == "variable":
                            self.assertTrue(body.get("type"))
        self.assertTrue(blocks["terraform"][0]["required_version"])
        self.assertIn("helm", json.dumps(blocks["terraform"][0]["required_providers"]))
