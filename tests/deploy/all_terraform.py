"""The Terraform module: formatted, valid by the provider's own schema, its tests pass, and the chart takes its values.

With OpenTofu, which reads what Terraform reads, and which Go can build.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import tempfile
import unittest
from pathlib import Path

import kit
import schemas
import yaml
from test_terraform import MODULE

# What the provider is called in the folder that stands in for a registry; its version is within versions.tf.
PROVIDER = "3.1.0"
PLAIN = {f"TF_CLI_ARGS_{command}": "-no-color" for command in ("init", "validate", "test")}
ARCH = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}[platform.machine()]


class Tofu(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name)
        # Where the chart is, as seen from the module.
        shutil.copytree(MODULE, cls.folder / "terraform")
        (cls.folder / "helm").symlink_to(kit.DEPLOY / "helm")
        registry = cls.folder / "mirror/registry.opentofu.org"
        place = registry / f"hashicorp/helm/{PROVIDER}/{platform.system().lower()}_{ARCH}"
        place.mkdir(parents=True)
        shutil.copy(kit.TOOLS["terraform-provider-helm"], place / f"terraform-provider-helm_v{PROVIDER}")
        rc = cls.folder / "rc"
        rc.write_text(f'provider_installation {{\n  filesystem_mirror {{\n    path = "{cls.folder}/mirror"\n  }}\n}}\n')
        cls.environment = {**os.environ, "TF_CLI_CONFIG_FILE": str(rc), "CHECKPOINT_DISABLE": "1", **PLAIN}
        cls.tool(kit.TOOLS["tofu"], "init", "-backend=false", "-input=false")

    @classmethod
    def tool(cls, *command: str, **options: object) -> str:
        return kit.run(*command, cwd=cls.folder / "terraform", env=cls.environment, **options)

    def test_it_is_formatted(self) -> None:
        self.tool(kit.TOOLS["tofu"], "fmt", "-check", "-diff", "-recursive")

    def test_it_is_valid(self) -> None:
        answer = json.loads(self.tool(kit.TOOLS["tofu"], "validate", "-json"))
        self.assertEqual((answer["valid"], answer["diagnostics"]), (True, []))

    def test_a_typo_is_refused(self) -> None:
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            copy = Path(folder) / "terraform"
            shutil.copytree(self.folder / "terraform", copy, symlinks=True)
            main = copy / "main.tf"
            main.write_text(main.read_text().replace("cleanup_on_fail", "cleanup_on_fall"))
            with self.assertRaisesRegex(kit.Failed, "cleanup_on_fall"):
                kit.run(kit.TOOLS["tofu"], "validate", cwd=copy, env=self.environment)

    def test_its_own_tests(self) -> None:
        self.assertIn("5 passed, 0 failed", self.tool(kit.TOOLS["tofu"], "test"))

    def values(self, **variables: str) -> dict:
        """What the chart is told."""
        given = [f"-var={name}={value}" for name, value in {"secret_name": "perch", **variables}.items()]
        said = self.tool(kit.TOOLS["tofu"], "console", *given, input="yamlencode(local.values)\n")
        # A heredoc: console prints texts of several lines so.
        return yaml.safe_load("\n".join(line for line in said.splitlines() if line not in ("<<EOT", "EOT")))

    def test_the_chart_takes_what_it_says(self) -> None:
        uri = {"mlflow_uri": "http://mlflow.mlflow:5000"}
        for name, variables in {
            "cpu": {**uri, "s3_endpoint": "http://minio.minio:9000", "monitoring": "true"},
            "aws": uri,
            "gpu": {**uri, "device": "cuda", "models": '["minilm"]'},
        }.items():
            with self.subTest(name):
                file = self.folder / f"{name}.yaml"
                file.write_text(yaml.safe_dump(self.values(**variables)))
                objects = kit.helm(file)
                for each in objects:
                    schemas.validate(each)
                text = kit.config_of(objects, kit.the(objects, "Deployment"))
                kit.check_config(text)
                config = yaml.safe_load(text)
                self.assertEqual(config["artifacts"].get("s3Endpoint"), variables.get("s3_endpoint"))
                self.assertEqual("select" in config["registry"], name != "gpu")
