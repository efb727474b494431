"""What has to fit together in every rendering, of kustomize and of the chart alike, and what no schema knows."""

from __future__ import annotations

import re
import tomllib
import unittest
from collections.abc import Iterator

import kit
import yaml

UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
SIZES = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def seconds(text: str) -> float:
    number, unit = re.fullmatch(r"(\d+)(ms|s|m|h)", text).groups()
    return int(number) * UNITS[unit]


def size(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([A-Za-z]*)", str(text)).groups()
    return int(number) * SIZES.get(unit, 1)


def renderings() -> Iterator[tuple[str, list[dict]]]:
    yield "base", kit.kustomize(kit.K8S / "base")
    for name in kit.OVERLAYS:
        yield name, kit.kustomize(kit.K8S / "overlays" / name)
    yield "everything", kit.everything()
    yield "chart", kit.helm()
    for values in sorted((kit.CHART / "ci").glob("*.yaml")):
        yield f"chart, {values.name}", kit.helm(values)


def matches(selector: dict, labels: dict) -> bool:
    if not selector:
        return True
    wanted = selector.get("matchLabels", {} if "matchExpressions" in selector else selector)
    expressions = selector.get("matchExpressions", [])
    known = all(each["operator"] == "In" for each in expressions)
    return known and wanted.items() <= labels.items() and all(labels.get(e["key"]) in e["values"] for e in expressions)


def workloads(objects: list[dict]) -> list[dict]:
    return [each for each in objects if each["kind"] in ("Deployment", "StatefulSet", "Job")]


def pod_labels(workload: dict) -> dict:
    return workload["spec"]["template"]["metadata"]["labels"]


class Invariants(unittest.TestCase):
    def over_perch(self) -> Iterator[tuple[list[dict], dict, dict, dict]]:
        """Each Deployment of perch: all objects, its pod, its container, its configuration."""
        for name, objects in renderings():
            found = kit.perches(objects)
            self.assertTrue(found, f"no perch in {name}")
            for deployment in found:
                with self.subTest(rendering=name, deployment=deployment["metadata"]["name"]):
                    pod = deployment["spec"]["template"]["spec"]
                    config = yaml.safe_load(kit.config_of(objects, deployment))
                    yield objects, deployment, pod, config

    def test_perch_takes_its_configuration(self) -> None:
        seen = set()
        for objects, deployment, _, _ in self.over_perch():
            text = kit.config_of(objects, deployment)
            if text not in seen:
                seen.add(text)
                kit.check_config(text)

    def test_a_configuration_with_a_typo_is_refused(self) -> None:
        objects = kit.kustomize(kit.K8S / "base")
        text = kit.config_of(objects, kit.the(objects, "Deployment"))
        with self.assertRaisesRegex(kit.Failed, "unknown key, did you mean drain"):
            kit.check_config(text.replace("drain:", "drian:"))

    def test_probes(self) -> None:
        for _, _, pod, config in self.over_perch():
            container = pod["containers"][0]
            paths = {
                name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "readiness", "liveness")
            }
            expected = {"startup": "/health/ready", "readiness": "/health/ready", "liveness": "/health/live"}
            self.assertEqual(paths, expected)
            ports = {port["name"]: port["containerPort"] for port in container["ports"]}
            self.assertEqual(config["server"]["listen"], f"0.0.0.0:{ports['http']}")
            self.assertEqual(config["server"]["metricsListen"], f"0.0.0.0:{ports['metrics']}")
            for name in paths:
                self.assertIn(container[f"{name}Probe"]["httpGet"]["port"], ports)

    def test_there_is_time_to_drain(self) -> None:
        for _, _, pod, config in self.over_perch():
            drain = config["server"]["drain"]
            needed = seconds(drain["delay"]) + seconds(drain["timeout"])
            self.assertGreater(pod["terminationGracePeriodSeconds"], needed)
            # A request that came last is answered before perch stops waiting.
            self.assertGreaterEqual(seconds(drain["timeout"]), seconds(config["server"].get("requestTimeout", "10s")))

    def test_every_pod_is_restricted(self) -> None:
        for name, objects in renderings():
            for workload in workloads(objects):
                pod = workload["spec"]["template"]["spec"]
                with self.subTest(rendering=name, workload=workload["metadata"]["name"]):
                    self.assertIs(pod["automountServiceAccountToken"], False)
                    self.assertIs(pod["enableServiceLinks"], False)
                    self.assertTrue(pod["securityContext"]["runAsNonRoot"])
                    self.assertGreater(pod["securityContext"]["runAsUser"], 0)
                    self.assertEqual(pod["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
                    for container in pod["containers"] + pod.get("initContainers", []):
                        context = container["securityContext"]
                        self.assertIs(context["readOnlyRootFilesystem"], True)
                        self.assertIs(context["allowPrivilegeEscalation"], False)
                        self.assertEqual(context["capabilities"], {"drop": ["ALL"]})
                        self.assertNotIn("privileged", context)
                        for limit in ("cpu", "memory"):
                            self.assertIn(limit, container["resources"]["requests"])
                            self.assertIn(limit, container["resources"]["limits"])
                    for volume in pod.get("volumes", []):
                        self.assertNotIn("hostPath", volume)
                    for key in ("hostNetwork", "hostPID", "hostIPC"):
                        self.assertNotIn(key, pod)

    def test_no_token(self) -> None:
        for objects, _, pod, _ in self.over_perch():
            account = kit.the(objects, "ServiceAccount", pod["serviceAccountName"])
            self.assertIs(account["automountServiceAccountToken"], False)

    def test_every_path_that_perch_writes_is_a_volume(self) -> None:
        for _, _, pod, config in self.over_perch():
            mounts = {m["mountPath"]: m["name"] for m in pod["containers"][0]["volumeMounts"] if not m.get("readOnly")}
            volumes = {volume["name"]: volume for volume in pod["volumes"]}
            cache = config["artifacts"]["cache"]
            written = [cache, "/tmp", "/var/lib/perch"]
            written += [path for path in (config.get("rollouts", {}).get("auditLog"),) if path]
            if config["state"].startswith("sqlite://"):
                written.append(config["state"].removeprefix("sqlite://"))
            for path in written:
                self.assertTrue(any(f"{path}/".startswith(f"{mount}/") for mount in mounts), f"{path} is in no volume")
            for name in mounts.values():
                self.assertIn(name, volumes)
            limit = volumes[mounts[cache]].get("emptyDir", {}).get("sizeLimit")
            if limit:
                self.assertLess(size(config["artifacts"]["maxSize"]), size(limit))

    def test_memory_has_room_for_bodies(self) -> None:
        for _, _, pod, config in self.over_perch():
            server = config["server"]
            held = size(server["maxBuffered"]) + size(server.get("responseCache", 0))
            limit = size(pod["containers"][0]["resources"]["limits"]["memory"])
            self.assertLessEqual(held, limit // 2)

    def test_replicas_share_their_state(self) -> None:
        for objects, deployment, pod, config in self.over_perch():
            if deployment["spec"].get("replicas", 1) > 1 or kit.of_kind(objects, "HorizontalPodAutoscaler"):
                self.assertEqual(config["state"], "${PERCH_STATE_URL}")
            self.assertEqual(len(pod["containers"][0]["envFrom"]), 1)

    def test_the_autoscaler_stays_within_a_fleet(self) -> None:
        # A rollout counts on no more than fleet.maxReplicas (100), which cannot be raised while it runs.
        for name, objects in renderings():
            most = sum(each["spec"]["maxReplicas"] + 1 for each in kit.of_kind(objects, "HorizontalPodAutoscaler"))
            self.assertLessEqual(most, 100, name)

    def test_selectors_meet_pods(self) -> None:
        for name, objects in renderings():
            pods = [pod_labels(workload) for workload in workloads(objects)]
            with self.subTest(rendering=name):
                for workload in kit.of_kind(objects, "Deployment") + kit.of_kind(objects, "StatefulSet"):
                    self.assertTrue(matches(workload["spec"]["selector"], pod_labels(workload)))
                    spec = workload["spec"]["template"]["spec"]
                    spread = [each["labelSelector"] for each in spec.get("topologySpreadConstraints", [])]
                    anti = spec.get("affinity", {}).get("podAntiAffinity", {})
                    terms = anti.get("preferredDuringSchedulingIgnoredDuringExecution", [])
                    for selector in spread + [term["podAffinityTerm"]["labelSelector"] for term in terms]:
                        self.assertTrue(matches(selector, pod_labels(workload)), selector)
                for service in kit.of_kind(objects, "Service"):
                    meets = [labels for labels in pods if matches(service["spec"]["selector"], labels)]
                    self.assertEqual(len(meets), 1, f"{service['metadata']['name']} is of {len(meets)} workloads")
                for kind, path in (("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector")):
                    for each in kit.of_kind(objects, kind):
                        meets = [labels for labels in pods if matches(each["spec"][path], labels)]
                        self.assertEqual(
                            len(meets), 1, f"{kind} {each['metadata']['name']} is of {len(meets)} workloads"
                        )
                        self.assertEqual(meets[0]["app.kubernetes.io/name"], "perch")

    def test_ports_of_services_are_there(self) -> None:
        for name, objects in renderings():
            for service in kit.of_kind(objects, "Service"):
                for workload in workloads(objects):
                    if not matches(service["spec"]["selector"], pod_labels(workload)):
                        continue
                    containers = workload["spec"]["template"]["spec"]["containers"]
                    ports = {port["name"] for container in containers for port in container.get("ports", [])}
                    with self.subTest(rendering=name, service=service["metadata"]["name"]):
                        for port in service["spec"]["ports"]:
                            self.assertIn(port["targetPort"], ports)

    def test_every_name_that_is_referred_to(self) -> None:
        """Autoscalers, monitors and meshes mean something that is there; so do pods."""
        for name, objects in renderings():
            names = {(each["kind"], each["metadata"]["name"]) for each in objects}
            with self.subTest(rendering=name):
                for each in kit.of_kind(objects, "HorizontalPodAutoscaler"):
                    target = each["spec"]["scaleTargetRef"]
                    self.assertIn((target["kind"], target["name"]), names)
                    self.assertLessEqual(each["spec"]["minReplicas"], each["spec"]["maxReplicas"])
                for each in kit.of_kind(objects, "VerticalPodAutoscaler"):
                    self.assertIn(("Deployment", each["spec"]["targetRef"]["name"]), names)
                for each in kit.of_kind(objects, "DestinationRule"):
                    self.assertIn(("Service", each["spec"]["host"]), names)
                for monitor in kit.of_kind(objects, "ServiceMonitor"):
                    services = kit.of_kind(objects, "Service")
                    found = [s for s in services if matches(monitor["spec"]["selector"], s["metadata"]["labels"])]
                    ports = {port["name"] for service in found for port in service["spec"]["ports"]}
                    self.assertIn(monitor["spec"]["endpoints"][0]["port"], ports)
                for workload in workloads(objects):
                    pod = workload["spec"]["template"]["spec"]
                    for volume in pod.get("volumes", []):
                        if "configMap" in volume:
                            self.assertIn(("ConfigMap", volume["configMap"]["name"]), names)
                    if "serviceAccountName" in pod:
                        self.assertIn(("ServiceAccount", pod["serviceAccountName"]), names)
                    if "priorityClassName" in pod:
                        self.assertIn(("PriorityClass", pod["priorityClassName"]), names)

    def test_the_way_out_leads_to_the_stores_only(self) -> None:
        stores = {"mlflow": 5000, "minio": 9000, "postgresql": 5432}
        for name, objects in renderings():
            for policy in kit.of_kind(objects, "NetworkPolicy"):
                with self.subTest(rendering=name, policy=policy["metadata"]["name"]):
                    for rule in policy["spec"].get("egress", []):
                        for peer in rule["to"]:
                            self.assertNotIn("ipBlock", peer)
                            who = [
                                v for e in peer.get("podSelector", {}).get("matchExpressions", []) for v in e["values"]
                            ]
                            ports = {port["port"] for port in rule["ports"]}
                            if who and who[0] in stores:
                                self.assertEqual(ports, {stores[who[0]]})
                            else:
                                self.assertIn((who, ports), [(["kube-dns"], {53}), ([], {15012})])

    def test_stores_of_the_laptop_are_who_the_policy_means(self) -> None:
        objects = kit.kustomize(kit.K8S / "overlays/local")
        for rule in kit.the(objects, "NetworkPolicy")["spec"]["egress"][1:]:
            labels = [pod_labels(workload) for workload in workloads(objects)]
            self.assertEqual(sum(matches(rule["to"][0]["podSelector"], each) for each in labels), 1)

    def test_gpus(self) -> None:
        for objects, deployment, pod, config in self.over_perch():
            container = pod["containers"][0]
            wants = "nvidia.com/gpu" in container["resources"]["limits"]
            self.assertEqual(wants, config["runtime"]["device"].startswith("cuda"))
            self.assertEqual(wants, container["image"].endswith("-gpu"))
            if wants:
                self.assertEqual(
                    container["resources"]["requests"]["nvidia.com/gpu"],
                    container["resources"]["limits"]["nvidia.com/gpu"],
                )
                self.assertIn("nodeSelector", pod)
                self.assertEqual([each["key"] for each in pod["tolerations"]], ["nvidia.com/gpu"])
                self.assertTrue(config["models"], "only models that are named go to a GPU")
                self.assertNotIn("select", config["registry"])

    def test_versions_are_those_of_the_crate(self) -> None:
        version = tomllib.loads((kit.ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
        for _, _, pod, _ in self.over_perch():
            image, _, tag = pod["containers"][0]["image"].rpartition(":")
            self.assertEqual(tag.removesuffix("-gpu"), version, image)
        chart = kit.load(kit.CHART / "Chart.yaml")
        self.assertEqual(chart["appVersion"], version)

    def test_rules_are_made_from_one_file(self) -> None:
        kit.run(kit.ROOT / "scripts/prometheus-rule", "--check")
        groups = kit.load(kit.DEPLOY / "prometheus/rules/perch.yaml")["groups"]
        self.assertTrue(groups)
        for name, objects in renderings():
            for rule in kit.of_kind(objects, "PrometheusRule"):
                with self.subTest(rendering=name):
                    self.assertEqual(rule["spec"]["groups"], groups)
