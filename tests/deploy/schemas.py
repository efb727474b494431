"""Whether a cluster would take an object: the schemas of Kubernetes, and those that custom resources come with.

Strict: a field that a schema does not know is an error, as it is to `kubectl apply --validate=strict`.
"""

from __future__ import annotations

import functools
from pathlib import Path

import jsonschema
import kit
import kubernetes_validate
from kubernetes_validate import utils

VERSION = "1.37"
CUSTOM = ["istio", "prometheus", "vpa", "external-secrets", "sealed-secrets"]

# The definitions are many megabytes, and the library reads them again for every object.
utils.schema_contents = functools.cache(utils.schema_contents)


class Refused(Exception):
    """An object that a cluster would not take, and why."""


@functools.cache
def custom() -> dict[tuple[str, str], jsonschema.Validator]:
    """A validator for each group and version, and kind."""
    found = {}
    for tool in CUSTOM:
        path = Path(kit.TOOLS[tool])
        for file in [path] if path.is_file() else sorted(path.glob("*.yaml")):
            for crd in kit.load_all(file.read_text()):
                if crd["kind"] != "CustomResourceDefinition":
                    continue
                spec = crd["spec"]
                for version in spec["versions"]:
                    key = (f"{spec['group']}/{version['name']}", spec["names"]["kind"])
                    found[key] = version["schema"]["openAPIV3Schema"]
    return found


@functools.cache
def validator(api_version: str, kind: str) -> jsonschema.Validator:
    return jsonschema.Draft202012Validator(strict(custom()[api_version, kind], top=True))


def strict(schema: dict, top: bool = False) -> dict:
    """The schema, refusing fields that it does not name; metadata is the cluster's own."""
    schema = dict(schema)
    if schema.get("x-kubernetes-int-or-string"):
        schema = {key: value for key, value in schema.items() if key not in ("anyOf", "type")}
        return {**schema, "type": ["integer", "string"]}
    if "properties" in schema:
        schema["properties"] = {
            **{name: strict(each) for name, each in schema["properties"].items()},
            # Istio's schemas leave them out.
            **({"apiVersion": {}, "kind": {}, "metadata": {"type": "object"}} if top else {}),
        }
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            schema.setdefault("additionalProperties", False)
    if isinstance(schema.get("additionalProperties"), dict):
        schema["additionalProperties"] = strict(schema["additionalProperties"])
    if isinstance(schema.get("items"), dict):
        schema["items"] = strict(schema["items"])
    return schema


def validate(each: dict) -> None:
    what = f"{each.get('kind')} {each.get('metadata', {}).get('name')}"
    try:
        if (each["apiVersion"], each["kind"]) in custom():
            validator(each["apiVersion"], each["kind"]).validate(each)
        else:
            kubernetes_validate.validate(each, VERSION, strict=True)
    except jsonschema.ValidationError as error:
        raise Refused(f"{what}: {'.'.join(map(str, error.path))}: {error.message}") from None
    except utils.SchemaNotFoundError as error:
        raise Refused(f"{what}: {error.message}") from None
