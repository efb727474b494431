"""Requests at their own times, whether or not earlier ones have been answered: an open loop, over kept connections."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """One request: when it was sent, in seconds of the clock, and how it went."""

    sent: float
    late_s: float  # after the time it was meant for: the client's own fault
    took_s: float
    status: int  # 0: no answer
    retry_after: str | None


class Loop:
    """Sends bodies to one path of one server."""

    def __init__(self, port: int, path: str, bodies: Iterator[bytes]) -> None:
        self.port, self.path, self.bodies = port, path, bodies
        self.idle: deque[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = deque()
        self.answers: list[Answer] = []

    async def _post(self, due: float) -> None:
        body = next(self.bodies)
        head = f"POST {self.path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        began = sent = time.perf_counter()
        status, retry_after = 0, None
        try:
            if self.idle:
                reader, writer = self.idle.pop()
            else:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                sent = time.perf_counter()  # a connection is not the request
            writer.write(head.encode() + body)
            answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
            headers = dict(line.split(": ", 1) for line in answer[1:] if ": " in line)
            await reader.readexactly(int(headers["content-length"]))
            status, retry_after = int(answer[0].split(" ")[1]), headers.get("retry-after")
            self.idle.append((reader, writer))
        except (OSError, asyncio.IncompleteReadError):
            pass
        self.answers.append(Answer(sent, max(0.0, began - due), time.perf_counter() - sent, status, retry_after))

    async def _connect(self, connections: int) -> None:
        """Beforehand, so that a burst of connections is not part of what is measured."""
        for _ in range(connections):
            self.idle.append(await asyncio.open_connection("127.0.0.1", self.port))

    async def _closed(self, clients: int, seconds: float) -> None:
        end = time.perf_counter() + seconds

        async def client() -> None:
            while time.perf_counter() < end:
                await self._post(time.perf_counter())

        await asyncio.gather(*(client() for _ in range(clients)))

    async def _open(self, rate: float, seconds: float) -> None:
        # As many as wait at once where each waits two seconds and a little.
        await self._connect(int(2.5 * rate))
        began, tasks = time.perf_counter(), []
        for number in range(int(rate * seconds)):
            due = began + number / rate
            await asyncio.sleep(due - time.perf_counter())
            tasks.append(asyncio.create_task(self._post(due)))
        await asyncio.gather(*tasks)

    async def _hang_up(self) -> None:
        for _, writer in self.idle:
            writer.close()
        self.idle.clear()

    async def _run(self, work: object) -> list[Answer]:
        self.answers = []
        try:
            await work
        finally:
            await self._hang_up()
        return self.answers

    def closed(self, clients: int, seconds: float) -> list[Answer]:
        """So many clients, each of which waits for its answer."""
        return asyncio.run(self._run(self._closed(clients, seconds)))

    def open(self, rate: float, seconds: float) -> list[Answer]:
        """So many requests a second, evenly."""
        return asyncio.run(self._run(self._open(rate, seconds)))
