"""What the tests here stand on: processes that end with the test, ports, waiting, and ways of being wrong."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
MODEL = "curve_forecaster"
UNAVAILABLE = 69  # EX_UNAVAILABLE: something needed is missing
# Where Debian keeps what only administrators run.
TOOLS = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


class Wrong(Exception):
    """Something is not as it should be."""


def expect(condition: bool, message: object) -> None:
    if not condition:
        raise Wrong(message)


def say(text: str) -> None:
    print(f"  {text}", flush=True)


def tool(name: str) -> str:
    """A program's path; a missing one is a failure, with the line to run."""
    found = shutil.which(name, path=TOOLS)
    if found is None:
        print(f"{name} is missing; run: scripts/observe-tools", file=sys.stderr)
        sys.exit(UNAVAILABLE)
    return found


def run(*command: object, where: Path = ROOT) -> str:
    """What a command prints; it has to succeed."""
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=where, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    expect(done.returncode == 0, f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def wait(what: str, condition: Callable[[], Any], seconds: float = 60, hint: Callable[[], object] = str) -> Any:
    """What `condition` gives as soon as it is true. Generous: it is there to end, not to measure."""
    end = time.monotonic() + seconds
    while True:
        if got := condition():
            return got
        expect(time.monotonic() < end, f"after {seconds:.0f} s: not {what} {hint()}")
        time.sleep(0.05)


def ports(count: int) -> list[int]:
    """Loopback ports that nobody listens on now, all different.

    Below those that Linux gives to connections: a replica that is restarted has to find its own one free.
    """
    found: list[int] = []
    while len(found) < count:
        port = random.randint(12_000, 19_999)
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", port))
            found += [port] if port not in found else []
    return found


def request(port: int, method: str, path: str, body: object = None) -> tuple[int, str]:
    """Status and text; status 0 where nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, None if body is None else json.dumps(body))
        response = connection.getresponse()
        return response.status, response.read().decode()
    except (OSError, http.client.HTTPException) as error:
        return 0, repr(error)
    finally:
        connection.close()


def get(port: int, path: str, **query: str) -> Any:
    """The JSON at a path; it has to be there."""
    path += f"?{urllib.parse.urlencode(query)}" if query else ""
    status, text = request(port, "GET", path)
    expect(status == 200, f"GET {path} on port {port}: {status} {text}")
    return json.loads(text)


class Process:
    """A program with a log, which ends with the test however that ends."""

    def __init__(self, name: str, folder: Path, environment: dict[str, str] | None = None) -> None:
        self.name, self.log = name, folder / f"{name}.log"
        self.environment = {**os.environ, **(environment or {})}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *command: object) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [str(word) for word in command], cwd=ROOT, env=self.environment, stdout=log, stderr=log
            )

    def tail(self) -> str:
        return f"{self.log}:\n{self.log.read_text(errors='replace')[-2000:]}" if self.log.exists() else ""

    def alive(self) -> bool:
        expect(self.process is not None and self.process.poll() is None, f"{self.name} has ended; {self.tail()}")
        return True

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            raise Wrong(f"{self.name} does not end 60 s after SIGTERM; {self.tail()}") from None

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Perch(Process):
    """One replica, on a port of its own that it keeps."""

    def __init__(
        self, name: str, folder: Path, port: int, perch: Path, library: Path, config: Path, state: str
    ) -> None:
        # A proxy looks every 200 ms: it has noticed long before the replica stops listening.
        environment = {"ORT_DYLIB_PATH": str(library), "PERCH__SERVER__DRAIN__DELAY": "2s", "RUST_LOG": "info"}
        super().__init__(name, folder, environment)
        self.port, self.perch = port, perch
        self.command = [perch, "serve", "--config", config, "--listen", f"127.0.0.1:{port}", "--state", state]
        self.command += ["--log-format", "json"]

    def serve(self) -> None:
        self.start(*self.command)

    def ready(self) -> bool:
        return self.alive() and request(self.port, "GET", "/health/ready")[0] == 200

    def wait_ready(self) -> None:
        wait(f"{self.name} ready", self.ready, 120, self.tail)

    def health(self) -> dict[str, Any]:
        return get(self.port, "/health/all")

    def view(self, model: str = MODEL) -> dict[str, Any]:
        return get(self.port, f"/admin/rollouts/{model}")

    def tell(self, *words: str) -> str:
        """Runs perch as an operator would."""
        return run(self.perch, *words, "--server", f"http://127.0.0.1:{self.port}")


@contextlib.contextmanager
def ending(processes: list[Process]) -> Iterator[None]:
    """They are killed in the end, whatever has been added to the list by then."""
    try:
        yield
    finally:
        for process in reversed(processes):
            process.kill()


def fresh(name: str) -> Path:
    """An empty folder under target."""
    folder = ROOT / "target/observe" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def holdout() -> list[list[float]]:
    """Real inputs of the example; its version 3 answers NaN to 7 of the 59."""
    return json.loads((ROOT / f"examples/{MODEL}/holdout.json").read_text())["features"]
