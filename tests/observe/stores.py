"""What perch stands on, and how each of it is saved, lost, and brought back: registries of models, and states."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

from fleet import Postgres
from kit import MODEL, ROOT, UNAVAILABLE, expect, run, tool

PROGRAM = ROOT / "examples/train_and_register/train_and_register.py"


class Folder:
    """A folder of models: an archive is the backup."""

    def __init__(self, folder: Path) -> None:
        self.path, self.saved = folder / "models", folder / "backup/models.tar"
        shutil.copytree(ROOT / "examples/models", self.path)

    def settings(self) -> str:
        return f"registry: {{path: {self.path}, poll: 500ms}}\n"

    def set_canary(self, perch: Path) -> None:
        run(perch, "models", "alias", "set", MODEL, "canary", 3, "--models", self.path)

    def save(self) -> None:
        run("tar", "-cf", self.saved, "-C", self.path, ".")

    def lose(self) -> None:
        shutil.rmtree(self.path)

    def restore(self) -> None:
        self.path.mkdir()
        run("tar", "-xf", self.saved, "-C", self.path)

    def close(self) -> None:
        pass


class Mlflow:
    """A real MLflow, with its artifacts in a real MinIO: its database and the bucket are the backup."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.saved, self.turn = folder, folder / "backup", 0
        self._start()
        venv = run(ROOT / "scripts/venv", "register", PROGRAM.parent / "requirements.txt").strip().splitlines()[-1]
        # Version 3 is registered second: version 2 is its number in MLflow.
        for version, alias in (("1", "stable"), ("3", "none")):
            run(
                "env",
                f"MLFLOW_TRACKING_URI={self.at['mlflow']}",
                f"{venv}/bin/python",
                PROGRAM,
                "--version",
                version,
                "--alias",
                alias,
            )

    def _start(self) -> None:
        """In a folder of its own each time: nothing is left of what was there before."""
        self.here = self.folder / f"services-{self.turn}"
        self.turn += 1
        command = [str(ROOT / "scripts/services"), "run", str(self.here)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(self.process.wait() or UNAVAILABLE)
        self.at = json.loads(line)

    def _bucket(self, what: str) -> None:
        """All objects, through S3's own interface, as `mc mirror` or `aws s3 sync` would do it."""
        keys = {"AWS_ACCESS_KEY_ID": self.at["access_key"], "AWS_SECRET_ACCESS_KEY": self.at["secret_key"]}
        done = subprocess.run(
            [
                self.at["python"],
                str(Path(__file__).with_name("bucket.py")),
                what,
                self.at["minio"],
                self.at["bucket"],
                str(self.saved / "bucket"),
            ],
            env={**os.environ, **keys, "AWS_DEFAULT_REGION": "us-east-1"},
            capture_output=True,
            text=True,
            check=False,
        )
        expect(done.returncode == 0, f"bucket.py {what}: {done.stderr}")

    def settings(self) -> str:
        return f"registry: {{uri: '{self.at['mlflow']}', poll: 500ms}}\nmodels: [{{name: {MODEL}}}]\n"

    def set_canary(self, perch: Path) -> None:
        run(perch, "models", "alias", "set", MODEL, "canary", 2, "--mlflow", self.at["mlflow"])

    def save(self) -> None:
        run(tool("sqlite3"), self.here / "mlflow.db", f".backup {self.saved}/mlflow.db")
        self._bucket("save")

    def lose(self) -> None:
        self.close()
        shutil.rmtree(self.here)

    def restore(self) -> None:
        # The database has to be there before MLflow makes an empty one, and the objects need a MinIO that runs.
        (self.folder / f"services-{self.turn}").mkdir()
        shutil.copy(self.saved / "mlflow.db", self.folder / f"services-{self.turn}/mlflow.db")
        self._start()
        self._bucket("restore")

    def close(self) -> None:
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait(timeout=60)


class StateFile:
    """SQLite: copied while perch runs, by SQLite's own means."""

    def __init__(self, folder: Path) -> None:
        self.path, self.saved = folder / "state/state.db", folder / "backup/state.db"
        self.path.parent.mkdir()
        self.url = f"sqlite:{self.path}"

    def save(self) -> None:
        run(tool("sqlite3"), self.path, f".backup {self.saved}")

    def lose(self) -> None:
        shutil.rmtree(self.path.parent)

    def restore(self) -> None:
        self.path.parent.mkdir()
        shutil.copy(self.saved, self.path)

    def close(self) -> None:
        pass


class Database:
    """PostgreSQL: dumped while perch runs, and restored into an empty database."""

    def __init__(self, folder: Path) -> None:
        self.saved = folder / "backup/state.dump"
        self.postgres = Postgres()
        self.url = self.postgres.url

    def save(self) -> None:
        run(Postgres.tool("pg_dump"), "--format=custom", f"--file={self.saved}", self.url)

    def _maintain(self, statement: str) -> None:
        run(Postgres.tool("psql"), "--quiet", f"--command={statement}", self.url.rsplit("/", 1)[0] + "/postgres")

    def lose(self) -> None:
        self._maintain("DROP DATABASE perch WITH (FORCE)")

    def restore(self) -> None:
        self._maintain("CREATE DATABASE perch")
        run(Postgres.tool("pg_restore"), "--exit-on-error", f"--dbname={self.url}", self.saved)

    def close(self) -> None:
        self.postgres.close()
