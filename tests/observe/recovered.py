"""Recovery, as docs/operating.md has it: all that perch stands on is lost and restored, and it goes on where it was.

A version has been demoted before the backup is made. Afterwards the same versions answer the same, the demoted one is
still in quarantine, and the history is whole.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import time
from pathlib import Path
from typing import Any

from kit import MODEL, ROOT, Perch, ending, expect, fresh, get, holdout, ports, request, say, wait
from load import Load, Source
from stores import Database, Folder, Mlflow, StateFile


def memory(replica: Perch) -> dict[str, Any]:
    """What has to be as it was."""
    rows = holdout()[:5]
    status, text = request(replica.port, "POST", "/predict", {"model": MODEL, "instances": rows})
    expect(status == 200, f"a prediction: {status} {text}")
    view = replica.view()
    kept = {key: view[key] for key in ("state", "reason", "generation", "weight")}
    history = get(replica.port, f"/admin/rollouts/{MODEL}/history", limit="50")["history"]
    versions = {v["version"]: v["state"] for v in replica.health()["models"][0]["versions"]}
    return {"answer": json.loads(text), "rollout": kept, "history": history, "versions": versions}


def demote(replica: Perch, registry: Folder | Mlflow) -> None:
    sent = itertools.cycle([json.dumps({"model": MODEL, "instances": [row]}).encode() for row in holdout()])
    with Load(Source(replica.port, "/predict", 100, sent)) as load:
        registry.set_canary(replica.perch)
        wait(
            "demoted", lambda: replica.view()["state"] == "demoted", 120, lambda: f"{replica.view()}; {replica.tail()}"
        )
    expect(set(load.statuses) == {200}, f"requests failed: {dict(load.statuses)} {load.failures}")
    wait("in quarantine", lambda: "quarantined" in memory(replica)["versions"].values(), 60, replica.health)
    wait(
        "told the registry",
        lambda: '{queue="registry"} 0' in request(replica.port, "GET", "/metrics")[1],
        60,
        replica.tail,
    )


def recover(
    args: argparse.Namespace, name: str, registry: Folder | Mlflow, state: StateFile | Database, folder: Path
) -> None:
    config, (port,) = folder / "perch.yaml", ports(1)
    policy = ROOT / f"examples/{MODEL}/rollout.yaml"

    def configure() -> None:
        settings = registry.settings().replace("poll:", f"rollout: {policy}, poll:")
        config.write_text(f"{settings}artifacts: {{cache: {folder}/cache}}\n")

    configure()
    replica = Perch("perch", folder, port, args.perch, args.library, config, state.url)
    with ending([replica]):
        replica.serve()
        replica.wait_ready()
        demote(replica, registry)
        # In this order: what is on its way to the registry in between is in the state's copy, and sent again.
        state.save()
        registry.save()
        before = memory(replica)

        replica.kill()
        for store in (registry, state):
            store.lose()
        shutil.rmtree(folder / "cache", ignore_errors=True)

        began = time.monotonic()
        for store in (state, registry):
            store.restore()
        restored = time.monotonic()
        configure()
        replica.serve()
        replica.wait_ready()
        ready = time.monotonic()
        wait("in quarantine again", lambda: "quarantined" in memory(replica)["versions"].values(), 60, replica.health)
        after = memory(replica)
        for what, value in before.items():
            expect(after[what] == value, f"{what} is not as it was: {after[what]}, and was {value}")
        say(
            f"recovery of {name}: stores restored in {restored - began:.1f} s, perch ready {ready - restored:.1f} s later; "
            f"as before: the answers, the quarantine, and {len(before['history'])} rows of history"
        )
        expect(replica.stop() == 0, f"perch ended badly; {replica.tail()}")


def check(args: argparse.Namespace) -> None:
    kinds = [("a folder of models and SQLite", Folder, StateFile)]
    if args.fleet:
        kinds.append(("a folder of models and PostgreSQL", Folder, Database))
    kinds.append(("MLflow, MinIO and SQLite", Mlflow, StateFile))
    for number, (name, make_registry, make_state) in enumerate(kinds):
        folder = fresh(f"recovered-{number}")
        (folder / "backup").mkdir()
        stores: list[Any] = []
        try:
            stores = [make_state(folder)]
            stores.append(make_registry(folder))
            recover(args, name, stores[1], stores[0], folder)
        finally:
            for store in stores:
                store.close()
