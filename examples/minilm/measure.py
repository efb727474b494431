"""Measures the limits of serving minilm: ONNX Runtime alone, one intra-op thread, no server.

    $venv/bin/python examples/minilm/measure.py "$(scripts/minilm)"

32 texts of 5 to 180 words sorted by length, in groups; and a short text by itself. Tokens are ready, times are
milliseconds of the thread and the fastest of many runs: noise only ever adds.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

import texts

SHORT = "That is a happy person"


def feed(group: list[list[int]]) -> dict[str, np.ndarray]:
    ids = np.zeros((len(group), max(map(len, group))), np.int64)
    mask = np.zeros_like(ids)
    for row, tokens in enumerate(group):
        ids[row, : len(tokens)] = tokens
        mask[row, : len(tokens)] = 1
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("registry", type=Path, help="what export.py wrote")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()

    tokenizer = Tokenizer.from_file(str(args.registry / "minilm/1/tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)
    tokens = sorted((tokenizer.encode(text).ids for text in texts.mixed()), key=len)
    total = sum(map(len, tokens))
    work = {f"a text of {len(tokenizer.encode(SHORT).ids)} tokens": [feed([tokenizer.encode(SHORT).ids])]}
    for size in (1, 2, 4, 8, 32):
        groups = [feed(tokens[start : start + size]) for start in range(0, len(tokens), size)]
        slots = sum(group["input_ids"].size for group in groups)
        work[f"32 texts of {total} tokens, groups of {size} ({slots} slots)"] = groups

    sessions = {}
    for kind, version in (("fp32", 1), ("int8", 2)):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        path = args.registry / f"minilm/{version}/model.onnx"
        sessions[kind] = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    best: dict[tuple[str, str], float] = {}
    # Everything in turn, so that a slow moment of the machine meets all of them.
    for _ in range(args.rounds):
        for kind, session in sessions.items():
            for what, groups in work.items():
                for _ in range(20 if len(groups) == 1 and groups[0]["input_ids"].shape[0] == 1 else 1):
                    began = time.thread_time()
                    for group in groups:
                        session.run(None, group)
                    took = (time.thread_time() - began) * 1e3
                    best[kind, what] = min(took, best.get((kind, what), took))
    print(f"| ms | {' | '.join(sessions)} |\n|---|{'---|' * len(sessions)}")
    for what in work:
        print(f"| {what} | {' | '.join(f'{best[kind, what]:.2f}' for kind in sessions)} |")


if __name__ == "__main__":
    main()
