"""What the exported models have to fulfil. Each check prints what it found and raises `Wrong` if that is not enough."""

import json
from pathlib import Path

import numpy as np
import onnxruntime

import texts
from package import Published
from reference import Reference

# The reference is float64, so this is what ONNX Runtime's fp32 may differ by.
FP32_TOLERANCE = 1e-5
# int8 loses this much, and a little more or less by processor: those without VNNI saturate some sums.
INT8_LEAST, INT8_MEDIAN = 0.96, 0.98
CARD_TOLERANCE = 1e-3
# Digits in reference.json, which processors agree in.
DIGITS = 8


class Wrong(Exception):
    """A model or a file is not what it should be."""


def expect(condition: bool, message: str) -> None:
    if not condition:
        raise Wrong(message)


class Model:
    """An exported model on the runtime that perch uses."""

    def __init__(self, path: Path, tokens: Reference) -> None:
        self.tokens = tokens
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def embed(self, batch: list[str]) -> np.ndarray:
        """Embeds texts in one run; short ones are padded, with a token that is not to be seen."""
        ids = [self.tokens.tokens(text) for text in batch]
        filled = np.full((len(ids), max(map(len, ids))), 2023)
        mask = np.zeros_like(filled)
        for row, tokens in enumerate(ids):
            filled[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        feed = {"input_ids": filled, "attention_mask": mask, "token_type_ids": np.zeros_like(filled)}
        (states,) = self.session.run(["last_hidden_state"], feed)
        expect(states.dtype == np.float32, f"last_hidden_state is {states.dtype}")
        sums = (states.astype(np.float64) * mask[..., None]).sum(axis=1)
        return sums / np.linalg.norm(sums, axis=-1, keepdims=True)

    def embed_all(self, batch: list[str], at_once: int) -> np.ndarray:
        parts = [self.embed(batch[start : start + at_once]) for start in range(0, len(batch), at_once)]
        return np.concatenate(parts)


def embed_reference(published: Published) -> dict:
    """The content of minilm.reference.json."""
    reference = Reference(published)
    chosen = texts.reference()
    return {"texts": chosen, "embeddings": [np.round(reference.embed(text), DIGITS).tolist() for text in chosen]}


def check(registry: Path, published: Published, expected: dict) -> None:
    """Runs every check on a registry; `expected` is the reference, made anew."""
    written = json.loads((registry / "minilm.reference.json").read_text())
    expect(written["texts"] == expected["texts"], "minilm.reference.json: its texts are not those of texts.py")
    embeddings = np.array(expected["embeddings"])
    largest = np.abs(np.array(written["embeddings"]) - embeddings).max()
    expect(largest < 1e-7, f"minilm.reference.json differs by {largest:.1e} from what the weights give")

    tokens = Reference(published)
    counts = [len(tokens.tokens(text)) for text in expected["texts"]]
    print(f"  {len(counts)} texts of {min(counts)} to {max(counts)} tokens, against the reference in float64")
    exact = Model(registry / "minilm/1/model.onnx", tokens)
    for at_once, how in ((1, "one by one"), (8, "in padded eights"), (len(counts), "in one padded batch")):
        largest = np.abs(exact.embed_all(expected["texts"], at_once) - embeddings).max()
        print(f"  fp32, {how}: differs by {largest:.1e} at most (limit {FP32_TOLERANCE})")
        expect(largest < FP32_TOLERANCE, f"fp32 {how} differs from the reference by {largest:.1e}")

    card = [embeddings[expected["texts"].index(text)] for text in texts.CARD]
    for text, vector, published_cosine in zip(texts.CARD, card, texts.CARD.values(), strict=True):
        cosine = float(card[0] @ vector)
        print(f"  model card: {text!r} {cosine:.4f}, published {published_cosine}")
        expect(abs(cosine - published_cosine) < CARD_TOLERANCE, f"{text!r}: {cosine}, the card says {published_cosine}")

    small = Model(registry / "minilm/2/model.onnx", tokens)
    for at_once, how in ((1, "one by one"), (8, "in padded eights")):
        cosines = (small.embed_all(expected["texts"], at_once) * embeddings).sum(axis=-1)
        least, median = cosines.min(), np.median(cosines)
        print(f"  int8, {how}: cosine {least:.4f} at least, median {median:.4f} (limits {INT8_LEAST}, {INT8_MEDIAN})")
        expect(least > INT8_LEAST and median > INT8_MEDIAN, f"int8 {how}: cosine {least:.4f}, median {median:.4f}")
