"""Two replicas under load and during a demotion, watched by a real Prometheus: all that people look at has data.

Every query of every dashboard, with its variables expanded, and what every alert compares; the alerts that have to fire;
and the metric that pods are scaled by.
"""

from __future__ import annotations

import argparse
import http.server
import itertools
import json
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import fleet
import promql
from boards import boards, expanded
from kit import MODEL, ROOT, Perch, Process, ending, expect, fresh, holdout, ports, request, run, say, wait
from load import Load, Source
from watch import Prometheus, adapter_query

TEXT = "toy_embedder"
BROKEN = "unknown_op"  # cannot be loaded, and is not required
LOOP = "loop"  # runs until it is stopped
HEAVY = "heavy"
# A gate that has to decide at once: it has seen nothing yet.
GATE = "{strategy: {canary: {steps: [{setWeight: 50}, {gate: {metrics: [errors], onInconclusive: pause}}]}}}"
BODY = 1 << 20  # the largest, and as much as all large ones may have together
EXPECTED = {("PerchCanaryDemoted", MODEL), ("PerchRolloutInconclusive", TEXT), ("PerchQueueSaturated", HEAVY)}
# Requests for a model that has no version loaded met none.
EXPECTED |= {("PerchModelFailsToLoad", BROKEN), ("PerchErrorsHigh", ""), ("PerchErrorsCritical", "")}


class Receiver(http.server.BaseHTTPRequestHandler):
    """Who is told of rollouts."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def configuration(folder: Path, hook: int) -> Path:
    """perch.yaml over a folder of models: the example, one of texts, one with hardly any queue, two that fail."""
    models = folder / "models"
    shutil.copytree(ROOT / "examples/models", models)
    for name in (TEXT, BROKEN, HEAVY, LOOP):
        shutil.copytree(ROOT / f"tests/fixtures/models/{name}", models / name)
    (models / TEXT / "aliases.json").write_text('{"stable": 1}')
    policy = (ROOT / f"examples/{MODEL}/rollout.yaml").read_text()
    told = "notifications: [{type: webhook, urlFrom: {env: HOOK}, on: [demoted]}]"
    expect("notifications: []" in policy, "the example's policy tells somebody by now: change this test")
    (folder / "rollout.yaml").write_text(policy.replace("notifications: []", told))
    config = folder / "perch.yaml"
    # Equal inputs of the example are no evidence where a cache answers them.
    config.write_text(
        f"server: {{responseCache: 16MiB, requestTimeout: 12s, maxBody: {BODY}, maxBuffered: {BODY}}}\n"
        f"registry: {{path: {models}, poll: 500ms}}\n"
        f"artifacts: {{cache: {folder}/cache}}\n"
        f"models:\n"
        f"  - {{name: {MODEL}, cache: false, rollout: rollout.yaml}}\n"
        f"  - {{name: {TEXT}, rollout: {GATE}}}\n"
        f"  - {{name: {BROKEN}, required: false}}\n"
        f"  - {{name: {LOOP}, threads: 1}}\n"
        f"  - {{name: {HEAVY}, cache: false, threads: 1, batching: {{maxRows: 1, maxQueue: 20ms}}}}\n"
    )
    return config


def bodies() -> dict[str, Iterator[bytes]]:
    """What is sent: every second text has been asked for before."""
    words = (f"text {number // 2} of many" for number in itertools.count())
    texts = (json.dumps({"model": TEXT, "inputs": [word, "a text that all know"]}).encode() for word in words)
    rows = (json.dumps({"model": MODEL, "instances": [row]}).encode() for row in itertools.cycle(holdout()))
    wrong = itertools.repeat(json.dumps({"model": MODEL, "instances": [[1]]}).encode())
    heavy = itertools.repeat(json.dumps({"model": HEAVY, "instances": [[1, 2, 3, 4]]}).encode())
    broken = itertools.repeat(json.dumps({"model": BROKEN, "instances": [[1, 2, 3, 4]]}).encode())
    unknown = itertools.repeat(json.dumps({"model": TEXT, "inputs": "a", "prompt_name": "unknown"}).encode())
    return {"texts": texts, "rows": rows, "wrong": wrong, "heavy": heavy, "broken": broken, "unknown": unknown}


def sources(replicas: list[Perch]) -> Iterator[Source]:
    for replica in replicas:
        sent = bodies()
        yield Source(replica.port, "/predict", 60, sent["rows"])
        yield Source(replica.port, "/embed", 10, sent["texts"])
        yield Source(replica.port, "/predict", 2, sent["wrong"])
        yield Source(replica.port, "/embed", 2, sent["unknown"])
        yield Source(replica.port, "/predict", 20, sent["broken"])


def saturate(replicas: list[Perch], until: threading.Event) -> None:
    """More at once than the heavy model's queue holds, and a pause, over and over."""
    body = json.loads(next(bodies()["heavy"]))
    while not until.wait(0.5):
        asked = [r for r in replicas for _ in range(12)]
        threads = [threading.Thread(target=request, args=(r.port, "POST", "/predict", body)) for r in asked]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def fail(replica: Perch) -> None:
    """A request that is stopped at its deadline, and one that is refused before anybody looks for its model."""
    status, text = request(replica.port, "POST", "/predict", {"model": LOOP, "instances": [[10**12]]})
    expect(status == 504, f"a model that never ends: {status} {text}")
    head = f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {BODY}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", replica.port), timeout=30) as held:
        # All that there is for large bodies, and not yet a whole request.
        held.sendall(head + b" " * (BODY - 1))

        def refused() -> bool:
            return request(replica.port, "POST", "/predict", " " * (BODY - 100))[0] == 429

        wait("refused for want of room", refused, 10)  # the first one is ended by server.requestTimeout


def roll_out(replicas: list[Perch], models: Path) -> None:
    """Version 3 of the example comes and goes; the other rollout finds nothing to decide by."""
    for model, version in ((MODEL, 3), (TEXT, 2)):
        run(replicas[0].perch, "models", "alias", "set", model, "canary", version, "--models", models)
    for replica in replicas:
        wait_decided(replica)


def wait_decided(replica: Perch) -> None:
    wait("demoted", lambda: replica.view()["state"] == "demoted", 120, lambda: f"{replica.view()}; {replica.tail()}")
    wait("paused", lambda: replica.view(TEXT)["state"] == "paused", 60, lambda: replica.view(TEXT))
    say(f"{replica.name}: {replica.view()['reason']}; {TEXT} is paused: {replica.view(TEXT)['pausedBy']}")


def asked(prometheus: Prometheus, with_fleet: bool) -> dict[str, str]:
    """Every query that has to have data, by where it stands. The others have at least to be understood."""
    found: dict[str, str] = {}
    for board in boards():
        chosen = board.choose(prometheus.label)
        found |= {query.where: expanded(query.expr, chosen) for query in board.queries()}
    for alert, expr in prometheus.rules().items():
        for number, operand in enumerate(promql.operands(expr)):
            found[f"alert {alert} ({number + 1})"] = operand
    for where, expr in list(found.items()):
        if not with_fleet and fleet.needed_by(expr):
            prometheus.values(expr)
            del found[where]
    return found


def check_queries(prometheus: Prometheus, with_fleet: bool) -> None:
    queries = asked(prometheus, with_fleet)
    silent = dict(queries)

    def all_have_data() -> bool:
        for where, expr in list(silent.items()):
            if prometheus.history(expr):
                del silent[where]
        return not silent

    def which() -> str:
        return "\n".join(["", *(f"no data: {where}: {expr}" for where, expr in silent.items())])

    wait("every query with data", all_have_data, 60, which)
    left = "" if with_fleet else "; those that need a fleet are only understood"
    say(f"{len(queries)} queries of dashboards and rules have data{left}")


def check_adapter(prometheus: Prometheus) -> None:
    """As prometheus-adapter does it: it finds the series, and asks for the pods of a namespace."""
    pods = list(prometheus.targets)
    series, query = adapter_query(pods)
    found = prometheus.api("series", **{"match[]": series})
    expect({one["pod"] for one in found} == set(pods), f"{series} finds {found}")
    values = {one["metric"]["pod"]: float(one["value"][1]) for one in prometheus.values(query)}
    expect(set(values) == set(pods) and all(value > 0 for value in values.values()), f"{query} gives {values}")
    say("http_requests_per_second: " + ", ".join(f"{pod} {value:.0f}" for pod, value in sorted(values.items())))


def check(args: argparse.Namespace) -> None:
    folder = fresh("watched")
    hook = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=hook.serve_forever, daemon=True).start()
    config = configuration(folder, hook.server_port)
    first, second, third = ports(3)
    processes: list[Process] = []
    with fleet.states(folder, args.fleet) as states, ending(processes):
        replicas = []
        for name, port in (("perch-0", first), ("perch-1", second)):
            replica = Perch(name, folder, port, args.perch, args.library, config, states.of(name))
            replica.environment["HOOK"] = f"http://127.0.0.1:{hook.server_port}/told"
            processes.append(replica)
            replica.serve()
            replicas.append(replica)
        for replica in replicas:
            replica.wait_ready()
        prometheus = Prometheus(folder, third, {replica.name: replica.port for replica in replicas})
        processes.append(prometheus)
        prometheus.watch()
        ended = threading.Event()
        busy = threading.Thread(target=saturate, args=(replicas, ended), daemon=True)
        with Load(*sources(replicas)) as load:
            busy.start()
            try:
                fail(replicas[0])
                roll_out(replicas, folder / "models")
                # Once more: a rate needs a series that grows while it is looked at.
                fail(replicas[0])
                wait(
                    "firing",
                    lambda: EXPECTED <= prometheus.firing(),
                    60,
                    lambda: f"{EXPECTED}, but {prometheus.firing()}",
                )
                say(f"alerts that fire: {', '.join(sorted(f'{a} ({m})' for a, m in prometheus.firing()))}")
                # Somebody does not wait for the gate: now there is a promotion to see, too.
                say(replicas[0].tell("rollout", "promote", TEXT, "--full").strip())
                check_queries(prometheus, args.fleet)
                check_adapter(prometheus)
            finally:
                ended.set()
                busy.join()
        # 429: a machine that is slow for a while has no time for all of them.
        expect(set(load.statuses) <= {200, 400, 422, 429, 503}, f"requests failed: {dict(load.statuses)} {load.failures}")
        replicas[1].kill()
        gone = ("PerchReplicaUnready", "")
        wait("an alert for a replica that was killed", lambda: gone in prometheus.firing(), 60, prometheus.firing)
        say("a replica was killed: PerchReplicaUnready fires")
    hook.shutdown()
