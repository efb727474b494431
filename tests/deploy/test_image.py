"""The image: the binary that is already built, packed, started as it would run in a cluster, and asked.

scripts/image does that and checks it; here it is what it prints, and that it can say no.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
import unittest
from pathlib import Path

import kit

# The limit of 90 MB is for the optimised binary of 36 MB: this is what may come to it.
BESIDE = 90 - 40


class Image(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        """Without what a debugger reads, which is ten times the rest of an unoptimised build."""
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.perch = Path(folder.name) / "perch"
        kit.run("strip", "--strip-debug", "-o", cls.perch, kit.PERCH)

    def image(self, *arguments: object) -> subprocess.CompletedProcess:
        limit = BESIDE + round(self.perch.stat().st_size / 1e6)
        command = [
            kit.ROOT / "scripts/image",
            "--perch",
            self.perch,
            "--library",
            kit.LIBRARY,
            "--limit",
            limit,
            *arguments,
        ]
        return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=300)

    def test_it_is_built_and_serves(self) -> None:
        done = self.image("--tag", "perch:test")
        said = done.stdout + done.stderr
        self.assertEqual(done.returncode, 0, said)
        self.assertRegex(done.stdout.splitlines()[-1], r"^image: \d+ MB, ready in \d+ ms$")
        for line in (
            r"user 10001:10001, volumes /tmp /var/cache/perch /var/lib/perch",
            r"programs: /usr/bin/perch\n",
            r"user 10001(:10001)?, root ro",
            r"/predict: 200 .*\"predictions\"",
            r"health check: .*ready",
        ):
            self.assertRegex(said, line)

    def test_a_binary_that_does_not_start_is_no_image(self) -> None:
        # A link that the loader cannot follow: the base has no such library.
        with tempfile.TemporaryDirectory() as folder:
            broken = Path(folder) / "perch"
            text = self.perch.read_bytes()
            broken.write_bytes(text.replace(b"libgcc_s.so.1\0", b"libgone.so.1\0\0", 1))
            self.assertNotEqual(text, broken.read_bytes())
            done = self.image("--tag", "perch:broken", "--perch", broken)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("libgone.so.1", done.stdout + done.stderr)


class Dockerfile(unittest.TestCase):
    def setUp(self) -> None:
        self.text = (kit.ROOT / "Dockerfile").read_text()

    def test_bases_are_pinned(self) -> None:
        for name, image in re.findall(r"(?m)^ARG (\w+_IMAGE)=(.+)$", self.text):
            self.assertRegex(image, r":[\w.-]*\d+\.?\d*[\w.-]*$", name)
            self.assertNotIn("latest", image)
        stages = re.findall(r"(?m)^FROM (\S+)", self.text)
        for stage in stages:
            self.assertRegex(stage, r"^\$\{\w+\}$|^scratch$|^settings$", "a base is an argument")

    def test_it_builds_with_the_toolchain_of_the_repository(self) -> None:
        channel = re.search(r'channel = "(.+)"', (kit.ROOT / "rust-toolchain.toml").read_text()).group(1)
        self.assertIn(f"rust:{channel}-", self.text)
        self.assertIn(f"RUSTUP_TOOLCHAIN={channel}\n", self.text)

    def test_dependencies_are_built_from_every_manifest(self) -> None:
        members = re.search(r"(?m)^members = \[(.+)\]", (kit.ROOT / "Cargo.toml").read_text()).group(1)
        empty = re.search(r"for crate in (.+); do", self.text).group(1).split()
        wanted = [member.strip(' "') for member in members.split(",") if member.strip(' "') != "."]
        self.assertEqual(sorted(empty), sorted(wanted))
        for member in wanted:
            self.assertIn(f"COPY {member}/Cargo.toml {member}/\n", self.text)
