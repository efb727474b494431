#!/usr/bin/env python3
"""MiniLM in bf16 on OpenVINO beside its limit in fp32, in one run on one core: what a CPU with AMX gains.

    $venv/bin/python benches/embed_bf16.py --registry "$(scripts/minilm)" --library .perch/onnxruntime/openvino/libonnxruntime.so

The limit is that of embed.py: ONNX Runtime on the CPU in fp32, in the groups that are best there. On a CPU without AMX
nothing is measured, and that is said. Exit code: 0, 1 when --check finds a target missed, 2 when it failed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import embed_kit
import load_kit as kit
from embed import GROUPS, Pairs
from embed_kit import Connection, Limits
from embed_limits import texts

TARGETS = {"fp32 limit/bf16": (">=", 2.5), "cosine": (">=", 0.999)}


def has_amx() -> bool:
    """Whether this CPU multiplies bf16 matrices."""
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.exists() and "amx_bf16" in cpuinfo.read_text().split()


def cosine(port: int, registry: Path) -> float:
    """The least cosine of an embedding to the reference."""
    reference = json.loads((registry / "minilm.reference.json").read_text())
    pairs = [(t, e) for t, e in zip(reference["texts"], reference["embeddings"], strict=True) if t]
    body = json.dumps({"inputs": [text for text, _ in pairs], "truncate": True}).encode()
    connection = Connection(port)
    try:
        got = json.loads(connection.post("/embed", body)[1])
    finally:
        connection.close()
    # Both have norm 1.
    return min(sum(a * b for a, b in zip(g, e, strict=True)) for g, (_, e) in zip(got, pairs, strict=True))


def bench(args: argparse.Namespace) -> bool:
    cpus, machine = kit.two_cpus(), kit.machine()
    os.sched_setaffinity(0, {int(cpus[1])})
    body = json.dumps({"inputs": texts.mixed()}).encode()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="perch-bf16-")))
        server = embed_kit.server(args, cpus[0], folder, "--device", "openvino", "--precision", "bf16")
        stack.callback(server.stop)
        server.start()
        limits = Limits(cpus[0], args.registry / "minilm/1")
        stack.callback(limits.close)
        nearest = cosine(server.port, args.registry)
        connection = Connection(server.port)
        stack.callback(connection.close)
        best = min(GROUPS, key=lambda size: limits.ask("mixed", size=size, times=1)["ms"])
        pairs = Pairs(f"32 texts of 5 to 180 words in one request, ms (limit: fp32, groups of {best})", 1)
        for _ in range(args.rounds):
            limit = [limits.ask("mixed", size=best, times=1)["ms"] for _ in range(3)]
            perch = [connection.post("/embed", body)[0] for _ in range(3)]
            pairs.add(statistics.median(limit), statistics.median(perch))
    embed_kit.report_machine("Embeddings in bf16", args, machine)
    print("| MiniLM, one core | fp32 limit | perch in bf16 | ratio | rounds |\n|---|---|---|---|---|")
    print(pairs.row() + "\n")
    figures = {"fp32 limit/bf16": 1 / pairs.ratio(), "cosine": nearest}
    return not args.check or embed_kit.verdicts(TARGETS, figures)


def main() -> int:
    args = embed_kit.parsed(embed_kit.arguments(__doc__))
    if not has_amx():
        print("not run: MiniLM in bf16, as this CPU has no AMX")
        return 0
    return embed_kit.run(bench, args)


if __name__ == "__main__":
    sys.exit(main())
