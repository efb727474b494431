#!/usr/bin/env python3
"""Load benchmark: perch beside its limits, in one run on one machine.

Absolute figures move from machine to machine, so the result is the ratio to limits that were
measured in the same run, in turn: "echo" (axum parses the JSON and writes it back) and "bare" (the
best simple axum server around ONNX Runtime). On one core the server has the first core and wrk the
second; on two cores both share both. Every server must give right answers before and after the
load, and every request under load must succeed, or the benchmark fails and says which did not.

    cargo build --release --bins --examples
    python3 benches/load.py --library /path/to/libonnxruntime.so --check

Exit code: 0, 1 when --check finds a target missed, 2 when the benchmark itself failed.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

import load_kit as kit
from load_kit import BenchError, Server

# What --check asks of perch, on one core: figure, comparison, bound.
TARGETS = {
    "rps64/echo": (">=", 0.80),
    "rps64/bare": (">=", 1.10),
    "p50_1conn/bare": ("<=", 1.40),
    "ready_ms": ("<=", 60.0),
}


@dataclass(frozen=True)
class Measure:
    """One kind of load."""

    key: str
    title: str
    profile: str
    rows: int
    connections: int
    latency: bool = False  # report p50 and p99 instead of requests/s; on one core only


MEASURES = [
    Measure("rps64", "1 row, 64 connections, requests/s", "1row", 1, 64),
    Measure("rps32", "1 row, 32 connections, requests/s", "1row", 1, 32),
    Measure("rows64", "64 rows, 32 connections, requests/s", "64row", 64, 32),
    Measure("1conn", "1 row, 1 connection", "1row", 1, 1, latency=True),
]
PAIRS = [("bare", "echo"), ("perch", "echo"), ("perch", "bare")]
STARTS = 10

# Medians by figure and server.
Figures = dict[str, dict[str, float]]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--perch", type=Path, default=Path("target/release/perch"))
    parser.add_argument("--without-perch", action="store_true", help="measure the limits alone")
    parser.add_argument("--bin-dir", type=Path, default=Path("target/release/examples"), help="where echo and bare are")
    parser.add_argument("--library", type=Path, default=os.environ.get("ORT_DYLIB_PATH"), help="libonnxruntime.so")
    parser.add_argument("--model", type=Path, default=Path(__file__).parent / "gbr" / "1" / "model.onnx")
    parser.add_argument("--seconds", type=int, default=5, help="of each measurement")
    parser.add_argument("--short", action="store_true", help="1 second each: for tests, not for figures")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--same-body", action="store_true", help="send one body over and over: flatters the model")
    parser.add_argument("--profile", choices=["1row", "64row", "all"], default="all")
    parser.add_argument("--cores", choices=["1", "2", "all"], default="all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round to FILE")
    parser.add_argument("--check", action="store_true", help="exit with 1 unless perch reaches the targets")
    args = parser.parse_args()
    if args.library is None:
        parser.error("--library (or ORT_DYLIB_PATH) is needed")
    if args.check and args.without_perch:
        parser.error("--check needs perch")
    if args.seconds < 1 or args.rounds < 1:
        parser.error("--seconds and --rounds are at least 1")
    if args.short:
        args.seconds = 1
    return args


def models_folder(model: Path, folder: Path) -> Path:
    """A model directory as perch reads it. The files look old, as if nobody still wrote to them."""
    version = folder / "gbr" / "1"
    version.mkdir(parents=True)
    shutil.copyfile(model, version / "model.onnx")
    example = model.with_name("input_example.json")
    if example.exists():
        shutil.copyfile(example, version / example.name)
    old = time.time() - 3600
    for path in (*version.iterdir(), version, version.parent):
        os.utime(path, (old, old))
    return folder


def servers(args: argparse.Namespace, cores: int, cpus: str, folder: Path) -> list[Server]:
    """The servers to compare, not yet started, in the order of the rounds."""
    library, model = str(args.library.resolve()), str(args.model.resolve())

    def server(name: str, binary: Path, flags: Callable[[str], list[str]], ready: str | None = None) -> Server:
        if not os.access(binary, os.X_OK):
            raise BenchError(f"{binary} is not there: cargo build --release --bins --examples")
        port = kit.free_port()
        argv = ["taskset", "-c", cpus, str(binary.resolve()), *flags(f"127.0.0.1:{port}")]
        return Server(name, argv, port, ready, library, folder / f"{name}-{cores}.log")

    def limit(listen: str) -> list[str]:
        return ["--cores", str(cores), "--listen", listen]

    result = [
        server("echo", args.bin_dir / "echo", limit),
        server("bare", args.bin_dir / "bare", lambda at: [*limit(at), "--model", model, "--library", library]),
    ]
    if not args.without_perch:
        models = str(folder / "models")

        def perch(listen: str) -> list[str]:
            return ["serve", "--models", models, "--listen", listen]

        result.append(server("perch", args.perch, perch, "/health/ready"))
    return result


def check_answers(everyone: list[Server], rows: list[kit.Row]) -> None:
    """Each server gives the same prediction for the same row: alone, in a batch, and in a crowd."""
    reference: list[float] | None = None
    for server in everyone:
        if server.name == "echo":
            sent = json.dumps({"instances": rows[:2]})
            if kit.post_each(server, [sent])[0] != json.loads(sent):
                raise BenchError("echo does not answer with the JSON that it was sent")
            continue
        ways = {
            "one after the other": [p for row in rows for p in kit.predict_each(server, [[row]])],
            "in one batch": kit.predict_each(server, [rows]),
            "all at once": kit.predict_each(server, [[row] for row in rows]),
        }
        for way, predictions in ways.items():
            reference = reference or predictions
            if len(set(predictions)) < len(rows) // 2:
                raise BenchError(f"{server.name} gives the same prediction for different rows, {way}")
            if not kit.close(predictions, reference):
                raise BenchError(f"{server.name} gives other predictions for the same rows, {way}")


def measure(args: argparse.Namespace, cores: int, cpus: list[str], folder: Path, raw: dict[str, Any]) -> Figures:
    """Starts the servers, measures every kind of load in interleaved rounds, and gives the medians."""
    server_cpus, wrk_cpus = (cpus[0], cpus[1]) if cores == 1 else (",".join(cpus), ",".join(cpus))
    rows = kit.rows(64)
    figures: Figures = {}
    with ExitStack() as stack:
        everyone = servers(args, cores, server_cpus, folder)
        for server in everyone:
            stack.callback(server.stop)
            server.start()
        raw["servers"] = {server.name: shlex.join(server.argv) for server in everyone}
        check_answers(everyone, rows)
        for kind in MEASURES:
            if args.profile not in ("all", kind.profile) or (kind.latency and cores > 1):
                continue
            script = kit.write_script(folder / f"{kind.rows}.lua", kind.rows, args.same_body)
            load = kit.Load(script, kind.connections, cores if kind.connections > 1 else 1, wrk_cpus)
            raw.setdefault("wrk", {})[kind.key] = load.command(everyone[0], args.seconds)
            for server in everyone:
                load.run(server, 1, f"{kind.title}, warm-up")
            rounds: dict[str, list[kit.Result]] = {server.name: [] for server in everyone}
            for turn in range(args.rounds):
                for server in everyone:
                    print(f"{cores} core(s): {kind.title}: round {turn + 1}: {server.name}", file=sys.stderr)
                    rounds[server.name].append(load.run(server, args.seconds, f"{kind.title}, round {turn + 1}"))
            raw.setdefault("rounds", {})[kind.key] = rounds
            for name, values in rounds.items():
                for key, field in (("p50_", "p50_us"), ("p99_", "p99_us")) if kind.latency else (("", "rps"),):
                    median = statistics.median(value[field] for value in values)
                    figures.setdefault(key + kind.key, {})[name] = median
        check_answers(everyone, rows)
        figures["rss_mb"] = {server.name: server.resident_mb() for server in everyone}
    return figures


def measure_starts(args: argparse.Namespace, cpus: list[str], folder: Path, raw: dict[str, Any]) -> dict[str, float]:
    """Milliseconds from spawn to ready: the median of ten starts, the first of eleven left out."""
    everyone = servers(args, 1, cpus[0], folder)
    times: dict[str, list[float]] = {server.name: [] for server in everyone}
    for _ in range(STARTS + 1):
        for server in everyone:
            try:
                times[server.name].append(server.start() * 1e3)
            finally:
                server.stop()
    raw["ready_ms"] = {name: values[1:] for name, values in times.items()}
    return {name: statistics.median(values[1:]) for name, values in times.items()}


def table(cores: int, figures: Figures, names: list[str]) -> str:
    """The medians of one number of cores as a Markdown table with the ratios."""
    pairs = [pair for pair in PAIRS if pair[0] in names]
    head = [f"{cores} core{'s' * (cores > 1)}", *names, *(f"{a}/{b}" for a, b in pairs)]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    titles = {kind.key: kind.title for kind in MEASURES}
    titles["p50_1conn"] = titles["1conn"] + ", p50 µs"
    titles["p99_1conn"] = titles["1conn"] + ", p99 µs"
    titles["ready_ms"] = "start to ready, ms"
    titles["rss_mb"] = "resident after load, MB"
    for key, title in titles.items():
        if key in figures:
            values = figures[key]
            cells = [f"{values[name]:,.0f}" if key != "ready_ms" else f"{values[name]:.1f}" for name in names]
            cells += [f"{values[a] / values[b]:.2f}" for a, b in pairs]
            lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def trust(raw: dict[str, Any]) -> str:
    """How far to trust the medians: what differed between rounds, and who else used the server's core."""
    spread, waited = (0.0, "none"), (0.0, "none")
    for cores, part in raw["cores"].items():
        for key, rounds in part.get("rounds", {}).items():
            for name, results in rounds.items():
                rates = [result["rps"] for result in results]
                spread = max(spread, (max(rates) / min(rates) - 1, f"{key} of {name} on {cores}"))
                # On two cores the server shares them with wrk, and waiting is the rule.
                if cores == 1:
                    waited = max(waited, (max(result["waited"] for result in results), f"{key} of {name}"))
    return (
        f"rounds of one figure differ by up to {spread[0]:.0%} ({spread[1]}); "
        f"on one core the server waited for its core up to {waited[0]:.0%} of a round ({waited[1]})"
    )


def check(figures: Figures) -> bool:
    """Prints each target with its figure; whether all are reached. Not measured is not reached."""
    reached = True
    for target, (sign, bound) in TARGETS.items():
        key, _, other = target.partition("/")
        values = figures.get(key)
        if values is None:
            print(f"MISSED {target} {sign} {bound}: not measured")
            reached = False
            continue
        figure = values["perch"] / values[other] if other else values["perch"]
        good = figure >= bound if sign == ">=" else figure <= bound
        print(f"{'ok    ' if good else 'MISSED'} {target} {sign} {bound}: {figure:.3f}")
        reached = reached and good
    return reached


def in_process(args: argparse.Namespace, cpu: str) -> str:
    """The table of ONNX Runtime alone, from the example of that name."""
    binary = args.bin_dir / "in_process"
    if not binary.exists():
        return f"({binary} is not there: ONNX Runtime alone was not measured)"
    argv = ["taskset", "-c", cpu, str(binary), "--model", str(args.model), "--library", str(args.library.resolve())]
    argv += ["--millis", "100" if args.short else "500"]
    return subprocess.run(argv, check=True, timeout=120, stdout=subprocess.PIPE, text=True).stdout.strip()


def bench(args: argparse.Namespace) -> bool:
    """Runs everything and prints the report; false when --check finds a target missed."""
    cpus = kit.two_cpus()
    wrk = kit.wrk_version()
    for path in (args.library, args.model):
        if not path.exists():
            raise BenchError(f"{path} is not there")
    raw: dict[str, Any] = {"machine": {**kit.machine(), "wrk": wrk}, "seconds": args.seconds, "cores": {}}
    everything: dict[int, Figures] = {}
    # The poller of the starts and the report must not take the server's core.
    os.sched_setaffinity(0, {int(cpus[1])})
    alone = in_process(args, cpus[0])
    with tempfile.TemporaryDirectory(prefix="perch-bench-") as name:
        folder = Path(name)
        models_folder(args.model, folder / "models")
        for cores in (1, 2):
            if args.cores not in ("all", str(cores)):
                continue
            part = raw["cores"].setdefault(cores, {})
            figures = {"ready_ms": measure_starts(args, cpus, folder, part)} if cores == 1 else {}
            everything[cores] = {**figures, **measure(args, cores, cpus, folder, part)}
    raw["medians"] = everything
    if args.json:
        args.json.write_text(json.dumps(raw, indent=1) + "\n")

    names = ["echo", "bare"] if args.without_perch else ["echo", "bare", "perch"]
    print("# perch beside its limits\n")
    print("\n".join(f"- {key}: {value}" for key, value in raw["machine"].items()))
    print(f"- medians of {args.rounds} interleaved rounds of {args.seconds} s\n- {trust(raw)}\n")
    for cores, figures in everything.items():
        print(table(cores, figures, names) + "\n")
    print(alone + "\n")
    bodies = "one body over and over" if args.same_body else "512 bodies of 1 row, or 16 of 64 rows, in turn"
    print(f"Commands; wrk sends {bodies}, and to the other servers likewise:\n\n```")
    for part in raw["cores"].values():
        print("\n".join([*part["servers"].values(), *part.get("wrk", {}).values()]))
    print("```")
    return not args.check or check(everything.get(1, {}))


def main() -> int:
    args = arguments()
    # So that a killed benchmark takes its servers with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return 0 if bench(args) else 1
    except (BenchError, subprocess.SubprocessError) as error:
        print(f"the benchmark failed: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
