"""What the scripts here share: the server's address, the reference, and ways of being wrong.

    $venv/bin/python tests/clients/openai_client.py --url http://127.0.0.1:8000 --model minilm --reference FILE

Each script uses one real client as its users do, and ends with 1 and a traceback where anything is not as it should be.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

TOLERANCE = 1e-4
DIMENSIONS = 384
# The model card's own example: a text, and how close others are to it.
CARD = "That is a happy person"
OTHERS = {"That is a happy dog": 0.695, "That is a very happy person": 0.943, "Today is a sunny day": 0.257}
# A token each, more than the model takes.
TOO_LONG = "word " * 300


class Wrong(Exception):
    """The server, or the client, does not do what was expected of it."""


def expect(condition: bool, message: object) -> None:
    if not condition:
        raise Wrong(message)


@dataclass(frozen=True)
class Site:
    """A server, and what one of its models has to answer."""

    url: str
    model: str
    embeddings: dict[str, np.ndarray]

    def near(self, got: Any, text: str) -> None:
        """`got` is the embedding of `text`."""
        near(got, self.embeddings[text], text)

    def texts(self, words: int) -> list[str]:
        """The texts of the reference of so many words at most; none is empty."""
        return [text for text in self.embeddings if 0 < len(text.split()) <= words]


def near(got: Any, expected: np.ndarray, what: str) -> None:
    got = np.asarray(got, np.float64)
    expect(got.shape == expected.shape, f"{what}: shape {got.shape}, expected {expected.shape}")
    largest = np.abs(got - expected).max()
    expect(largest <= TOLERANCE, f"{what}: differs by {largest}")  # NaN is not


def fails(kind: type[Exception], act: Callable[[], object]) -> Exception:
    """What `act` fails with, which has to be exactly of this kind."""
    try:
        answer = act()
    except kind as error:
        expect(type(error) is kind, f"expected {kind.__name__}, got {type(error).__name__}: {error}")
        return error
    raise Wrong(f"expected {kind.__name__}, got an answer: {str(answer)[:200]}")


def arguments(description: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(description or "").split("\n", 1)[0])
    parser.add_argument("--url", required=True, help="of the server, without a slash at its end")
    parser.add_argument("--model", required=True)
    parser.add_argument("--reference", type=Path, help="minilm.reference.json")
    return parser


def site(args: argparse.Namespace) -> Site:
    read = json.loads(args.reference.read_text())
    embeddings = {text: np.array(vector) for text, vector in zip(read["texts"], read["embeddings"], strict=True)}
    return Site(args.url, args.model, embeddings)
