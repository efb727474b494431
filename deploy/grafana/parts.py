"""What the dashboards are put together from: variables, queries, panels, rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
# What every query of a replica is narrowed to. `.*` also matches where a label is missing: outside Kubernetes nothing
# has a namespace.
REPLICAS = 'namespace=~"$namespace", job=~"$job"'
MODEL = f'{REPLICAS}, model=~"$model"'
# Also what met no model: refused before one was found, say.
ANY_MODEL = f'{REPLICAS}, model=~"$model|"'
VERSION = f'{MODEL}, version=~"$version"'
# Statuses of requests that perch could not answer; 424 is what text-embeddings-inference's paths say of a failed model.
FAILED = 'status=~"424|5.."'
WIDTH = 24


@dataclass(frozen=True)
class Query:
    """One query of a panel, and what its lines are called."""

    expr: str
    legend: str = ""
    kind: str = "range"  # range; or instant and heatmap, which panels ask for

    def json(self, number: int) -> Json:
        query: Json = {"refId": chr(ord("A") + number), "datasource": DATASOURCE, "expr": " ".join(self.expr.split())}
        query |= {"legendFormat": self.legend or "__auto", "editorMode": "code", "range": self.kind != "instant"}
        if self.kind == "instant":
            query["instant"] = True
        if self.kind != "range":
            query["format"] = {"instant": "table", "heatmap": "heatmap"}[self.kind]
        return query


def rate(metric: str, by: str, select: str = MODEL, more: str = "") -> str:
    """Events a second."""
    return f"sum by ({by}) (rate({metric}{{{select}{', ' * bool(more)}{more}}}[$__rate_interval]))"


def quantile(q: float, metric: str, by: str, select: str = MODEL) -> str:
    """Of a histogram, over all replicas."""
    return f"histogram_quantile({q}, {rate(f'{metric}_bucket', f'le, {by}', select)})"


def mean(metric: str, by: str, select: str = MODEL) -> str:
    """Of a histogram."""
    return f"{rate(f'{metric}_sum', by, select)} / {rate(f'{metric}_count', by, select)}"


def percentiles(metric: str, by: str, legend: str, select: str = MODEL) -> list[Query]:
    """The three that people ask for."""
    return [Query(quantile(q / 100, metric, by, select), f"{legend} p{q}") for q in (50, 95, 99)]


@dataclass(frozen=True)
class Panel:
    """A panel without its place."""

    title: str
    about: str  # one sentence for who hovers over it
    queries: list[Query]
    unit: str = "short"
    width: int = 8
    height: int = 8
    kind: str = "timeseries"
    smallest: float | None = 0
    largest: float | None = None
    limits: tuple[tuple[str, float], ...] = ()  # colour and from where on
    mappings: tuple[tuple[int, str, str], ...] = ()  # value, text, colour
    stacked: bool = False
    needs: str = ""  # what has to be there for it to show anything; ends the sentence

    def json(self, number: int, x: int, y: int) -> Json:
        panel: Json = {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.about + (f" {self.needs}" if self.needs else ""),
            "datasource": DATASOURCE,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "targets": [query.json(index) for index, query in enumerate(self.queries)],
            "fieldConfig": {"defaults": self._field(), "overrides": []},
            "options": self._options(),
        }
        if self.kind == "table":
            # The labels as columns; the time of the query says nothing.
            hidden = {"Time": True, "__name__": True, "Value": False}
            panel["transformations"] = [
                {"id": "organize", "options": {"excludeByName": hidden, "renameByName": {"Value": self.title}}}
            ]
        return panel

    def _field(self) -> Json:
        steps: list[Json] = [{"color": "green", "value": None}]
        steps += [{"color": colour, "value": value} for colour, value in self.limits]
        field: Json = {"unit": self.unit, "thresholds": {"mode": "absolute", "steps": steps}}
        if self.smallest is not None:
            field["min"] = self.smallest
        if self.largest is not None:
            field["max"] = self.largest
        if self.mappings:
            options = {str(value): {"text": text, "color": colour} for value, text, colour in self.mappings}
            field["mappings"] = [{"type": "value", "options": options}]
        if self.kind == "timeseries":
            custom: Json = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 10, "showPoints": "never"}
            custom["stacking"] = {"mode": "normal" if self.stacked else "none", "group": "A"}
            if self.limits:
                custom["thresholdsStyle"] = {"mode": "dashed"}
            field["custom"] = custom
        if self.kind in ("stat", "state-timeline"):
            field["color"] = {"mode": "thresholds"}
        return field

    def _options(self) -> Json:
        if self.kind == "timeseries":
            legend = {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []}
            return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}
        if self.kind == "stat":
            reduce = {"calcs": ["lastNotNull"], "fields": "", "values": False}
            return {"reduceOptions": reduce, "colorMode": "value", "graphMode": "area", "textMode": "auto"}
        if self.kind == "state-timeline":
            return {"mergeValues": True, "showValue": "auto", "rowHeight": 0.8, "legend": {"showLegend": False}}
        if self.kind == "heatmap":
            return {"calculate": False, "yAxis": {"unit": self.unit}, "color": {"scheme": "Oranges", "mode": "scheme"}}
        return {"showHeader": True}


@dataclass(frozen=True)
class Row:
    """A heading and the panels below it, set from left to right."""

    title: str
    panels: list[Panel]


def variable(name: str, label: str, query: str, every: str | None) -> Json:
    """A choice of label values, several at once; `every` is what All stands for, else all values that were found."""
    made: Json = {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "definition": query,
        # qryType 1 is label_values() in Grafana's editor.
        "query": {"qryType": 1, "query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery"},
        "refresh": 2,  # when the time range changes: models come and go
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "current": {"text": ["All"], "value": ["$__all"]},
    }
    return made | ({"allValue": every} if every else {})


def variables(models: str, versions: str | None = None) -> list[Json]:
    """Data source, namespace, job, and the models (and versions) that a metric has."""
    of_job = '{namespace=~"$namespace", job=~"$job"}'
    made: list[Json] = [
        {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "current": {}},
        variable("namespace", "Namespace", "label_values(perch_build_info, namespace)", ".*"),
        variable("job", "Job", 'label_values(perch_build_info{namespace=~"$namespace"}, job)', None),
        variable("model", "Model", f"label_values({models}{of_job}, model)", None),
    ]
    if versions:
        made.append(variable("version", "Version", f"label_values({versions}{{{MODEL}}}, version)", None))
    return made


def dashboard(uid: str, title: str, about: str, inputs: list[Json], marks: list[Json], rows: Iterable[Row]) -> Json:
    """The whole, with every panel in its place."""
    panels: list[Json] = []
    y = 0
    for row in rows:
        place = {"x": 0, "y": y, "w": WIDTH, "h": 1}
        panels.append(
            {
                "id": len(panels) + 1,
                "type": "row",
                "title": row.title,
                "collapsed": False,
                "panels": [],
                "gridPos": place,
            }
        )
        x, y, tallest = 0, y + 1, 0
        for panel in row.panels:
            if x + panel.width > WIDTH:
                x, y, tallest = 0, y + tallest, 0
            panels.append(panel.json(len(panels) + 1, x, y))
            x, tallest = x + panel.width, max(tallest, panel.height)
        y += tallest
    return {
        "uid": uid,
        "title": title,
        "description": about,
        "tags": ["perch"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,  # one cross hair over all panels
        "time": {"from": "now-1h", "to": "now"},
        "refresh": "30s",
        "links": [
            {
                "type": "dashboards",
                "title": "perch",
                "tags": ["perch"],
                "asDropdown": True,
                "includeVars": True,
                "keepTime": True,
            }
        ],
        "templating": {"list": inputs},
        "annotations": {"list": marks},
        "panels": panels,
    }


def marks(name: str, colour: str, expr: str, title: str, text: str) -> Json:
    """Something that happened, as a line over all panels. Asked for once a minute: the expression looks back as far."""
    mark: Json = {
        "name": name,
        "datasource": DATASOURCE,
        "enable": True,
        "iconColor": colour,
        "expr": " ".join(expr.split()),
    }
    return mark | {"step": "60s", "titleFormat": title, "textFormat": text, "tagKeys": "model,state"}
