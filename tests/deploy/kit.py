"""What the tests share: the tools, what they render, and perch itself."""

from __future__ import annotations

import functools
import os
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
DEPLOY = ROOT / "deploy"
K8S = DEPLOY / "k8s"
CHART = DEPLOY / "helm/perch"
OVERLAYS = ["predict-cpu", "embed-gpu", "blue-green", "local"]
COMPONENTS = ["monitoring", "istio", "vpa", "external-secrets", "sealed-secrets", "quota"]

# Set by run.py.
TOOLS: dict[str, str] = {}
PERCH = Path("perch")
LIBRARY = Path("onnxruntime")

# What the Secret holds in a cluster.
SECRETS = {
    "PERCH_ADMIN_TOKEN": "a-token",
    "PERCH_STATE_URL": "postgres://perch:secret@postgresql:5432/perch?schema=perch",
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
}


class Failed(Exception):
    """A tool said no; its words."""


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """YAML as Kubernetes reads it: a key twice is an error, and `=` is a text."""


def _mapping(loader: Loader, node: yaml.MappingNode) -> dict:
    keys = [loader.construct_object(key) for key, _ in node.value]
    twice = {str(key) for key in keys if keys.count(key) > 1 and key != "<<"}
    if twice:
        raise yaml.constructor.ConstructorError(None, None, f"twice: {', '.join(twice)}", node.start_mark)
    loader.flatten_mapping(node)
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)


Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
Loader.add_constructor("tag:yaml.org,2002:value", lambda loader, node: str(node.value))


def load_all(text: str) -> list[dict]:
    return [document for document in yaml.load_all(text, Loader) if document]


def load(path: Path) -> dict:
    return yaml.load(path.read_text(), Loader)


def run(*command: object, **options) -> str:
    """What a command prints. One that fails is a `Failed` with what it said."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise Failed(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


@functools.cache
def kustomize(folder: Path) -> list[dict]:
    return load_all(run(TOOLS["kustomize"], "build", folder))


@contextmanager
def kustomization(text: str) -> Iterator[Path]:
    """A folder beside the overlays, with this kustomization in it."""
    with tempfile.TemporaryDirectory(dir=K8S / "overlays", prefix=".test-") as folder:
        head = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
        (Path(folder) / "kustomization.yaml").write_text(head + text)
        yield Path(folder)


@functools.cache
def everything() -> list[dict]:
    """The base with every component."""
    text = (
        "namespace: perch\nresources: [../../base]\n"
        "labels:\n  - {pairs: {app.kubernetes.io/instance: perch}, includeSelectors: true}\ncomponents:\n"
    )
    with kustomization(text + "".join(f"  - ../../components/{name}\n" for name in COMPONENTS)) as folder:
        return kustomize(folder)


@functools.cache
def helm(values: Path | None = None, release: str = "perch", *more: str) -> list[dict]:
    command = [TOOLS["helm"], "template", release, CHART, "--namespace", "perch", *more]
    return load_all(run(*command, *(["--values", values] if values else [])))


def of_kind(objects: list[dict], kind: str) -> list[dict]:
    return [each for each in objects if each["kind"] == kind]


def the(objects: list[dict], kind: str, name: str | None = None) -> dict:
    """The one object of a kind."""
    found = [each for each in of_kind(objects, kind) if name is None or each["metadata"]["name"] == name]
    if len(found) != 1:
        raise Failed(f"{len(found)} of {kind} {name or ''}")
    return found[0]


def perches(objects: list[dict]) -> list[dict]:
    """The Deployments of perch itself."""
    return [
        each
        for each in of_kind(objects, "Deployment")
        if each["spec"]["template"]["metadata"]["labels"].get("app.kubernetes.io/name") == "perch"
    ]


def config_of(objects: list[dict], deployment: dict) -> str:
    """The perch.yaml that a Deployment mounts."""
    volumes = deployment["spec"]["template"]["spec"]["volumes"]
    name = next(volume["configMap"]["name"] for volume in volumes if volume["name"] == "config")
    return the(objects, "ConfigMap", name)["data"]["perch.yaml"]


def check_config(text: str) -> None:
    """`perch config check`, with the environment that a pod has and no more."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "perch.yaml"
        file.write_text(text)
        environment = {"PATH": os.environ["PATH"], "HOME": folder, **SECRETS}
        run(PERCH, "config", "check", "--config", file, env=environment)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def status_of(url: str) -> int:
    """0 where nothing answers."""
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


@contextmanager
def serving(models: Path = ROOT / "examples/models") -> Iterator[str]:
    """A perch with a folder of models; its address."""
    address = f"127.0.0.1:{free_port()}"
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        environment = {
            **os.environ,
            "ORT_DYLIB_PATH": str(LIBRARY / "libonnxruntime.so"),
            "PERCH__STATE": f"sqlite://{folder}/state.db",
            "PERCH__SERVER__DRAIN__DELAY": "0s",
        }
        command = [PERCH, "serve", "--models", models, "--listen", address]
        with log.open("w") as output:
            process = subprocess.Popen(command, env=environment, stderr=output, cwd=folder)
        try:
            end = time.monotonic() + 120
            while status_of(f"http://{address}/health/ready") != 200:
                if process.poll() is not None or time.monotonic() > end:
                    raise Failed(f"perch is not ready:\n{log.read_text()}")
                time.sleep(0.05)
            yield address
        finally:
            process.terminate()
            process.wait(timeout=60)
