"""An upgrade: three replicas behind HAProxy are restarted one after the other at 500 requests a second, and none fails."""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import time
from pathlib import Path

import fleet
from kit import MODEL, ROOT, Perch, Process, ending, expect, fresh, holdout, ports, request, say, tool, wait
from load import Load, Source

RATE = 500
# A proxy looks every 200 ms: it has noticed long before the replica stops listening, even where the machine stands still for
# some seconds meanwhile.
DRAIN = 8  # seconds
REPLICAS = 3


class Proxy(Process):
    """HAProxy before the replicas. It tries nothing again: what a replica fails, the client sees."""

    def __init__(self, folder: Path, port: int, stats: int, replicas: list[Perch]) -> None:
        super().__init__("haproxy", folder)
        self.port, self.stats = port, stats
        servers = "\n".join(f"    server {r.name} 127.0.0.1:{r.port} check" for r in replicas)
        self.config = folder / "haproxy.cfg"
        self.config.write_text(
            "global\n    maxconn 4000\n"
            "defaults\n    mode http\n    retries 0\n    timeout connect 5s\n    timeout client 60s\n    timeout server 60s\n"
            f"frontend all\n    bind 127.0.0.1:{port}\n    default_backend perch\n"
            "backend perch\n    balance roundrobin\n"
            "    option httpchk GET /health/ready\n    http-check expect status 200\n"
            # Unready at the first 503: the replica goes on accepting for server.drain.delay.
            "    default-server inter 200ms fall 1 rise 1\n"
            f"{servers}\n"
            f"frontend stats\n    bind 127.0.0.1:{stats}\n    stats enable\n    stats uri /\n"
        )

    def serve(self) -> None:
        self.start(tool("haproxy"), "-db", "-f", self.config)

    def up(self) -> dict[str, bool]:
        """Which replicas it sends requests to."""
        self.alive()
        status, text = request(self.stats, "GET", "/;csv;norefresh")
        rows = [line.split(",") for line in text.splitlines()] if status == 200 else []
        return {row[1]: row[17].startswith("UP") for row in rows if row[0] == "perch" and row[1] != "BACKEND"}

    def requests(self) -> dict[str, int]:
        """How many each replica has been sent."""
        rows = [line.split(",") for line in request(self.stats, "GET", "/;csv;norefresh")[1].splitlines()]
        return {row[1]: int(row[7]) for row in rows if row[0] == "perch" and row[1] != "BACKEND"}


def restart(replica: Perch, proxy: Proxy, load: Load) -> float:
    """SIGTERM, and the same command again; the seconds until the proxy sends it requests once more."""
    began, before = time.monotonic(), proxy.requests()[replica.name]
    code = replica.stop()
    expect(code == 0, f"{replica.name} ended with {code}; {replica.tail()}")
    expect(not proxy.up()[replica.name], f"{replica.name} has ended, and HAProxy has not noticed")
    replica.serve()
    replica.wait_ready()
    wait(f"{replica.name} behind the proxy", lambda: proxy.up()[replica.name], 60, proxy.tail)
    wait(
        f"requests at {replica.name}", lambda: proxy.requests()[replica.name] > before + 100, 60, lambda: load.statuses
    )
    return time.monotonic() - began


def check(args: argparse.Namespace) -> None:
    folder = fresh("restarted")
    shutil.copytree(ROOT / "examples/models", folder / "models")
    config = folder / "perch.yaml"
    config.write_text(f"registry: {{path: {folder}/models, poll: 500ms}}\nartifacts: {{cache: {folder}/cache}}\n")
    at, stats, *rest = ports(2 + REPLICAS)
    processes: list[Process] = []
    with fleet.states(folder, args.fleet) as states, ending(processes):
        replicas = []
        for number, port in enumerate(rest):
            name = f"perch-{number}"
            replicas.append(Perch(name, folder, port, args.perch, args.library, config, states.of(name)))
            replicas[-1].environment["PERCH__SERVER__DRAIN__DELAY"] = f"{DRAIN}s"
            processes.append(replicas[-1])
            replicas[-1].serve()
        for replica in replicas:
            replica.wait_ready()
        proxy = Proxy(folder, at, stats, replicas)
        processes.append(proxy)
        proxy.serve()
        wait("every replica behind the proxy", lambda: sum(proxy.up().values()) == REPLICAS, 60, proxy.tail)
        sent = itertools.cycle([json.dumps({"model": MODEL, "instances": [row]}).encode() for row in holdout()])
        began = time.monotonic()
        with Load(Source(at, "/predict", RATE, sent)) as load:
            wait("requests on their way", lambda: load.statuses[200] > RATE, 60, lambda: load.failures)
            took = [restart(replica, proxy, load) for _ in range(args.rounds) for replica in replicas]
        seconds = time.monotonic() - began
    failed = load.sent - load.statuses[200]
    say(
        f"rolling restart: {len(took)} restarts of {REPLICAS} replicas, {load.sent} requests at "
        f"{load.sent / seconds:.0f}/s, {load.skipped} skipped, {failed} failed; {max(took):.1f} s the slowest restart, "
        f"{DRAIN} s of them drain"
    )
    expect(failed == 0, f"{failed} requests failed: {dict(load.statuses)} {load.failures}")
