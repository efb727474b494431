"""What the benchmarks of embeddings share: a server of MiniLM on one core, its limits beside it, and right answers."""

from __future__ import annotations

import argparse
import http.client
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable

import load_kit as kit
from load_kit import BenchError, Server

TOLERANCE = 1e-4


def arguments(doc: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(doc or "").split("\n", 1)[0])
    parser.add_argument("--perch", type=Path, default=Path("target/release/perch"))
    parser.add_argument("--library", type=Path, default=os.environ.get("ORT_DYLIB_PATH"), help="libonnxruntime.so")
    parser.add_argument("--registry", type=Path, required=True, help="what scripts/minilm prints")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--short", action="store_true", help="one short round: for tests, not for figures")
    parser.add_argument("--check", action="store_true", help="exit with 1 unless perch reaches the targets")
    return parser


def parsed(parser: argparse.ArgumentParser) -> argparse.Namespace:
    args = parser.parse_args()
    if args.library is None:
        parser.error("--library (or ORT_DYLIB_PATH) is needed")
    if args.short:
        args.seconds, args.rounds = 1.0, 1
    return args


def run(bench: Callable[[argparse.Namespace], bool], args: argparse.Namespace) -> int:
    """The exit code: 0, 1 where a target is missed, 2 where the benchmark itself failed."""
    # So that a killed benchmark takes its server with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return 0 if bench(args) else 1
    except (BenchError, subprocess.SubprocessError, OSError) as error:
        print(f"the benchmark failed: {error}", file=sys.stderr)
        return 2


def server(args: argparse.Namespace, cpus: str, folder: Path, *more: str) -> Server:
    """perch with a copy of MiniLM's fp32 graph, one intra-op thread, not yet started."""
    if not os.access(args.perch, os.X_OK):
        raise BenchError(f"{args.perch} is not there: cargo build --release")
    version = folder / "models/minilm/1"
    shutil.copytree(args.registry / "minilm/1", version)
    # As if nobody still wrote to them.
    old = time.time() - 3600
    for path in sorted((folder / "models").rglob("*")):
        os.utime(path, (old, old))
    port = kit.free_port()
    argv = ["taskset", "-c", cpus, str(args.perch.resolve()), "serve", "--models", str(folder / "models")]
    argv += ["--threads", "1", "--state", f"sqlite://{folder}/state.db", "--listen", f"127.0.0.1:{port}", *more]
    return Server("perch", argv, port, "/health/ready", str(args.library.resolve()), folder / "perch.log")


class Limits:
    """embed_limits.py on the server's core. It waits for a line when it is not asked."""

    def __init__(self, cpus: str, version: Path) -> None:
        program = str(Path(__file__).with_name("embed_limits.py"))
        argv = ["taskset", "-c", cpus, sys.executable, program, str(version)]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, what: str, **how: object) -> dict[str, float]:
        self.process.stdin.write(json.dumps({"do": what, **how}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise BenchError(f"embed_limits.py ended with {self.process.wait()}")
        return json.loads(line)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(timeout=30)


class Connection:
    """One connection that is kept."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.connection.connect()

    def post(self, path: str, body: bytes) -> tuple[float, bytes]:
        """The milliseconds until the whole answer was there, and the answer."""
        began = time.perf_counter()
        self.connection.request("POST", path, body, {"Content-Type": "application/json"})
        response = self.connection.getresponse()
        text = response.read()
        took = (time.perf_counter() - began) * 1e3
        if response.status != 200:
            raise BenchError(f"{path} answers {response.status} to a good request: {text[:300]!r}")
        return took, text

    def close(self) -> None:
        self.connection.close()


def check_answers(port: int, registry: Path) -> None:
    """Every text of the reference is embedded as it should be, in one request and alone."""
    reference = json.loads((registry / "minilm.reference.json").read_text())
    pairs = [(t, e) for t, e in zip(reference["texts"], reference["embeddings"], strict=True) if t]
    connection = Connection(port)

    def embedded(texts: list[str]) -> list[list[float]]:
        return json.loads(connection.post("/embed", json.dumps({"inputs": texts, "truncate": True}).encode())[1])

    try:
        together = embedded([text for text, _ in pairs])
        alone = [embedded([text])[0] for text, _ in pairs[::4]]
    finally:
        connection.close()
    for got, (text, expected) in [*zip(together, pairs, strict=True), *zip(alone, pairs[::4], strict=True)]:
        worst = max((abs(a - b) for a, b in zip(got, expected, strict=True)), default=math.inf)
        if not worst <= TOLERANCE:
            raise BenchError(f"the embedding of {text[:40]!r} differs by {worst} from the reference")


def report_machine(what: str, args: argparse.Namespace, machine: dict[str, Any]) -> None:
    print(f"# {what}\n")
    print("\n".join(f"- {key}: {value}" for key, value in machine.items()))
    print(f"- medians of {args.rounds} interleaved rounds\n")


def verdicts(targets: dict[str, tuple[str, float]], figures: dict[str, float]) -> bool:
    """Prints each target with its figure; whether all are reached."""
    reached = True
    for name, (sign, bound) in targets.items():
        figure = figures[name]
        good = figure >= bound if sign == ">=" else figure <= bound
        print(f"{'ok    ' if good else 'MISSED'} {name} {sign} {bound}: {figure:.3f}")
        reached = reached and good
    return reached
