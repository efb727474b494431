"""huggingface_hub's InferenceClient against a server as if it were text-embeddings-inference."""

from __future__ import annotations

import asyncio

import numpy as np
from check import CARD, DIMENSIONS, OTHERS, TOO_LONG, Site, arguments, expect, fails, near, site
from huggingface_hub import AsyncInferenceClient, InferenceClient
from huggingface_hub.errors import BadRequestError, HfHubHTTPError


def feature_extraction(at: Site) -> None:
    # Users give the address of a deployment, or that of its endpoint.
    for url in (at.url, f"{at.url}/embed"):
        client = InferenceClient(model=url)
        one = client.feature_extraction(CARD)
        expect(one.shape == (1, DIMENSIONS) and one.dtype == np.float32, f"{one.shape} {one.dtype}")
        at.near(one[0], CARD)
        texts = at.texts(100)
        several = client.feature_extraction(texts)
        expect(several.shape == (len(texts), DIMENSIONS), several.shape)
        for row, text in zip(several, texts, strict=True):
            at.near(row, text)


def parameters(at: Site) -> None:
    client = InferenceClient(model=f"{at.url}/embed")
    for normalize in (True, False):  # the model normalises by itself
        at.near(client.feature_extraction(CARD, normalize=normalize)[0], CARD)
    fewer = client.feature_extraction(CARD, dimensions=64, encoding_format="float")
    first = at.embeddings[CARD][:64]
    near(fewer[0], first / np.linalg.norm(first), "64 dimensions")
    # Longer than the model takes: the reference is cut at its end.
    longest = max(at.embeddings, key=lambda text: len(text.split()))
    at.near(client.feature_extraction(longest, truncate=True)[0], longest)
    at.near(client.feature_extraction(longest, truncate=True, truncation_direction="right")[0], longest)
    left = client.feature_extraction(longest, truncate=True, truncation_direction="left")[0]
    expect(np.abs(left - at.embeddings[longest]).max() > 1e-3, "cut at the other end it is another text")


def sentence_similarity(at: Site) -> None:
    for url in (at.url, f"{at.url}/similarity"):
        client = InferenceClient(model=url)
        got = client.sentence_similarity(CARD, other_sentences=list(OTHERS))
        expect(isinstance(got, list) and len(got) == len(OTHERS), got)
        for cosine, (text, published) in zip(got, OTHERS.items(), strict=True):
            expect(abs(cosine - published) < 1e-3, f"{text}: {cosine}, the card says {published}")


def errors(at: Site) -> None:
    client = InferenceClient(model=f"{at.url}/embed")

    def refused(status: int, word: str, text: object, **parameters: object) -> None:
        kind = BadRequestError if status == 400 else HfHubHTTPError
        error = fails(kind, lambda: client.feature_extraction(text, **parameters))
        expect(error.response.status_code == status, f"{error.response.status_code} for {str(text)[:40]!r}")
        answer = error.response.json()
        expect(set(answer) == {"error", "error_type"} and word in answer["error"], answer)
        expect(answer["error"] in str(error), f"users are shown {str(error)!r}")

    refused(400, "empty", "")
    refused(400, "empty", [])
    refused(422, "256", TOO_LONG)
    refused(422, "384", CARD, dimensions=385)
    refused(422, "query", CARD, prompt_name="query")
    at.near(client.feature_extraction(CARD)[0], CARD)


async def at_once(at: Site) -> None:
    texts = at.texts(40)
    client = AsyncInferenceClient(model=f"{at.url}/embed")

    async def ask(text: str) -> None:
        at.near((await client.feature_extraction([CARD, text]))[1], text)

    await asyncio.gather(*(ask(texts[turn % len(texts)]) for turn in range(40)))


def main() -> None:
    at = site(arguments(__doc__).parse_args())
    for check in (feature_extraction, parameters, sentence_similarity, errors):
        check(at)
        print(f"{check.__name__}: as expected")
    asyncio.run(at_once(at))
    print("at_once: as expected")


if __name__ == "__main__":
    main()
