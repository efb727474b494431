"""The compose file: that docker-compose 1 takes it, and that it agrees with itself and with the overlay `local`.

That docker compose 2 means the same by it: all_compose.py.
"""

from __future__ import annotations

import functools
import os
import tempfile
import unittest
from pathlib import Path

import kit
import yaml

FILE = kit.DEPLOY / "compose/docker-compose.yml"
# What writes into its own folders as its image was made to: they get a root that can be written to.
WRITING = {"minio", "bucket", "postgresql"}


@functools.cache
def resolved(file: Path = FILE, tool: str = "compose1") -> dict:
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]}
    return yaml.safe_load(kit.run(kit.TOOLS[tool], "--file", file, "config", env=environment))


def refuse_a_typo(test: unittest.TestCase, tool: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "docker-compose.yml"
        file.write_text(FILE.read_text().replace("command:", "comand:", 1))
        with test.assertRaisesRegex(kit.Failed, "comand"):
            resolved(file, tool)


class Compose(unittest.TestCase):
    def test_a_typo_is_refused(self) -> None:
        refuse_a_typo(self, "compose1")

    def test_what_is_mounted_and_built_is_there(self) -> None:
        for name, service in resolved()["services"].items():
            for volume in service.get("volumes", []):
                source, _, mode = volume.split(":")
                if source.startswith("/"):
                    self.assertTrue(Path(source).exists(), f"{name}: {source}")
                    self.assertEqual(mode, "ro", f"{name} could write to {source}")
            if "build" in service:
                context = Path(service["build"]["context"])
                self.assertEqual(context, kit.ROOT)
                dockerfile = context / service["build"].get("dockerfile", "Dockerfile")
                for line in dockerfile.read_text().splitlines():
                    if line.startswith("COPY ") and "--from" not in line and "dist/" not in line:
                        for source in line.split()[1:-1]:
                            self.assertTrue((context / source).exists(), f"{dockerfile.name}: {source}")
                            self.assertFalse(ignored(source), f"{dockerfile.name}: {source} is in .dockerignore")

    def test_perch(self) -> None:
        services = resolved()["services"]
        perch = services["perch"]
        self.assertEqual(perch["scale"], 2)
        text = (kit.DEPLOY / "compose/perch.yaml").read_text()
        kit.check_config(text)
        config = yaml.safe_load(text)
        self.assertEqual(config["state"], "${PERCH_STATE_URL}")
        self.assertIn(f"{config['registry']['uri']}".rsplit(":", 1)[0].removeprefix("http://"), services)
        self.assertGreater(perch["stop_grace_period"], "35s")
        self.assertLessEqual({"PERCH_ADMIN_TOKEN", "PERCH_STATE_URL", "AWS_ACCESS_KEY_ID"}, set(perch["environment"]))
        self.assertTrue(perch["environment"]["PERCH_STATE_URL"].startswith("postgres://perch:"))
        self.assertEqual(perch["depends_on"]["register"]["condition"], "service_completed_successfully")

    def test_only_this_machine_is_let_in(self) -> None:
        seen = []
        for service in resolved()["services"].values():
            for port in service.get("ports", []):
                host, published, _ = port.split(":")
                self.assertEqual(host, "127.0.0.1")
                first, _, last = published.partition("-")
                seen.extend(range(int(first), int(last or first) + 1))
        self.assertEqual(len(seen), len(set(seen)))

    def test_roots_are_read_only(self) -> None:
        for name, service in resolved()["services"].items():
            self.assertEqual(service.get("read_only", False), name not in WRITING, name)

    def test_it_runs_the_versions_of_the_laptop_cluster(self) -> None:
        compose = {service["image"] for service in resolved()["services"].values()}
        cluster = set()
        for each in kit.kustomize(kit.K8S / "overlays/local"):
            for container in each.get("spec", {}).get("template", {}).get("spec", {}).get("containers", []):
                cluster.add(container["image"])
        self.assertLessEqual(cluster, compose)
        for image in compose:
            self.assertRegex(image, r":.*\d", "every image has a version")

    def test_both_are_given_the_same_to_start_mlflow(self) -> None:
        cluster = kit.the(kit.kustomize(kit.K8S / "overlays/local"), "StatefulSet", "mlflow")
        arguments = cluster["spec"]["template"]["spec"]["containers"][0]["args"]
        self.assertEqual(resolved()["services"]["mlflow"]["command"], arguments)

    def test_prometheus_finds_the_replicas(self) -> None:
        config = kit.load(kit.DEPLOY / "prometheus/prometheus.yml")
        names = [
            name for job in config["scrape_configs"] for each in job.get("dns_sd_configs", []) for name in each["names"]
        ]
        self.assertEqual(names, ["perch"])


def ignored(path: str) -> bool:
    """As .dockerignore says; the last pattern counts. Git knows the same rules, but for what a pattern begins at."""
    rules = [
        line for line in (kit.ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")
    ]
    out = False
    for rule in rules:
        pattern, keep = rule.lstrip("!"), rule.startswith("!")
        here = Path(path)
        if any(parent.match(pattern) for parent in [here, *here.parents][: len(here.parts)]):
            out = not keep
    return out
