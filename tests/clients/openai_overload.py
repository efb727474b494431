"""The openai client at a server that has no room: RateLimitError without retries, and an answer with them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import openai
from check import Site, Wrong, arguments, expect, site

CALLERS = 8


def text(at: Site) -> str:
    """Long enough for others to come while it is embedded."""
    return max(at.texts(180), key=len)


def without_retries(at: Site) -> None:
    def ask(turn: int) -> str:
        with openai.OpenAI(base_url=f"{at.url}/v1", api_key="-", max_retries=0) as client:
            try:
                answer = client.embeddings.create(model=at.model, input=[text(at)[: 400 + turn]] * 4)
            except openai.RateLimitError as error:
                expect(error.status_code == 429, error.status_code)
                expect(int(error.response.headers["retry-after"]) >= 1, dict(error.response.headers))
                expect(isinstance(error.body, dict) and bool(error.body["message"]), error.body)
                return "refused"
            expect(len(answer.data) == 4, f"{len(answer.data)} embeddings")
            return "answered"

    with ThreadPoolExecutor(CALLERS) as callers:
        for _ in range(20):
            seen = set(callers.map(ask, range(CALLERS)))
            if seen == {"refused", "answered"}:
                return
    raise Wrong(f"{CALLERS} callers at once, 20 times, and all were {seen}")


def with_retries(at: Site) -> None:
    """Nobody notices: the client waits as long as it is told to."""

    def ask(_: int) -> None:
        with openai.OpenAI(base_url=f"{at.url}/v1", api_key="-", max_retries=30) as client:
            answer = client.embeddings.create(model=at.model, input=text(at)[:400])
            expect(len(answer.data) == 1, f"{len(answer.data)} embeddings")

    with ThreadPoolExecutor(CALLERS) as callers:
        list(callers.map(ask, range(CALLERS)))


def main() -> None:
    at = site(arguments(__doc__).parse_args())
    for check in (without_retries, with_retries):
        check(at)
        print(f"{check.__name__}: as expected")


if __name__ == "__main__":
    main()
