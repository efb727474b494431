#!/usr/bin/env python3
"""Embeddings beside their limit: MiniLM in perch, and in ONNX Runtime alone, in one run on one core.

Absolute figures move from machine to machine, so each is set against the limit that was measured in the same run, in
turn, on the same core: ONNX Runtime in this process' child, one intra-op thread, tokens ready, in the batches that are
best on this machine. The server has the first core, the client the second. Every text of the reference must be embedded
rightly before and after.

    cargo build --release
    $venv/bin/python benches/embed.py --registry "$(scripts/minilm)" --library /path/to/libonnxruntime.so --check

$venv is that of examples/minilm. Exit code: 0, 1 when --check finds a target missed, 2 when the benchmark itself failed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import embed_kit
import load_kit as kit
from embed_kit import Connection, Limits
from embed_limits import short_texts, texts
from load_kit import Server

# What --check asks of perch.
TARGETS = {
    "mixed/limit": ("<=", 1.06),
    "short p50 - limit, ms": ("<=", 0.15),
    "rate32/limit": (">=", 0.97),
}
GROUPS = (1, 2, 4, 8, 16)
BATCHES = (1, 2, 4, 8, 16, 32)


@dataclass
class Pairs:
    """What was measured of one kind, by round: the limit's figure and perch's."""

    title: str
    digits: int
    limit: list[float] = field(default_factory=list)
    perch: list[float] = field(default_factory=list)

    def add(self, limit: float, perch: float) -> None:
        print(f"{self.title}: limit {limit:,.{self.digits}f}, perch {perch:,.{self.digits}f}", file=sys.stderr)
        self.limit.append(limit)
        self.perch.append(perch)

    def ratio(self) -> float:
        """The median of the rounds' ratios: a slow moment of the machine meets both sides of a round."""
        return statistics.median(perch / limit for limit, perch in zip(self.limit, self.perch, strict=True))

    def difference(self) -> float:
        return statistics.median(perch - limit for limit, perch in zip(self.limit, self.perch, strict=True))

    def row(self) -> str:
        limit, perch = statistics.median(self.limit), statistics.median(self.perch)
        ratios = [perch / limit for limit, perch in zip(self.limit, self.perch, strict=True)]
        cells = [f"{limit:,.{self.digits}f}", f"{perch:,.{self.digits}f}", f"{self.ratio():.3f}"]
        cells.append(f"{min(ratios):.3f} to {max(ratios):.3f}")
        return f"| {self.title} | " + " | ".join(cells) + " |"


@dataclass
class Bench:
    args: argparse.Namespace
    server: Server
    limits: Limits
    cpus: list[str]
    folder: Path

    def mixed(self) -> Pairs:
        """One request with 32 texts of 5 to 180 words."""
        repeats = 1 if self.args.short else 3
        tried = {size: self.limits.ask("mixed", size=size, times=repeats) for size in GROUPS}
        best = min(tried, key=lambda size: tried[size]["ms"])
        shown = ", ".join(f"{size}: {one['ms']:.0f} ms ({one['slots']} slots)" for size, one in tried.items())
        print(f"in process, groups of {shown}", file=sys.stderr)
        pairs = Pairs(f"32 texts of 5 to 180 words in one request, ms (limit: groups of {best})", 1)
        body = json.dumps({"inputs": texts.mixed()}).encode()
        connection = Connection(self.server.port)
        try:
            connection.post("/embed", body)
            for _ in range(self.args.rounds):
                # In slices, turn about.
                limit, perch = [], []
                for _ in range(repeats):
                    limit.append(self.limits.ask("mixed", size=best, times=1)["ms"])
                    perch.append(connection.post("/embed", body)[0])
                pairs.add(statistics.median(limit), statistics.median(perch))
        finally:
            connection.close()
        return pairs

    def short(self) -> Pairs:
        """One short text a request, one connection."""
        pairs = Pairs("1 short text, 1 connection, p50 ms", 3)
        load = self._load(1)
        load.run(self.server, 1, "warm-up")
        for _ in range(self.args.rounds):
            limit = self.limits.ask("short", seconds=self.args.seconds)["ms"]
            pairs.add(limit, load.run(self.server, round(self.args.seconds), pairs.title)["p50_us"] / 1e3)
        return pairs

    def rate(self) -> Pairs:
        """One short text a request, 32 connections.

        Rounds are twice as long: of the run that its end cuts wrk counts nothing, half a run on average. And there are
        three times as many: what is asked for is three percent from the limit, and rounds are off by as much.
        """
        seconds = 2 * self.args.seconds
        tried = {size: self.limits.ask("rate", size=size, seconds=self.args.seconds / 3)["rate"] for size in BATCHES}
        best = max(tried, key=lambda size: tried[size])
        shown = ", ".join(f"{size}: {rate:.0f}/s" for size, rate in tried.items())
        print(f"in process, batches of {shown}", file=sys.stderr)
        pairs = Pairs(f"1 short text, 32 connections, texts/s (limit: batches of {best})", 0)
        load = self._load(32)
        load.run(self.server, 1, "warm-up")
        for _ in range(3 * self.args.rounds):
            limit = self.limits.ask("rate", size=best, seconds=seconds)["rate"]
            pairs.add(limit, load.run(self.server, round(seconds), pairs.title)["rps"])
        return pairs

    def _load(self, connections: int) -> kit.Load:
        found = short_texts(self.args.registry / "minilm/1", 64)
        bodies = [json.dumps({"inputs": text}) for text in found]
        script = kit.write_bodies(self.folder / "short.lua", "/embed", bodies)
        return kit.Load(script, connections, 1, self.cpus[1])


def bench(args: argparse.Namespace) -> bool:
    """Runs everything and prints the report; false when --check finds a target missed."""
    cpus, wrk = kit.two_cpus(), kit.wrk_version()
    machine = {**kit.machine(), "wrk": wrk}
    os.sched_setaffinity(0, {int(cpus[1])})
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="perch-embed-")))
        server = embed_kit.server(args, cpus[0], folder)
        stack.callback(server.stop)
        ready = server.start()
        print(f"ready after {ready:.1f} s", file=sys.stderr)
        limits = Limits(cpus[0], args.registry / "minilm/1")
        stack.callback(limits.close)
        embed_kit.check_answers(server.port, args.registry)
        run = Bench(args, server, limits, cpus, folder)
        mixed, short, rate = run.mixed(), run.short(), run.rate()
        embed_kit.check_answers(server.port, args.registry)
        resident = server.resident_mb()
    embed_kit.report_machine("Embeddings beside their limit", args, machine)
    print("| MiniLM fp32, one core | limit | perch | ratio | rounds |\n|---|---|---|---|---|")
    print("\n".join(pairs.row() for pairs in (mixed, short, rate)))
    print(f"\nStart to ready {ready:.1f} s; {resident:.0f} MB resident after the load.\n")
    figures = {
        "mixed/limit": mixed.ratio(),
        "short p50 - limit, ms": short.difference(),
        "rate32/limit": rate.ratio(),
    }
    return not args.check or embed_kit.verdicts(TARGETS, figures)


def main() -> int:
    return embed_kit.run(bench, embed_kit.parsed(embed_kit.arguments(__doc__)))


if __name__ == "__main__":
    sys.exit(main())
