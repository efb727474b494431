"""A real Prometheus over the replicas, and what the tests ask it."""

from __future__ import annotations

import math
import re
import time
from pathlib import Path
from typing import Any

from files import RULES
from kit import Process, get, request, tool, wait

ADAPTER = RULES.parent.parent / "adapter.yaml"
NAMESPACE = "perch-test"


class Prometheus(Process):
    """It looks every second, and waits no longer with any alert."""

    def __init__(self, folder: Path, port: int, targets: dict[str, int]) -> None:
        super().__init__("prometheus", folder)
        self.port, self.folder = port, folder
        rules = folder / "rules.yaml"
        rules.write_text(re.sub(r"\bfor: \w+", "for: 1s", RULES.read_text()))
        scraped = "".join(
            f"      - targets: ['127.0.0.1:{at}']\n        labels: {{namespace: {NAMESPACE}, pod: {pod}}}\n"
            for pod, at in targets.items()
        )
        (folder / "prometheus.yml").write_text(
            "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
            f"rule_files: [{rules}]\n"
            f"scrape_configs:\n  - job_name: perch\n    static_configs:\n{scraped}"
        )
        self.targets = targets

    def watch(self) -> None:
        self.began = time.time()
        self.start(
            tool("prometheus"),
            f"--config.file={self.folder}/prometheus.yml",
            f"--storage.tsdb.path={self.folder}/data",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--log.level=warn",
        )
        wait(
            "prometheus ready", lambda: self.alive() and request(self.port, "GET", "/-/ready")[0] == 200, 120, self.tail
        )
        wait("every replica scraped", lambda: len(self.values("up == 1")) == len(self.targets), 60, self.tail)

    def api(self, path: str, **query: str) -> Any:
        return get(self.port, f"/api/v1/{path}", **query)["data"]

    def values(self, expr: str) -> list[dict[str, Any]]:
        """What an expression is now: the series whose value is a number."""
        found = self.api("query", query=expr)["result"]
        return [series for series in found if not math.isnan(float(series["value"][1]))]

    def history(self, expr: str) -> int:
        """How many numbers an expression has given since the beginning, a second apart."""
        found = self.api("query_range", query=expr, start=f"{self.began}", end=f"{time.time()}", step="1")["result"]
        return sum(not math.isnan(float(value)) for series in found for _, value in series["values"])

    def label(self, selector: str | None, label: str) -> list[str]:
        """The values of a label, of all series or of those of a selector."""
        return self.api(f"label/{label}/values", **({"match[]": selector} if selector else {}))

    def firing(self) -> set[tuple[str, str]]:
        """The alerts that fire, each with its model."""
        alerts = self.api("alerts")["alerts"]
        return {(a["labels"]["alertname"], a["labels"].get("model", "")) for a in alerts if a["state"] == "firing"}

    def rules(self) -> dict[str, str]:
        """The alerts' expressions, as Prometheus has read them."""
        groups = self.api("rules")["groups"]
        return {rule["name"]: rule["query"] for group in groups for rule in group["rules"]}


def adapter_query(pods: list[str]) -> tuple[str, str]:
    """What prometheus-adapter asks for to list the series, and then for these pods."""
    text = ADAPTER.read_text()
    series = re.search(r"seriesQuery: '(.+)'", text)[1]
    query = re.search(r"metricsQuery: (.+)", text)[1]
    matchers = f'namespace="{NAMESPACE}",pod=~"{"|".join(pods)}"'
    for name, value in {"Series": series.split("{")[0], "LabelMatchers": matchers, "GroupBy": "pod"}.items():
        query = query.replace(f"<<.{name}>>", value)
    return series, query
