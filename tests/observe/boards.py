"""The dashboards as Grafana reads them: panels, queries, and variables with the values that are chosen."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit import ROOT

FOLDER = ROOT / "deploy/grafana/dashboards"
# What Grafana itself fills in; a rate looks back over some scrapes of the test's Prometheus.
BUILT_IN = {"__rate_interval": "10s", "__interval": "1s", "__range": "60s"}
VARIABLE = re.compile(r"\$\{?([a-zA-Z_]\w*)\}?")
LABEL_VALUES = re.compile(r"label_values\((?:(.+),\s*)?(\w+)\)")


@dataclass(frozen=True)
class Query:
    """One query, and where it stands."""

    where: str
    expr: str
    instant: bool


class Board:
    """One dashboard."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self.json: dict[str, Any] = json.loads(path.read_text())
        self.panels = [panel for panel in self.json["panels"] if panel["type"] != "row"]
        self.variables: list[dict[str, Any]] = self.json["templating"]["list"]

    def queries(self) -> list[Query]:
        """Of the panels, and of the marks over them."""
        found = []
        for panel in self.panels:
            for target in panel["targets"]:
                where = f"{self.name}: {panel['title']} ({target['refId']})"
                found.append(Query(where, target["expr"], target.get("instant", False)))
        for mark in self.json["annotations"]["list"]:
            found.append(Query(f"{self.name}: marks: {mark['name']}", mark["expr"], False))
        return found

    def choose(self, values: Callable[[str, str], list[str]]) -> dict[str, str]:
        """All of every variable, as Grafana writes it; `values` asks for a label of a selector."""
        chosen = dict(BUILT_IN)
        for variable in self.variables:
            if variable["type"] == "datasource":
                continue
            match = LABEL_VALUES.fullmatch(variable["query"]["query"])
            assert match, f"{self.name}: {variable['query']['query']} is no label_values()"
            found = values(expanded(match[1], chosen), match[2])
            chosen[variable["name"]] = variable.get("allValue") or f"({'|'.join(map(re.escape, found))})"
        return chosen


def expanded(expr: str, chosen: dict[str, str]) -> str:
    """With the variables' values in place."""
    return VARIABLE.sub(lambda match: chosen[match[1]].replace("\\", "\\\\"), expr)


def boards() -> list[Board]:
    return [Board(path) for path in sorted(FOLDER.glob("*.json"))]
