"""Stands in for kubectl: a Service and two Deployments in a file, each call noted, ports of real servers.

FAKE_KUBECTL names a file of JSON: `service` (its colour), `replicas` and `ports` by colour, `calls`; `steal` lets
somebody else move the Service before the patch, `stuck` is a Deployment that does not roll out.
"""

import json
import os
import sys
import time
from pathlib import Path

STATE = Path(os.environ["FAKE_KUBECTL"])
state = json.loads(STATE.read_text())


def save() -> None:
    STATE.write_text(json.dumps(state))


def fail(message: str) -> None:
    save()
    sys.exit(message)


def main(words: list[str]) -> None:
    state["calls"].append(" ".join(words))
    if words[:2] != ["--namespace", state["namespace"]]:
        fail(f"Error from server (NotFound): namespaces {words[1]!r} not found")
    match words[2:]:
        case ["get", "service", "perch", "--output", "json"]:
            print(json.dumps({"spec": {"selector": {"perch.dev/color": state["service"]}}}))
        case ["get", "deployment", name, "--output", "json"]:
            print(json.dumps({"spec": {"replicas": state["replicas"][name.removeprefix("perch-")]}}))
        case ["scale", name, replicas]:
            state["replicas"][name.rpartition("-")[2]] = int(replicas.removeprefix("--replicas="))
        case ["rollout", "status", name, _]:
            if name == f"deployment/{state.get('stuck')}":
                fail("error: timed out waiting for the condition")
        case ["patch", "service", "perch", "--type=json", patch]:
            state["service"] = state.pop("steal", state["service"])
            test, replace = json.loads(patch.removeprefix("--patch="))
            assert test["op"] == "test" and replace["op"] == "replace"
            assert test["path"] == replace["path"] == "/spec/selector/perch.dev~1color"
            if test["value"] != state["service"]:
                fail("The request is invalid: the server rejected our request due to an error in our request")
            state["service"] = replace["value"]
        case ["port-forward", name, ":8000"]:
            color = name.removeprefix("service/perch").lstrip("-")
            save()
            port = state["ports"]["service" if not color else color]
            if not color and port is None:
                port = state["ports"][state["service"]]
            print(f"Forwarding from 127.0.0.1:{port} -> 8000", flush=True)
            time.sleep(60)
        case other:
            fail(f"error: unknown command {other}")
    save()


main(sys.argv[1:])
