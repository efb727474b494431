"""The chart: that it lints, renders what a cluster would take, and makes what kustomize makes."""

from __future__ import annotations

import copy
import json
import re
import shutil
import tempfile
import unittest
from pathlib import Path

import kit
import schemas
import yaml

VALUES = sorted((kit.CHART / "ci").glob("*.yaml"))
# Labels that only Helm sets.
HELMS_OWN = ["helm.sh/chart", "app.kubernetes.io/managed-by", "app.kubernetes.io/version"]


def without(labels: dict) -> dict:
    return {key: value for key, value in labels.items() if key not in HELMS_OWN}


def normal(objects: list[dict]) -> dict[tuple[str, str], dict]:
    """By kind and name, without what differs by nature: Helm's labels, the hash in a ConfigMap's name, the namespace,
    since PriorityClass has none, and how perch.yaml is written."""
    renamed = {
        each["metadata"]["name"]: re.sub(r"-[a-z0-9]{10}$", "", each["metadata"]["name"])
        for each in kit.of_kind(objects, "ConfigMap")
    }
    found = {}
    for each in copy.deepcopy(objects):
        metadata = each["metadata"]
        metadata["labels"] = without(metadata.get("labels", {}))
        metadata.pop("namespace", None)
        if each["kind"] == "ConfigMap":
            metadata["name"] = renamed[metadata["name"]]
            each["data"]["perch.yaml"] = yaml.safe_load(each["data"]["perch.yaml"])
        if each["kind"] == "Deployment":
            template = each["spec"]["template"]
            template["metadata"]["labels"] = without(template["metadata"]["labels"])
            template["metadata"]["annotations"].pop("checksum/config", None)
            for volume in template["spec"]["volumes"]:
                if "configMap" in volume:
                    volume["configMap"]["name"] = renamed[volume["configMap"]["name"]]
        found[each["kind"], metadata["name"]] = each
    return found


class Chart(unittest.TestCase):
    maxDiff = None

    def test_lints(self) -> None:
        kit.run(kit.TOOLS["helm"], "lint", "--strict", kit.CHART)
        for values in VALUES:
            with self.subTest(values=values.name):
                kit.run(kit.TOOLS["helm"], "lint", "--strict", kit.CHART, "--values", values)

    def test_a_cluster_would_take_it(self) -> None:
        self.assertGreaterEqual(len(VALUES), 3)
        for values in [None, *VALUES]:
            for each in kit.helm(values):
                with self.subTest(values=values, kind=each["kind"]):
                    schemas.validate(each)

    def same(self, chart: list[dict], manifests: list[dict]) -> None:
        chart, manifests = normal(chart), normal(manifests)
        self.assertEqual(sorted(chart), sorted(manifests))
        for key, each in manifests.items():
            with self.subTest(object=key):
                self.assertEqual(chart[key], each)

    def test_the_defaults_are_the_base(self) -> None:
        self.same(kit.helm(), kit.kustomize(kit.K8S / "base"))

    def test_values_of_predict_cpu(self) -> None:
        chart = kit.helm(kit.CHART / "ci/predict-cpu.yaml", "perch-predict")
        self.same(chart, kit.kustomize(kit.K8S / "overlays/predict-cpu"))

    def test_values_of_embed_gpu(self) -> None:
        chart = kit.helm(kit.CHART / "ci/embed-gpu.yaml", "perch-embed")
        self.same(chart, kit.kustomize(kit.K8S / "overlays/embed-gpu"))

    def test_everything(self) -> None:
        self.same(kit.helm(kit.CHART / "ci/everything.yaml"), kit.everything())

    def test_another_configuration_is_a_rolling_update(self) -> None:
        def annotation(*more: str) -> str:
            pod = kit.the(kit.helm(None, "perch", *more), "Deployment")["spec"]["template"]
            return pod["metadata"]["annotations"]["checksum/config"]

        self.assertNotEqual(annotation(), annotation("--set", "config.server.requestTimeout=5s"))

    def test_notes_say_what_to_do_next(self) -> None:
        # Helm prints them only where it reaches a cluster: here they are rendered as a part of a manifest.
        with tempfile.TemporaryDirectory() as folder:
            chart = Path(folder) / "perch"
            shutil.copytree(kit.CHART, chart)
            notes = (chart / "templates/NOTES.txt").read_text()
            manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: notes}\n"
            manifest += 'data: {notes: {{ include "notes" . | quote }}}\n'
            (chart / "templates/notes.yaml").write_text('{{- define "notes" }}' + notes + "{{ end }}\n" + manifest)
            rendered = kit.load_all(kit.run(kit.TOOLS["helm"], "template", "mine", chart, "--namespace", "models"))
        text = kit.the(rendered, "ConfigMap", "notes")["data"]["notes"]
        self.assertIn("create secret generic mine-perch", text)
        self.assertIn("--namespace models rollout status deployment/mine-perch", text)
        self.assertIn("http://mlflow:5000", text)

    def refused(self, why: str, *settings: str) -> None:
        with self.assertRaisesRegex(kit.Failed, why):
            kit.helm(None, "perch", *(word for setting in settings for word in ("--set", setting)))

    def test_wrong_values_are_refused(self) -> None:
        self.refused("replica", "replica=3")
        self.refused("autoscaling.*maxReplicas|maxReplicas", "autoscaling.maxReplicas=many")
        self.refused("pullPolicy", "image.pullPolicy=Sometimes")
        self.refused("listen", "config.server.listen=0.0.0.0:80")
        self.refused("would cut answers off", "config.server.drain.timeout=2m")
        self.refused("kubeseal", "sealedSecret.enabled=true")

    def test_every_value_has_a_schema_and_a_comment(self) -> None:
        schema = json.loads((kit.CHART / "values.schema.json").read_text())["properties"]
        values = kit.load(kit.CHART / "values.yaml")
        self.assertEqual(set(values), set(schema) - {"global"})

    def test_it_packs(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            kit.run(kit.TOOLS["helm"], "package", kit.CHART, "--destination", folder)
            self.assertEqual([path.name for path in Path(folder).iterdir()], ["perch-0.1.0.tgz"])
