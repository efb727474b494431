#!/usr/bin/env python3
"""What a rollout costs in throughput: the same server and model, with and without a canary, in one run.

Two servers of the same binary serve the same graph. One has a canary, a second version that is a copy of the first, at
a fixed weight: every request is divided, its latency is counted, and the canary's executions are judged by two metrics.
They are loaded in turn, a second each; the figure is the median of the rounds' ratios.

    cargo build --release
    python3 benches/rollout_load.py --library /path/to/libonnxruntime.so --check

Exit code: 0, 1 when --check finds the ratio below the target, 2 when the benchmark itself failed.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import load_kit as kit
from load_kit import BenchError, Server

TARGET = 0.95
POLICY = """\
analysis:
  metrics:
    - {name: errors, type: error-rate, max: 0.01}
    - {name: latency, type: latency, quantile: p95, max: 1s}
strategy:
  canary:
    steps:
      - setWeight: %s
      - pause: {}
"""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--perch", type=Path, default=Path("target/release/perch"))
    parser.add_argument("--library", type=Path, default=os.environ.get("ORT_DYLIB_PATH"), help="libonnxruntime.so")
    parser.add_argument("--model", type=Path, default=Path(__file__).parent / "gbr" / "1" / "model.onnx")
    parser.add_argument("--weights", default="10,50", help="percent, with commas")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--cores", type=int, choices=[1, 2], default=1)
    parser.add_argument("--seconds", type=int, default=5, help="of load on each server in each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--check", action="store_true", help=f"exit with 1 below {TARGET}")
    args = parser.parse_args()
    if args.library is None:
        parser.error("--library (or ORT_DYLIB_PATH) is needed")
    return args


def models_folder(model: Path, folder: Path, canary: bool) -> Path:
    """A model with one version, or with two of the same graph."""
    home = folder / "gbr"
    for version in ("1", "2") if canary else ("1",):
        (home / version).mkdir(parents=True)
        shutil.copyfile(model, home / version / "model.onnx")
        if version == "2":
            # Another name of the producer: other bytes, another digest, the same graph.
            with (home / version / "model.onnx").open("ab") as graph:
                graph.write(b"\x1a\x05bench")
    (home / "aliases.json").write_text(json.dumps({"stable": 1, **({"canary": 2} if canary else {})}))
    old = time.time() - 3600
    for path in sorted(home.rglob("*")):
        os.utime(path, (old, old))
    return folder


def server(args: argparse.Namespace, cpus: str, folder: Path, name: str, weight: str | None) -> Server:
    here = folder / name
    here.mkdir()
    models = models_folder(args.model, here / "models", weight is not None)
    policy = here / "policy.yaml"
    policy.write_text(POLICY % (weight or "1"))
    port = kit.free_port()
    argv = ["taskset", "-c", cpus, str(args.perch.resolve()), "serve", "--models", str(models)]
    argv += ["--rollout", str(policy), "--state", f"sqlite://{here}/state.db", "--listen", f"127.0.0.1:{port}"]
    return Server(name, argv, port, "/health/ready", str(args.library.resolve()), here / "log")


def view(server: Server) -> dict:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    connection.request("GET", "/admin/rollouts/gbr")
    return json.loads(connection.getresponse().read())


def wait_for_weight(server: Server, weight: float) -> None:
    for _ in range(200):
        if view(server)["weight"] == weight:
            return
        time.sleep(0.05)
    raise BenchError(f"{server.name}: the canary has no weight after 10 s: {view(server)}")


def check(seen: dict, weight: float) -> None:
    share, failed = seen["actualShare"], seen["tracks"]["canary"]["failed"]
    if seen["state"] != "paused" or failed or share is None or abs(share - weight) > 0.5:
        raise BenchError(f"at {weight} %: state {seen['state']}, share {share}, failed {failed}")


def measure(args: argparse.Namespace, folder: Path) -> dict[str, float]:
    cpus = kit.two_cpus()
    both = ",".join(cpus)
    server_cpus, wrk_cpus = (cpus[0], cpus[1]) if args.cores == 1 else (both, both)
    script = kit.write_script(folder / "1.lua", 1)
    load = kit.Load(script, args.connections, args.cores, wrk_cpus)
    weights = args.weights.split(",")
    ratios: dict[str, list[float]] = {weight: [] for weight in weights}
    for turn in range(args.rounds):
        with ExitStack() as stack:
            # Processes anew for each round: one may be faster than another of the same kind by more than what is measured.
            everyone = {
                name: server(args, server_cpus, folder, f"{name}-{turn + 1}", None if name == "without" else name)
                for name in ("without", *weights)
            }
            for name, one in everyone.items():
                stack.callback(one.stop)
                one.start()
                if name != "without":
                    wait_for_weight(one, float(name))
                load.run(one, 1, "warm-up")
            rates = dict.fromkeys(everyone, 0.0)
            # In slices of a second, turn about: a machine that others use too is fast now and slow a moment later.
            for _ in range(args.seconds):
                for name, one in everyone.items():
                    rates[name] += load.run(one, 1, f"round {turn + 1}")["rps"] / args.seconds
            print(f"round {turn + 1}: " + ", ".join(f"{n} {r:,.0f}" for n, r in rates.items()), file=sys.stderr)
            for weight in weights:
                check(view(everyone[weight]), float(weight))
                ratios[weight].append(rates[weight] / rates["without"])
    return {weight: statistics.median(values) for weight, values in ratios.items()}


def main() -> int:
    args = arguments()
    try:
        print(kit.wrk_version(), file=sys.stderr)
        with tempfile.TemporaryDirectory() as folder:
            figures = measure(args, Path(folder))
    except BenchError as error:
        print(f"rollout_load: {error}", file=sys.stderr)
        return 2
    missed = False
    for weight, ratio in figures.items():
        missed |= ratio < TARGET
        print(f"canary at {weight:>3} %, {args.cores} core(s): {ratio:.3f} of the requests/s without (target {TARGET})")
    return 1 if args.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
