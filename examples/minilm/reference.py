"""The model once more, in float64 and from its published weights alone: what every other way has to agree with.

One text at a time, so that there is no padding and no mask. It shares no code with the graph.
"""

import math

import numpy as np
from tokenizers import Tokenizer

from package import Published

ERF = np.frompyfunc(math.erf, 1, 1)


class Reference:
    """Embeds texts as sentence-transformers does: mean of the tokens, of length 1."""

    def __init__(self, published: Published) -> None:
        self.config = published.config
        self.weights = {
            name: value.astype(np.float64) for name, value in published.weights.items() if value.dtype == np.float32
        }
        self.tokenizer = Tokenizer.from_str(published.files["tokenizer.json"].decode())
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(published.max_tokens)

    def tokens(self, text: str) -> list[int]:
        return self.tokenizer.encode(text).ids

    def embed(self, text: str) -> np.ndarray:
        mean = self.hidden_states(self.tokens(text)).mean(axis=0)
        return mean / np.linalg.norm(mean)

    def hidden_states(self, ids: list[int]) -> np.ndarray:
        """[tokens, hidden]"""
        names = ("word_embeddings", "position_embeddings", "token_type_embeddings")
        words, places, kinds = (self.weights[f"embeddings.{name}.weight"] for name in names)
        x = self._norm(words[ids] + places[: len(ids)] + kinds[0], "embeddings.LayerNorm")
        for layer in range(self.config["num_hidden_layers"]):
            name = f"encoder.layer.{layer}"
            x = self._norm(x + self._attention(x, f"{name}.attention"), f"{name}.attention.output.LayerNorm")
            wide = self._dense(x, f"{name}.intermediate.dense")
            wide = wide * (1 + ERF(wide / math.sqrt(2)).astype(np.float64)) / 2
            x = self._norm(x + self._dense(wide, f"{name}.output.dense"), f"{name}.output.LayerNorm")
        return x

    def _attention(self, x: np.ndarray, name: str) -> np.ndarray:
        heads = self.config["num_attention_heads"]
        query, key, value = (
            self._dense(x, f"{name}.self.{part}").reshape(len(x), heads, -1) for part in ("query", "key", "value")
        )
        scores = np.einsum("qhd,khd->hqk", query, key) / math.sqrt(query.shape[-1])
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        return self._dense(np.einsum("hqk,khd->qhd", shares, value).reshape(x.shape), f"{name}.output.dense")

    def _dense(self, x: np.ndarray, name: str) -> np.ndarray:
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def _norm(self, x: np.ndarray, name: str) -> np.ndarray:
        x = x - x.mean(axis=-1, keepdims=True)
        x = x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + self.config["layer_norm_eps"])
        return x * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]
