"""Every overlay and every component renders, and a cluster would take what comes."""

import unittest

import kit
import schemas

FOLDERS = [kit.K8S / "base", *(kit.K8S / "overlays" / name for name in kit.OVERLAYS)]


class Renders(unittest.TestCase):
    def check(self, objects: list[dict]) -> None:
        for each in objects:
            with self.subTest(kind=each["kind"], name=each["metadata"]["name"]):
                schemas.validate(each)
        names = [
            (each["apiVersion"], each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"])
            for each in objects
        ]
        self.assertEqual(len(names), len(set(names)), "an object is there twice")

    def test_base_and_overlays(self) -> None:
        for folder in FOLDERS:
            with self.subTest(folder=folder.name):
                self.check(kit.kustomize(folder))

    def test_components(self) -> None:
        on_disk = sorted(path.name for path in (kit.K8S / "components").iterdir())
        self.assertEqual(on_disk, sorted(kit.COMPONENTS))
        for name in kit.COMPONENTS:
            text = f"namespace: perch\nresources: [../../base]\ncomponents: [../../components/{name}]\n"
            with self.subTest(component=name), kit.kustomization(text) as folder:
                rendered = kit.kustomize(folder)
                self.assertGreater(len(rendered), len(kit.kustomize(kit.K8S / "base")))
                self.check(rendered)
        self.check(kit.everything())

    def test_overlays_are_all_there(self) -> None:
        on_disk = sorted(path.name for path in (kit.K8S / "overlays").iterdir() if not path.name.startswith("."))
        self.assertEqual(on_disk, sorted(kit.OVERLAYS))

    def test_components_follow_the_names_of_an_overlay(self) -> None:
        """Names and selectors in custom resources, which kustomize does not know by itself."""
        components = "".join(f"  - ../../components/{name}\n" for name in kit.COMPONENTS)
        text = (
            f"resources: [../../base]\nnameSuffix: -x\ncomponents:\n{components}"
            "labels:\n  - {pairs: {app.kubernetes.io/instance: x}, includeSelectors: true}\n"
        )
        with kit.kustomization(text) as folder:
            objects = kit.kustomize(folder)
        label = {"app.kubernetes.io/instance": "x"}
        service = kit.the(objects, "VirtualService")["spec"]
        self.assertEqual(service["hosts"], ["perch-x"])
        self.assertEqual(service["http"][0]["route"][0]["destination"]["host"], "perch-x")
        self.assertEqual(kit.the(objects, "DestinationRule")["spec"]["host"], "perch-x")
        self.assertEqual(kit.the(objects, "VerticalPodAutoscaler")["spec"]["targetRef"]["name"], "perch-x")
        self.assertLessEqual(
            label.items(), kit.the(objects, "ServiceMonitor")["spec"]["selector"]["matchLabels"].items()
        )
        self.assertLessEqual(
            label.items(), kit.the(objects, "PeerAuthentication")["spec"]["selector"]["matchLabels"].items()
        )
        store = kit.the(objects, "SecretStore")
        self.assertEqual(
            kit.the(objects, "ExternalSecret")["spec"]["secretStoreRef"]["name"], store["metadata"]["name"]
        )
        account = store["spec"]["provider"]["vault"]["auth"]["kubernetes"]["serviceAccountRef"]["name"]
        self.assertEqual(account, kit.the(objects, "ServiceAccount")["metadata"]["name"])
        pod = kit.the(objects, "Deployment")["spec"]["template"]["spec"]
        self.assertEqual(pod["containers"][0]["envFrom"][0]["secretRef"]["name"], "perch-x")
        self.assertEqual(pod["priorityClassName"], "perch-serving-x")


class Refuses(unittest.TestCase):
    """That the tests above can fail."""

    def refused(self, kind: str, change, objects: list[dict] | None = None) -> str:
        import copy

        each = copy.deepcopy(kit.the(objects or kit.everything(), kind))
        schemas.validate(each)
        change(each["spec"])
        with self.assertRaises(schemas.Refused) as caught:
            schemas.validate(each)
        return str(caught.exception)

    def test_a_typo_in_a_deployment(self) -> None:
        def change(spec: dict) -> None:
            spec["template"]["spec"]["containers"][0]["readinesProbe"] = {}

        self.assertIn("readinesProbe", self.refused("Deployment", change))

    def test_a_wrong_type(self) -> None:
        def change(spec: dict) -> None:
            spec["replicas"] = "two"

        self.assertIn("two", self.refused("Deployment", change))

    def test_typos_in_custom_resources(self) -> None:
        def typo(spec: dict) -> None:
            spec["tpyo"] = 1

        kinds = ["ServiceMonitor", "PrometheusRule", "VirtualService", "DestinationRule", "PeerAuthentication"]
        kinds += ["VerticalPodAutoscaler", "SecretStore", "ExternalSecret", "SealedSecret"]
        for kind in kinds:
            with self.subTest(kind=kind):
                self.assertIn("tpyo", self.refused(kind, typo))

    def test_a_wrong_value_of_a_custom_resource(self) -> None:
        def change(spec: dict) -> None:
            spec["updatePolicy"]["updateMode"] = "Sometimes"

        self.assertIn("Sometimes", self.refused("VerticalPodAutoscaler", change))

    def test_a_kind_that_nobody_knows(self) -> None:
        with self.assertRaises(schemas.Refused):
            schemas.validate({"apiVersion": "example.com/v1", "kind": "Perch", "metadata": {"name": "x"}})

    def test_a_key_twice(self) -> None:
        with self.assertRaisesRegex(Exception, "twice: a"):
            kit.load_all("a: 1\na: 2\n")
