"""Requests at their own times, whether or not earlier ones have been answered, until told to stop.

But never more than `IN_FLIGHT` at once: what would come to them on top, on a machine that has stood still or cannot keep up,
is skipped, and counted.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass

from kit import Wrong

IN_FLIGHT = 64


@dataclass
class Source:
    """Bodies that are sent to one path of one port, `rate` a second."""

    port: int
    path: str
    rate: float
    bodies: Iterator[bytes]


class Load:
    """Sends in a thread of its own, over kept connections, and counts the answers by status; 0 is no answer."""

    def __init__(self, *sources: Source) -> None:
        self.sources = sources
        self.statuses: Counter[int] = Counter()
        self.failures: list[str] = []  # of what was neither 200 nor refused
        self.skipped = 0
        self._idle: dict[int, deque[tuple[asyncio.StreamReader, asyncio.StreamWriter]]] = {}
        self._stopping = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        if self._error is not None:
            raise Wrong(f"the load generator failed: {self._error!r}")

    @property
    def sent(self) -> int:
        return sum(self.statuses.values())

    def _work(self) -> None:
        try:
            asyncio.run(self._run())
        except BaseException as error:  # shown by the test's own thread
            self._error = error

    async def _run(self) -> None:
        await asyncio.gather(*(self._send(source) for source in self.sources))
        for connections in self._idle.values():
            for _, writer in connections:
                writer.close()

    async def _send(self, source: Source) -> None:
        began, tasks, number = time.monotonic(), set(), 0
        while not self._stopping.is_set():
            await asyncio.sleep(began + number / source.rate - time.monotonic())
            number += 1
            if len(tasks) >= IN_FLIGHT:
                self.skipped += 1
                continue
            task = asyncio.create_task(self._post(source))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)

    async def _post(self, source: Source) -> None:
        body = next(source.bodies)
        head = f"POST {source.path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        idle, status, why = self._idle.setdefault(source.port, deque()), 0, ""
        try:
            reader, writer = idle.pop() if idle else await asyncio.open_connection("127.0.0.1", source.port)
            writer.write(head.encode() + body)
            answer = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)).decode("latin-1").lower()
            lines = answer.split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
            text = await reader.readexactly(int(headers["content-length"]))
            status, why = int(lines[0].split(" ")[1]), text.decode(errors="replace")[:200]
            if headers.get("connection") == "close":
                writer.close()
            else:
                idle.append((reader, writer))
        except (TimeoutError, OSError, asyncio.IncompleteReadError) as error:
            why = repr(error)
        self.statuses[status] += 1
        if status not in (200, 429) and len(self.failures) < 20:
            self.failures.append(f"{source.path}: {status} {why}")
