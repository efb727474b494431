"""The openai client against /v1/embeddings and /v1/models."""

from __future__ import annotations

import asyncio

import numpy as np
import openai
from check import CARD, DIMENSIONS, OTHERS, TOO_LONG, Site, arguments, expect, fails, near, site


def embeddings(client: openai.OpenAI, at: Site) -> None:
    """Values, order and usage, in the encoding that the client asks for by itself, and in both that it may be told."""
    texts = at.texts(100)
    default = client.embeddings.create(model=at.model, input=texts)
    expect(default.object == "list" and default.model == at.model, default.model)
    expect([item.index for item in default.data] == list(range(len(texts))), "not in the order of the texts")
    for item, text in zip(default.data, texts, strict=True):
        expect(item.object == "embedding", item.object)
        at.near(item.embedding, text)
    expect(bool(default._request_id), "no request id")

    floats = client.embeddings.create(model=at.model, input=texts, encoding_format="float")
    base64 = client.embeddings.create(model=at.model, input=texts, encoding_format="base64")
    for text, one, other, raw in zip(texts, default.data, floats.data, base64.data, strict=True):
        expect(isinstance(raw.embedding, str), f"base64 is {type(raw.embedding)}")
        expect(isinstance(other.embedding, list), f"float is {type(other.embedding)}")
        expect(len(other.embedding) == DIMENSIONS, f"{len(other.embedding)} dimensions")
        # Runs of their own, but the same numbers.
        near(np.array(one.embedding), np.array(other.embedding), text)
    expect(default.usage == floats.usage == base64.usage, f"{default.usage}, {floats.usage}, {base64.usage}")

    one = client.embeddings.create(model=at.model, input=CARD)
    expect(len(one.data) == 1, f"{len(one.data)} embeddings of one text")
    at.near(one.data[0].embedding, CARD)
    # Five words, a token each, and two special ones.
    expect((one.usage.prompt_tokens, one.usage.total_tokens) == (7, 7), one.usage)
    both = client.embeddings.create(model=at.model, input=[CARD, "a"])
    expect(both.usage.prompt_tokens == 10, both.usage)


def tokens(client: openai.OpenAI, at: Site) -> None:
    ids = [101, 2008, 2003, 1037, 3407, 2711, 102]
    for given, count in ((ids, 1), ([ids, ids], 2)):
        answer = client.embeddings.create(model=at.model, input=given)
        expect(len(answer.data) == count, f"{len(answer.data)} embeddings")
        for item in answer.data:
            at.near(item.embedding, CARD)
        expect(answer.usage.prompt_tokens == 7 * count, answer.usage)


def dimensions(client: openai.OpenAI, at: Site) -> None:
    for size in (1, 64, DIMENSIONS):
        answer = client.embeddings.create(model=at.model, input=CARD, dimensions=size, user="somebody")
        first = at.embeddings[CARD][:size]
        near(answer.data[0].embedding, first / np.linalg.norm(first), f"{size} dimensions")


def card(client: openai.OpenAI, at: Site) -> None:
    answer = client.embeddings.create(model=at.model, input=[CARD, *OTHERS])
    source, *others = (np.array(item.embedding) for item in answer.data)
    for vector, (text, cosine) in zip(others, OTHERS.items(), strict=True):
        expect(abs(source @ vector - cosine) < 1e-3, f"{text}: {source @ vector}, the card says {cosine}")


async def at_once(at: Site) -> None:
    """The async client: forty requests at a time on connections that it keeps."""
    texts = at.texts(40)
    async with openai.AsyncOpenAI(base_url=f"{at.url}/v1", api_key="-", max_retries=0) as client:

        async def ask(text: str) -> None:
            answer = await client.embeddings.create(model=at.model, input=[text, CARD])
            at.near(answer.data[0].embedding, text)
            at.near(answer.data[1].embedding, CARD)

        await asyncio.gather(*(ask(texts[turn % len(texts)]) for turn in range(40)))


def models(client: openai.OpenAI, at: Site) -> None:
    listed = client.models.list()
    expect([model.id for model in listed] == [at.model], [model.id for model in listed])
    one = client.models.retrieve(at.model)
    expect((one.id, one.object, one.owned_by) == (at.model, "model", "perch"), one)
    expect(one.created > 1_600_000_000, one.created)
    error = fails(openai.NotFoundError, lambda: client.models.retrieve("nobody"))
    expect("nobody" in error.message, error.message)


def errors(client: openai.OpenAI, at: Site) -> None:
    """Each as the exception that users of OpenAI catch, with what they read from it."""

    def refused(kind: type[openai.APIStatusError], word: str, **request: object) -> None:
        error = fails(kind, lambda: client.embeddings.create(**{"model": at.model, "input": CARD, **request}))
        expect(error.type == "invalid_request_error", error.type)
        expect(isinstance(error.body, dict) and {"message", "type", "param", "code"} == set(error.body), error.body)
        expect(word in error.body["message"], error.body["message"])
        expect(bool(error.request_id), "no request id")

    refused(openai.NotFoundError, "nobody", model="nobody")
    refused(openai.BadRequestError, "empty", input="")
    refused(openai.BadRequestError, "empty", input=[])
    refused(openai.BadRequestError, "empty", input=[CARD, ""])
    refused(openai.BadRequestError, "256", input=TOO_LONG)
    refused(openai.BadRequestError, "384", dimensions=385)
    refused(openai.BadRequestError, "dimensions", dimensions=0)
    refused(openai.BadRequestError, "input", input=[CARD, 7])
    refused(openai.BadRequestError, "encoding_format", encoding_format="hex")
    # The client goes on working afterwards.
    at.near(client.embeddings.create(model=at.model, input=CARD).data[0].embedding, CARD)


def main() -> None:
    at = site(arguments(__doc__).parse_args())
    with openai.OpenAI(base_url=f"{at.url}/v1", api_key="-", max_retries=0) as client:
        for check in (embeddings, tokens, dimensions, card, models, errors):
            check(client, at)
            print(f"{check.__name__}: as expected")
    asyncio.run(at_once(at))
    print("at_once: as expected")


if __name__ == "__main__":
    main()
