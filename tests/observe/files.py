"""What can be said of dashboards, rules and runbooks without running anything but promtool."""

from __future__ import annotations

import itertools
import re
import sys
from pathlib import Path

import promql
from boards import BUILT_IN, VARIABLE, Board, boards
from fleet import FLEET, NEEDS_A_FLEET
from kit import ROOT, Wrong, run, say, tool

RULES = ROOT / "deploy/prometheus/rules/perch.yaml"
CASES = ROOT / "tests/observe/rules.yaml"
HISTOGRAMS = ("_bucket", "_sum", "_count")
# What the crate metrics-process tells of any process, and Prometheus of what it scrapes.
PROCESS = {"process_cpu_seconds_total", "process_open_fds", "process_max_fds", "process_resident_memory_bytes"}
GIVEN = {*PROCESS, "up"}


def registered() -> set[str]:
    """The metrics that the server registers, from where their names are kept."""
    texts = [(ROOT / "server/src/metrics.rs").read_text()]
    texts += [path.read_text() for path in sorted((ROOT / "server/src/metrics").glob("*.rs")) if path.stem != "tests"]
    found = set(re.findall(r'const \w+: &str = "((?:perch|http)_\w+)";', "\n".join(texts)))
    missing = NEEDS_A_FLEET - found
    if FLEET and missing:
        raise Wrong(f"metrics of fleets are not registered in server/src/metrics: {sorted(missing)}")
    return found | NEEDS_A_FLEET


def unknown(expr: str, known: set[str]) -> set[str]:
    """Metrics of an expression that nobody makes."""
    bare = {
        next((name.removesuffix(end) for end in HISTOGRAMS if name.endswith(end)), name) for name in promql.names(expr)
    }
    return bare - known - GIVEN


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    across = one["x"] < other["x"] + other["w"] and other["x"] < one["x"] + one["w"]
    return across and one["y"] < other["y"] + other["h"] and other["y"] < one["y"] + one["h"]


def faults_of(board: Board, known: set[str]) -> list[str]:
    faults: list[str] = []
    panels = board.json["panels"]
    ids = [panel["id"] for panel in panels]
    if len(ids) != len(set(ids)):
        faults.append("two panels have one id")
    for one, other in itertools.combinations(panels, 2):
        if overlap(one["gridPos"], other["gridPos"]):
            faults.append(f"{one['title']} lies on {other['title']}")
    faults += [
        f"{panel['title']} is wider than the page"
        for panel in panels
        if panel["gridPos"]["x"] + panel["gridPos"]["w"] > 24
    ]
    for panel in board.panels:
        references = [target["refId"] for target in panel["targets"]]
        if not references or len(references) != len(set(references)):
            faults.append(f"{panel['title']}: no query, or two of one name")
        if not panel["description"]:
            faults.append(f"{panel['title']}: nothing says what it shows")
        if any(part["datasource"]["uid"] != "${datasource}" for part in [panel, *panel["targets"]]):
            faults.append(f"{panel['title']}: not the data source that was chosen")
    defined = {variable["name"] for variable in board.variables} | set(BUILT_IN)
    for query in board.queries():
        faults += [f"{query.where}: no such metric: {name}" for name in sorted(unknown(query.expr, known))]
        faults += [
            f"{query.where}: no such variable: {name}" for name in VARIABLE.findall(query.expr) if name not in defined
        ]
    for variable in board.variables:
        query = variable["query"] if isinstance(variable["query"], str) else variable["query"]["query"]
        faults += [
            f"variable {variable['name']}: no such metric: {name}"
            for name in re.findall(r"\b(?:perch|http)_\w+", query)
            if name not in known
        ]
    return [f"{board.name}: {fault}" for fault in faults]


def anchors(document: Path) -> set[str]:
    """What links may point to, as GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def faults_of_rules() -> list[str]:
    text = RULES.read_text()
    alerts = re.findall(r"- alert: (\w+)", text)
    urls = re.findall(r"runbook_url: (\S+)#(\S+)", text)
    cases = CASES.read_text()
    listed = (ROOT / "docs/operating.md").read_text()
    faults = [f"docs/operating.md does not list {alert}" for alert in alerts if alert not in listed]
    if not len(alerts) == len(urls) == len(re.findall(r"severity: (?:critical|warning|info)\b", text)):
        faults.append("an alert is without severity or runbook_url")
    for path, anchor in urls:
        if anchor not in anchors(ROOT / path):
            faults.append(f"{path} has no section #{anchor}")
    for alert in alerts:
        # Each has to be seen to fire; the cases hold series for which it does not, too.
        fires = re.findall(rf"- alertname: {alert}\n\s+eval_time: .*\n\s+exp_alerts:(.*)\n", cases)
        if "" not in fires:
            faults.append(f"{CASES.name}: {alert} never fires")
    return faults


def check() -> None:
    """All of it; fails with the list of what is wrong."""
    promql.self_test()
    promtool = tool("promtool")
    run(promtool, "check", "rules", RULES)
    run(promtool, "check", "config", "--syntax-only", ROOT / "deploy/prometheus/prometheus.yml")
    run(promtool, "test", "rules", CASES.name, where=CASES.parent)
    run(sys.executable, ROOT / "deploy/grafana/make.py", "--check")
    known, found = registered(), boards()
    faults = [fault for board in found for fault in faults_of(board, known)] + faults_of_rules()
    if len({board.json["uid"] for board in found}) != len(found) or len(found) != 3:
        faults.append("three dashboards, each with a uid of its own, are expected")
    if faults:
        raise Wrong("\n".join(faults))
    alerts = len(re.findall("- alert:", RULES.read_text()))
    say(f"{alerts} alerts, each seen to fire; {len(found)} dashboards with {sum(len(b.panels) for b in found)} panels")
