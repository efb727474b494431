"""What load.py stands on: server processes, a small HTTP client, wrk, and facts of the machine."""

from __future__ import annotations

import http.client
import json
import math
import os
import platform
import random
import shlex
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FEATURES = 16
START_LIMIT_S = 30.0

Row = list[float]
Result = dict[str, float]


class BenchError(Exception):
    """The benchmark cannot give figures that mean anything."""


@dataclass
class Server:
    """A server process on a loopback port."""

    name: str
    argv: list[str]
    port: int
    ready_path: str | None  # answers 200 once ready; without one the first connection counts
    library: str
    log: Path
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> float:
        """Starts the process and waits until it is ready; gives the seconds that took."""
        env = {**os.environ, "ORT_DYLIB_PATH": self.library, "XDG_STATE_HOME": str(self.log.parent.resolve())}
        with self.log.open("wb") as log:
            start = time.perf_counter()
            self.process = subprocess.Popen(self.argv, env=env, stdout=log, stderr=log)
        while not self._ready():
            if self.process.poll() is not None or time.perf_counter() - start > START_LIMIT_S:
                tail = self.log.read_text(errors="replace")[-2000:]
                code = self.process.poll()
                what = f"ended with {code}" if code is not None else f"not ready after {START_LIMIT_S:.0f} s"
                raise BenchError(f"{self.name}: {what}: {shlex.join(self.argv)}\n{tail}")
        return time.perf_counter() - start

    def _ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                if self.ready_path is None:
                    return True
                connection.sendall(f"GET {self.ready_path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                return connection.recv(4096).startswith(b"HTTP/1.1 200 ")
        except OSError:
            return False

    def stop(self) -> None:
        """Ends the process, by force if it takes longer than it should."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def waited_s(self) -> float:
        """Seconds that the threads of the process were ready to run and waited for their core."""
        assert self.process is not None, "the server is running"
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[1]) for task in tasks) / 1e9

    def resident_mb(self) -> float:
        """Resident memory in MB (10^6 bytes), as the kernel counts it now."""
        assert self.process is not None, "the server is running"
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        kib = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(kib) * 1024 / 1e6


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def rows(count: int, seed: int = 7) -> list[Row]:
    """Rows as clients send them: standardised features with four decimals, the same every time."""
    source = random.Random(seed)
    return [[round(source.gauss(0.0, 1.0), 4) for _ in range(FEATURES)] for _ in range(count)]


def post_each(server: Server, bodies: list[str]) -> list[Any]:
    """Sends each body on a connection of its own before the first answer is read; the answers."""
    connections = [http.client.HTTPConnection("127.0.0.1", server.port, timeout=20) for _ in bodies]
    try:
        for connection, body in zip(connections, bodies):
            connection.request("POST", "/predict", body.encode(), {"Content-Type": "application/json"})
        answers = []
        for connection in connections:
            response = connection.getresponse()
            text = response.read().decode(errors="replace")
            if response.status != 200:
                raise BenchError(f"{server.name} answers {response.status} to a good request: {text[:300]}")
            answers.append(json.loads(text))
        return answers
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise BenchError(f"{server.name} does not answer as it should: {error}") from error
    finally:
        for connection in connections:
            connection.close()


def predict_each(server: Server, batches: list[list[Row]]) -> list[float]:
    """The predictions of every batch, in order; the batches are sent all at once."""
    predictions: list[float] = []
    for batch, answer in zip(batches, post_each(server, [json.dumps({"instances": batch}) for batch in batches])):
        values = answer.get("predictions") if isinstance(answer, dict) else None
        if not isinstance(values, list) or len(values) != len(batch):
            raise BenchError(f"{server.name} does not answer with {len(batch)} predictions: {str(answer)[:300]}")
        if not all(isinstance(value, (int, float)) for value in values):
            raise BenchError(f"{server.name} gives predictions that are no numbers: {str(values)[:300]}")
        predictions += values
    return predictions


def close(left: list[float], right: list[float]) -> bool:
    """Whether two lists of predictions agree to what float32 sums in another order may differ by."""
    return len(left) == len(right) and all(math.isclose(a, b, rel_tol=1e-5, abs_tol=1e-4) for a, b in zip(left, right))


SCRIPT = """\
local bodies = {
%s
}
local requests, turn = {}, 0
function init(args)
  wrk.headers["Content-Type"] = "application/json"
  for index, body in ipairs(bodies) do
    requests[index] = wrk.format("POST", "%s", nil, body)
  end
end
function request()
  turn = turn %% #requests + 1
  return requests[turn]
end
function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format('RESULT {"requests":%%d,"us":%%d,"p50":%%d,"p99":%%d,',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99)))
  io.write(string.format('"connect":%%d,"read":%%d,"write":%%d,"timeout":%%d,"status":%%d}\\n',
    errors.connect, errors.read, errors.write, errors.timeout, errors.status))
end
"""


def write_script(path: Path, rows_each: int, same_body: bool = False) -> Path:
    """A script for wrk that sends bodies of `rows_each` rows, a different one each time in turn.

    With one body over and over, the processor learns its way through the trees: 64 rows then seem
    to cost a third of what they cost.
    """
    bodies = 1 if same_body else 512 if rows_each == 1 else 16
    pool = rows(bodies * rows_each)
    chunks = [pool[index * rows_each : (index + 1) * rows_each] for index in range(bodies)]
    return write_bodies(path, "/predict", [json.dumps({"instances": chunk}) for chunk in chunks])


def write_bodies(path: Path, endpoint: str, bodies: list[str]) -> Path:
    """A script for wrk that posts these bodies in turn; they are ASCII."""
    quoted = [body.replace("\\", "\\\\").replace("'", "\\'") for body in bodies]
    path.write_text(SCRIPT % (",\n".join(f"'{body}'" for body in quoted), endpoint))
    return path


@dataclass(frozen=True)
class Load:
    """How wrk loads a server."""

    script: Path
    connections: int
    threads: int
    cpus: str

    def argv(self, server: Server, seconds: int) -> list[str]:
        how_much = [f"-t{self.threads}", f"-c{self.connections}", f"-d{seconds}s"]
        where = ["-s", str(self.script), f"http://127.0.0.1:{server.port}"]
        return ["taskset", "-c", self.cpus, "wrk", *how_much, "--latency", *where]

    def command(self, server: Server, seconds: int) -> str:
        """The command for the report; the other servers get the same with their port."""
        return shlex.join(self.argv(server, seconds))

    def run(self, server: Server, seconds: int, what: str) -> Result:
        """Loads the server; any request that did not succeed fails the benchmark.

        wrk does not count a request that is never answered; the check of the answers after the load
        is what sees a server that hangs.
        """
        waited = server.waited_s()
        argv = self.argv(server, seconds)
        done = subprocess.run(argv, timeout=seconds + 30, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        line = next((line for line in done.stdout.splitlines() if line.startswith("RESULT ")), None)
        if done.returncode != 0 or line is None:
            raise BenchError(f"{server.name}, {what}: wrk ended with {done.returncode}:\n{done.stdout[-2000:]}")
        counts = json.loads(line[len("RESULT ") :])
        names = {"status": "answers not 2xx", "connect": "failed connects", "read": "failed reads"}
        names.update(write="failed writes", timeout="timeouts")
        failed = [f"{counts[key]} {name}" for key, name in names.items() if counts[key]]
        if failed or not counts["requests"]:
            raise BenchError(f"{server.name}, {what}: {', '.join(failed) or 'no answers'} of {counts['requests']}")
        elapsed = counts["us"] / 1e6
        return {
            "rps": counts["requests"] / elapsed,
            "p50_us": counts["p50"],
            "p99_us": counts["p99"],
            "requests": counts["requests"],
            "waited": (server.waited_s() - waited) / elapsed,
        }


def wrk_version() -> str:
    """The version of wrk; fails with the way to get it when it is missing."""
    for tool, package in (("wrk", "wrk"), ("taskset", "util-linux")):
        if shutil.which(tool) is None:
            raise BenchError(f"{tool} is missing:\napt-get install {package}")
    text = subprocess.run(["wrk", "-v"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
    return " ".join(text.split()[:2])


def two_cpus() -> list[str]:
    """The first two cores that this process may use."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        raise BenchError("two cores are needed: one for the server, one for the load")
    return [str(cpu) for cpu in cpus[:2]]


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    return {"cpu": model, "cores": os.cpu_count(), "kernel": platform.release(), "load average before": load}
