#!/usr/bin/env python3
"""Twice the work that there is room for: MiniLM in perch on one core, with requests that do not wait for each other.

The peak is what eight clients get that wait for their answers, one text of 5 to 180 words a request. Then requests come
at twice that rate, whatever the server does: goodput is what it answers with 200 a second, refusals are 429. Peak and
overload are measured in turn, in the same run.

    cargo build --release
    $venv/bin/python benches/embed_overload.py --registry "$(scripts/minilm)" --library /path/to/libonnxruntime.so --check

Exit code: 0, 1 when --check finds a target missed, 2 when the benchmark itself failed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import embed_kit
import load_kit as kit
from embed_limits import texts
from load_kit import BenchError
from open_loop import Answer, Loop

CLIENTS, TIMES = 8, 2.0
# `server.requestTimeout` where nothing else is set.
DEADLINE_S = 10.0
TARGETS = {
    "goodput/peak": (">=", 0.95),
    "accepted p99, s": ("<=", DEADLINE_S),
    "time to 429 p99, ms": ("<=", 5.0),
    "neither answered nor refused": ("<=", 0.0),
}


def share(values: list[float], quantile: float) -> float:
    """The value that so many are at or below."""
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * quantile))]


@dataclass
class Round:
    """What one round gave."""

    peak: float
    offered: float
    goodput: float
    accepted_p50_s: float
    accepted_p99_s: float
    refused: int
    refusal_p50_ms: float
    refusal_p99_ms: float
    lost: int
    late_p99_ms: float


def rate(answers: list[Answer], skip_s: float) -> float:
    """Good answers a second, by when they came; the beginning, when the queue fills, is left out."""
    first = min(answer.sent for answer in answers) + skip_s
    last = max(answer.sent for answer in answers)
    good = [answer for answer in answers if answer.status == 200 and first <= answer.sent + answer.took_s <= last]
    return len(good) / (last - first)


def measure(args: argparse.Namespace, port: int) -> Round:
    bodies = itertools.cycle([json.dumps({"inputs": text}).encode() for text in texts.mixed()])
    loop = Loop(port, "/embed", bodies)
    calm = loop.closed(CLIENTS, args.seconds)
    if any(answer.status != 200 for answer in calm):
        raise BenchError(f"{CLIENTS} clients that wait for their answers are refused: {args.seconds} s")
    skip = args.seconds / 5
    peak = rate(calm, skip)
    answers = loop.open(TIMES * peak, args.seconds)
    accepted = [answer for answer in answers if answer.status == 200]
    refused = [answer for answer in answers if answer.status == 429]
    if not accepted or not refused:
        raise BenchError(f"offered {TIMES * peak:.0f}/s: {len(accepted)} accepted, {len(refused)} refused")
    without = [answer for answer in refused if not (answer.retry_after or "").isdigit() or answer.retry_after == "0"]
    if without:
        raise BenchError(f"{len(without)} of {len(refused)} refusals do not say when to come back: {without[0]}")
    return Round(
        peak,
        len(answers) / args.seconds,
        rate(answers, skip),
        share([answer.took_s for answer in accepted], 0.5),
        share([answer.took_s for answer in accepted], 0.99),
        len(refused),
        share([answer.took_s * 1e3 for answer in refused], 0.5),
        share([answer.took_s * 1e3 for answer in refused], 0.99),
        len(answers) - len(accepted) - len(refused),
        share([answer.late_s * 1e3 for answer in answers], 0.99),
    )


def bench(args: argparse.Namespace) -> bool:
    """Runs everything and prints the report; false when --check finds a target missed."""
    cpus = kit.two_cpus()
    machine = kit.machine()
    os.sched_setaffinity(0, {int(cpus[1])})
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="perch-overload-")))
        server = embed_kit.server(args, cpus[0], folder)
        stack.callback(server.stop)
        server.start()
        embed_kit.check_answers(server.port, args.registry)
        rounds = []
        for turn in range(args.rounds):
            rounds.append(measure(args, server.port))
            print(f"round {turn + 1}: {rounds[-1]}", file=sys.stderr)
        embed_kit.check_answers(server.port, args.registry)
    ratio = statistics.median(one.goodput / one.peak for one in rounds)

    def median(key: str) -> float:
        return statistics.median(getattr(one, key) for one in rounds)

    embed_kit.report_machine("Twice the capacity", args, machine)
    print(f"| {args.seconds:g} s each | median of the rounds |\n|---|---|")
    print(f"| peak, {CLIENTS} clients that wait, texts/s | {median('peak'):.1f} |")
    print(f"| offered, texts/s | {median('offered'):.1f} |")
    print(f"| goodput, texts/s | {median('goodput'):.1f} |")
    print(f"| goodput / peak | {ratio:.3f} |")
    print(f"| accepted: p50, p99 | {median('accepted_p50_s'):.2f} s, {median('accepted_p99_s'):.2f} s |")
    print(f"| refused with 429: p50, p99 | {median('refusal_p50_ms'):.1f} ms, {median('refusal_p99_ms'):.1f} ms |")
    print(f"| neither | {sum(one.lost for one in rounds)} |")
    print(f"| sent later than meant, p99 | {median('late_p99_ms'):.1f} ms |\n")
    figures = {
        "goodput/peak": ratio,
        "accepted p99, s": max(one.accepted_p99_s for one in rounds),
        "time to 429 p99, ms": median("refusal_p99_ms"),
        "neither answered nor refused": float(sum(one.lost for one in rounds)),
    }
    return not args.check or embed_kit.verdicts(TARGETS, figures)


def main() -> int:
    parser = embed_kit.arguments(__doc__)
    parser.set_defaults(seconds=20.0, rounds=3)
    args = embed_kit.parsed(parser)
    if args.short:
        # Longer than the queue, which has to be full.
        args.seconds = 5.0
    return embed_kit.run(bench, args)


if __name__ == "__main__":
    sys.exit(main())
