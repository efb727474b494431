"""The limits of serving MiniLM, measured on request: ONNX Runtime alone, one intra-op thread, tokens ready.

embed.py starts this on the server's core, and asks while the server is idle: a line of JSON in, a line out. The texts
and how they become tensors are those of examples/minilm/measure.py; times are those of the clock, as a client sees them.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "examples/minilm"))

import texts  # noqa: E402
from measure import SHORT, feed  # noqa: E402

Feeds = list[dict[str, np.ndarray]]


def tokenizer(version: Path) -> Tokenizer:
    made = Tokenizer.from_file(str(version / "tokenizer.json"))
    made.no_padding()
    made.enable_truncation(256)
    return made


def short_texts(version: Path, count: int) -> list[str]:
    """Texts of as many tokens as `SHORT`, which is the first: none is padded, and none comes back soon."""
    made = tokenizer(version)
    length, found = len(made.encode(SHORT).ids), [SHORT]
    seed = 1000
    while len(found) < count:
        text = texts.sentence(5, seed)
        if len(made.encode(text).ids) == length:
            found.append(text)
        seed += 1
    return found


class Limits:
    """One session, and what is run on it."""

    def __init__(self, version: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        graph = version / "model.onnx"
        self.session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        made = tokenizer(version)
        self.mixed_tokens = sorted((made.encode(text).ids for text in texts.mixed()), key=len)
        self.short_tokens = [made.encode(text).ids for text in short_texts(version, 64)]

    def _run(self, feeds: Feeds) -> float:
        began = time.perf_counter()
        for one in feeds:
            self.session.run(None, one)
        return (time.perf_counter() - began) * 1e3

    def mixed(self, size: int, times: int) -> dict[str, float]:
        """Milliseconds for all 32 texts, sorted by length, in groups of this size."""
        tokens = self.mixed_tokens
        feeds = [feed(tokens[start : start + size]) for start in range(0, len(tokens), size)]
        slots = sum(one["input_ids"].size for one in feeds)
        return {"ms": statistics.median(self._run(feeds) for _ in range(times)), "slots": slots}

    def short(self, seconds: float) -> dict[str, float]:
        """Milliseconds for one short text: the median."""
        feeds = [feed([tokens]) for tokens in self.short_tokens]
        end, took = time.perf_counter() + seconds, []
        while time.perf_counter() < end:
            took += [self._run([one]) for one in feeds]
        return {"ms": statistics.median(took)}

    def rate(self, size: int, seconds: float) -> dict[str, float]:
        """Short texts a second, in batches of this size."""
        tokens = self.short_tokens
        feeds = [feed(tokens[start : start + size]) for start in range(0, len(tokens), size)]
        began, rounds = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            self._run(feeds)
            rounds += 1
        return {"rate": rounds * len(tokens) / (time.perf_counter() - began)}


def main() -> None:
    limits = Limits(Path(sys.argv[1]))
    acts: dict[str, Callable[..., dict[str, Any]]] = {
        "mixed": limits.mixed,
        "short": limits.short,
        "rate": limits.rate,
    }
    for line in sys.stdin:
        command = json.loads(line)
        print(json.dumps(acts[command.pop("do")](**command)), flush=True)


if __name__ == "__main__":
    main()
