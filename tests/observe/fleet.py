"""What is only there where replicas share their rollouts, in PostgreSQL."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

from kit import ROOT, UNAVAILABLE, expect
from promql import names

# Whether replicas share a PostgreSQL. Without it each has a state file of its own, and no query below has data.
FLEET = True

# Metrics that no replica has without a fleet.
NEEDS_A_FLEET = {
    "perch_fleet_replicas",
    "perch_fleet_replicas_ready",
    "perch_fleet_evidence_age_seconds",
    "perch_store_duration_seconds",
    "perch_store_notifications_lost_total",
}

# The same build also says so of a canary that is demoted while it is loaded.
NEEDS_ITS_BUILD = ('state="quarantined"}) == 1',)


def needed_by(expr: str) -> bool:
    """Whether an expression asks for one of them."""
    if any(part in expr and " or " not in expr for part in NEEDS_ITS_BUILD):
        return True
    return any(name.removesuffix("_bucket") in NEEDS_A_FLEET for name in names(expr))


class Postgres:
    """A real one with throw-away data; it ends with this process, however that ends."""

    def __init__(self) -> None:
        command = [str(ROOT / "scripts/postgres"), "run"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(self.process.wait() or UNAVAILABLE)
        self.url = json.loads(line)["url"]

    def close(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait(timeout=60)

    @staticmethod
    def tool(name: str) -> Path:
        """pg_dump and its like, of the newest that is installed; they are not on PATH in Debian."""
        found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[4]))
        expect(bool(found), f"{name} is missing; run: scripts/postgres install")
        return found[-1]


class States:
    """Where the replicas of a test keep their rollouts."""

    def __init__(self, folder: Path, postgres: Postgres | None) -> None:
        self.folder, self.postgres = folder, postgres

    def of(self, name: str) -> str:
        """What --state is for this replica."""
        return self.postgres.url if self.postgres else f"sqlite:{self.folder}/{name}.db"


@contextlib.contextmanager
def states(folder: Path, fleet: bool) -> Iterator[States]:
    """PostgreSQL for all, or a file for each."""
    postgres = Postgres() if fleet else None
    try:
        yield States(folder, postgres)
    finally:
        if postgres:
            postgres.close()
