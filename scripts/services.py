"""The part of scripts/services that starts and stops things; it is run by the Python that MLflow is installed in."""

import contextlib
import ctypes
import fcntl
import http.client
import json
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HOST = "127.0.0.1"
BUCKET = "mlflow"
ACCESS_KEY = "perch-tests"
SECRET_KEY = "perch/tests+only"  # noqa: S105, with what real ones have and URLs need escaped
START_TIMEOUT = 180  # seconds; MLflow takes 7 on two cores, and more when they are busy
STOP_TIMEOUT = 10
UNAVAILABLE = 69  # EX_UNAVAILABLE


class Ended(Exception):
    """A signal says that it is time."""


class Failed(Exception):
    """A service does not start; the message says why."""


def say(text):
    print(f"services: {text}", file=sys.stderr, flush=True)


def free_port():
    """A port to listen on, below those that the system gives to outgoing connections: a service that is down
    for a while finds it free again, and a client that keeps trying to reach it never connects to itself."""
    try:
        end = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except OSError:
        end = 32768
    for _ in range(100):
        port = random.randrange(15000, end) if end > 20000 else 0
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            return probe.getsockname()[1]
    raise Failed(f"no free port on {HOST}")


def die_with_parent():
    """Runs in a child: asks Linux to end it when this process is killed. MLflow ends its own children then."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


class Service:
    """A process with a log, an address to ask for its health, and a port that it keeps when it is started again."""

    def __init__(self, name, folder, command, environment, health, listening):
        self.name, self.folder, self.command, self.health, self.listening = name, folder, command, health, listening
        inherited = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("AWS_", "MINIO_", "MLFLOW_")) and not key.lower().endswith("_proxy")
        }
        self.environment = inherited | environment
        self.log = folder / f"{name}.log"
        self.port = None
        self.process = None

    @property
    def url(self):
        return f"http://{HOST}:{self.port}"

    def running(self):
        return self.process is not None and self.process.poll() is None

    def start(self, check):
        """Starts it and waits until it answers, calling `check` meanwhile. A port that is lost to somebody
        between its choice and its use is replaced, or waited for when clients know it already."""
        if self.running():
            return
        fixed = self.port is not None
        deadline = time.monotonic() + START_TIMEOUT
        for attempt in range(10):
            if not fixed:
                self.port = free_port()
            begin = self.log.stat().st_size if self.log.exists() else 0
            with self.log.open("ab") as log:
                self.process = subprocess.Popen(
                    self.command(self.port),
                    cwd=self.folder,
                    env=self.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    preexec_fn=die_with_parent,
                )
            if self.wait(begin, deadline, check):
                return
            if "already in use" not in self.output(begin):
                break
            say(f"port {self.port} is taken, {self.name} tries again")
            time.sleep(0.2 * attempt)
        raise Failed(f"{self.name} does not start:\n{self.output(begin)[-3000:]}")

    def wait(self, begin, deadline, check):
        """True when it answers, false when it has ended."""
        answered = None
        while self.running():
            check()
            if time.monotonic() > deadline:
                self.kill()
                raise Failed(f"{self.name} does not answer after {START_TIMEOUT} s:\n{self.output(begin)[-3000:]}")
            # Its own word that it listens, since another process may answer on a port that was lost to it.
            # Not for ever: a minio from PATH may use other words.
            if answered and (self.listening in self.output(begin) or time.monotonic() > answered + 2):
                return True
            if not answered and self.healthy():
                answered = time.monotonic()
            time.sleep(0.02)
        return False

    def healthy(self):
        connection = http.client.HTTPConnection(HOST, self.port, timeout=5)
        try:
            connection.request("GET", self.health)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def output(self, begin):
        with self.log.open("rb") as log:
            log.seek(begin)
            return log.read().decode(errors="replace")

    def stop(self):
        """Ends it in order."""
        if self.running():
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_TIMEOUT)
        self.kill()

    def kill(self):
        """Ends it at once, with its children."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


def services(folder):
    """MinIO and MLflow with data in `folder`, not started; MLflow finds MinIO at the port that this has by then."""
    data = folder / "minio"
    (data / BUCKET).mkdir(parents=True, exist_ok=True)  # to MinIO, a folder is a bucket
    minio = Service(
        "minio",
        folder,
        # Its own folder of certificates: with those in ~/.minio it would serve HTTPS.
        lambda port: [
            os.environ["PERCH_MINIO"], "server", str(data), "--address", f"{HOST}:{port}",
            "--certs-dir", str(folder / "minio-certs"),
        ],
        {"MINIO_ROOT_USER": ACCESS_KEY, "MINIO_ROOT_PASSWORD": SECRET_KEY, "MINIO_BROWSER": "off", "MINIO_UPDATE": "off"},
        "/minio/health/ready",
        "API: http",
    )  # fmt: skip
    mlflow = Service(
        "mlflow",
        folder,
        lambda port: [
            str(Path(sys.executable).with_name("mlflow")), "server",
            "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}",
            "--artifacts-destination", f"s3://{BUCKET}/art", "--serve-artifacts",
            "--host", HOST, "--port", str(port), "--workers", "1",
        ],
        {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "true",
            # Evaluations of language models, in processes of their own.
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            # Webhooks to this machine, which are off for good reasons elsewhere; found at once by the next event.
            "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
            "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
            "MLFLOW_WEBHOOK_CACHE_TTL": "0",
        },
        "/health",
        "Uvicorn running on",
    )  # fmt: skip
    return minio, mlflow


def describe(minio, mlflow):
    both = [service for service in (minio, mlflow) if service.running()]
    return {
        "mlflow": mlflow.url,
        "minio": minio.url,
        "access_key": ACCESS_KEY,
        "secret_key": SECRET_KEY,
        "bucket": BUCKET,
        "python": sys.executable,
        "folder": str(minio.folder),
        "pids": {"services": os.getpid()} | {service.name: service.process.pid for service in both},
    }


def obey(command, minio, mlflow, check):
    """Does what a line on stdin says."""
    verb, _, name = command.partition(" ")
    service = {"minio": minio, "mlflow": mlflow}.get(name)
    if service is None or verb not in ("start", "stop", "kill"):
        raise Failed(f"not a command: {command}")
    if verb == "start":
        service.start(check)
    elif verb == "stop":
        service.stop()
    else:
        service.kill()


def run(folder, follow_stdin):
    """Runs both until told to end; with `follow_stdin` also until stdin closes."""

    def end(*_):
        raise Ended

    def check():
        if follow_stdin and any(event & (select.POLLHUP | select.POLLERR) for _, event in hang_up.poll(0)):
            raise BrokenPipeError

    def report():
        line = json.dumps(describe(minio, mlflow))
        fresh = folder / "services.json.new"
        fresh.write_text(line + "\n")
        fresh.rename(folder / "services.json")
        return line

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "services.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failed(f"the services in {folder} run already; run: scripts/services stop {folder}") from None
        hang_up = select.poll()
        hang_up.register(0, 0)
        minio, mlflow = services(folder)
        orderly = False
        try:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, end)
            minio.start(check)
            mlflow.environment["MLFLOW_S3_ENDPOINT_URL"] = minio.url
            mlflow.start(check)
            print(report(), flush=True)
            while not follow_stdin:
                signal.pause()
            for line in sys.stdin:
                try:
                    obey(line.strip(), minio, mlflow, check)
                    print(report(), flush=True)
                except Failed as error:
                    print(json.dumps({"error": str(error)}), flush=True)
        except BrokenPipeError:
            pass
        except Ended:
            orderly = True
        finally:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            # In order for a person, who may want the data; at once when the other side is done, or dead.
            for service in (mlflow, minio):
                service.stop() if orderly else service.kill()
            (folder / "services.json").unlink(missing_ok=True)


def locked(folder):
    """True while services run in `folder`."""
    try:
        with (folder / "services.lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


def start(folder):
    """Leaves both running and prints where."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "services.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, __file__, "hold", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            start_new_session=True,
        )
    try:
        line = process.stdout.readline().decode()
    except KeyboardInterrupt:
        process.terminate()
        raise
    if not line:
        sys.stderr.write(log.read_text())
        sys.exit(process.wait())
    print(line, end="")


def stop(folder):
    """Ends what runs in `folder`, and waits until it has ended."""
    deadline = time.monotonic() + 3 * STOP_TIMEOUT
    while locked(folder):
        # Not there yet when it is about to start.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, json.JSONDecodeError):
            os.kill(json.loads((folder / "services.json").read_text())["pids"]["services"], signal.SIGTERM)
        if time.monotonic() > deadline:
            raise Failed(f"the services in {folder} do not end")
        time.sleep(0.1)


def main(action, folder=None):
    if folder is None:
        folder = tempfile.mkdtemp(prefix="perch-services-")
        try:
            run(Path(folder), follow_stdin=True)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return
    folder = Path(folder).absolute()
    actions = {
        "run": lambda: run(folder, follow_stdin=True),
        "hold": lambda: run(folder, follow_stdin=False),
        "start": lambda: start(folder),
        "stop": lambda: stop(folder),
    }
    actions[action]()


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Failed as error:
        say(error)
        sys.exit(UNAVAILABLE)
