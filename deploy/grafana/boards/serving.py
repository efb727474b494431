"""How requests are answered: rate, errors, latency, runs of the models, and what the processes need for it."""

from parts import (
    ANY_MODEL,
    FAILED,
    REPLICAS,
    VERSION,
    Panel,
    Query,
    Row,
    dashboard,
    mean,
    percentiles,
    quantile,
    rate,
    variables,
)

BY = "model, version"
NAME = "{{model}} {{version}}"
LATENCY = "http_request_duration_seconds"
RUN = "perch_prediction_duration_seconds"
REFUSED = 'status="429"'
HIT = 'result="hit"'
SLOW = (("orange", 0.5), ("red", 1.0))
WRONG = (("orange", 0.05), ("red", 0.1))


def of_all(more: str) -> str:
    """Of all requests, also of those that met no model."""
    some, every = (
        f"sum(rate(http_requests_total{{{select}}}[$__rate_interval]))"
        for select in (f"{ANY_MODEL}, {more}", ANY_MODEL)
    )
    return f"({some} or {every} * 0) / {every}"


def share(more: str, by: str, select: str = VERSION) -> str:
    """Of the requests, from 0 to 1; 0 where there was none of the kind."""
    some = rate("http_requests_total", by, select, more)
    every = rate("http_requests_total", by, select)
    return f"({some} or {every} * 0) / {every}"


OVERVIEW = Row(
    "Now",
    [
        Panel(
            "Requests",
            "Requests a second, of the models chosen above.",
            [Query(f"sum({rate('http_requests_total', BY, VERSION)})", "requests")],
            "reqps",
            4,
            4,
            "stat",
        ),
        Panel(
            "Errors",
            "The share of requests that failed: status 424 and 5xx. Orange and red are where alerts begin.",
            [Query(of_all(FAILED), "errors")],
            "percentunit",
            4,
            4,
            "stat",
            limits=WRONG,
        ),
        Panel(
            "Refused",
            "The share of requests that were refused with 429: more work than may wait.",
            [Query(of_all(REFUSED), "refused")],
            "percentunit",
            4,
            4,
            "stat",
            limits=(("orange", 0.01),),
        ),
        Panel(
            "P95",
            "95 % of requests take less; of the slowest model. Orange and red are where alerts begin.",
            [Query(f"max({quantile(0.95, LATENCY, 'model', VERSION)})", "p95")],
            "s",
            4,
            4,
            "stat",
            limits=SLOW,
        ),
        Panel(
            "Replicas ready",
            "Processes that take requests.",
            [Query(f"sum(perch_ready{{{REPLICAS}}})", "ready")],
            "short",
            4,
            4,
            "stat",
        ),
        Panel(
            "Replicas",
            "Processes by the version of perch.",
            [Query(f"count by (version) (perch_build_info{{{REPLICAS}}})", "{{version}}")],
            "short",
            4,
            4,
            "stat",
        ),
    ],
)

REQUESTS = Row(
    "Requests",
    [
        Panel(
            "Requests by version",
            "Who answered, a second. What stable answered in a canary's place is stable's.",
            [Query(rate("http_requests_total", BY, VERSION), NAME)],
            "reqps",
            stacked=True,
        ),
        Panel(
            "Requests by status",
            "Also of requests that met no model. 499 is a client that hung up.",
            [Query(rate("http_requests_total", "status", ANY_MODEL), "{{status}}")],
            "reqps",
            stacked=True,
        ),
        Panel(
            "Errors by version",
            "The share of a version's requests that failed: status 424 and 5xx.",
            [Query(share(FAILED, BY), NAME)],
            "percentunit",
            limits=WRONG,
        ),
        Panel(
            "Latency percentiles",
            "From a request's head to its answer.",
            percentiles(LATENCY, BY, NAME, VERSION),
            "s",
            limits=SLOW,
        ),
        Panel(
            "Latency, all requests",
            "How many requests a second took how long.",
            [Query(rate(f"{LATENCY}_bucket", "le", VERSION), "{{le}}", "heatmap")],
            "s",
            kind="heatmap",
            smallest=None,
        ),
        Panel(
            "Failed requests by kind",
            "By the code in the answer; also those that are the client's doing.",
            [Query(rate("perch_errors_total", "model, kind", ANY_MODEL), "{{model}} {{kind}}")],
            "reqps",
        ),
    ],
)

RUNS = Row(
    "Runs of the models",
    [
        Panel(
            "Execution time",
            "One run of a batch on the model, without waiting.",
            percentiles(RUN, BY, NAME, VERSION),
            "s",
        ),
        Panel(
            "Runs by outcome",
            "terminated: stopped at the deadline of its requests.",
            [Query(rate("perch_executions_total", "model, version, outcome", VERSION), f"{NAME} {{{{outcome}}}}")],
            "ops",
        ),
        Panel(
            "Batch size",
            "Rows that share a run: the mean, and what 95 % of runs stay below.",
            [
                Query(mean("perch_batch_rows", BY, VERSION), f"{NAME} mean"),
                Query(quantile(0.95, "perch_batch_rows", BY, VERSION), f"{NAME} p95"),
            ],
            "short",
        ),
        Panel(
            "Queue",
            "What waits for a worker now, over all replicas. Models that run on the reactors have no queue.",
            [Query(f"sum by ({BY}) (perch_queue_depth{{{VERSION}}})", NAME)],
            "short",
        ),
        Panel(
            "Refused",
            "The share of requests that were refused with 429 because too much waits already. Without a model: by server.maxInFlight.",
            [Query(share(REFUSED, "model"), "{{model}}"), Query(of_all(f'{REFUSED}, version=""'), "no model")],
            "percentunit",
            limits=(("orange", 0.01),),
        ),
        Panel(
            "In flight",
            "Requests being answered, and open connections, by replica.",
            [
                Query(f"perch_requests_in_flight{{{REPLICAS}}}", "{{instance}} requests"),
                Query(f"perch_connections{{{REPLICAS}}}", "{{instance}} connections"),
            ],
            "short",
        ),
        Panel(
            "Cache hits",
            "The share of inputs whose answers were kept.",
            [
                Query(
                    f"{rate('perch_cache_requests_total', BY, VERSION, HIT)} / {rate('perch_cache_requests_total', BY, VERSION)}",
                    NAME,
                )
            ],
            "percentunit",
            largest=1,
            needs="Needs server.responseCache.",
        ),
        Panel(
            "Cache size",
            "Memory of the kept answers, by replica.",
            [Query(f"perch_cache_bytes{{{REPLICAS}}}", "{{instance}}")],
            "bytes",
            needs="Needs server.responseCache.",
        ),
        Panel(
            "Kept answers",
            "How many answers are kept, by replica.",
            [Query(f"perch_cache_entries{{{REPLICAS}}}", "{{instance}}")],
            "short",
            needs="Needs server.responseCache.",
        ),
    ],
)

STATES = ((1, "ready", "green"), (2, "loading", "blue"), (3, "failed", "red"), (4, "quarantined", "orange"))


def state() -> str:
    """A version's worst state over the replicas, as one number: what comes first in the chain wins."""
    number = {text: value for value, text, _ in STATES}

    def where(name: str) -> str:
        return f'(max by ({BY}) (perch_model_state{{{VERSION}, state="{name}"}}) == 1) * {number[name]}'

    return " or ".join(where(name) for name in ("failed", "quarantined", "loading", "ready"))


MODELS = Row(
    "Models and processes",
    [
        Panel(
            "Versions",
            "The state of each version, the worst of all replicas.",
            [Query(state(), NAME)],
            "short",
            12,
            8,
            "state-timeline",
            mappings=STATES,
            smallest=None,
        ),
        Panel(
            "Copies in memory",
            "How often a version is loaded, over all replicas: once a core where it runs on the reactors.",
            [Query(f"sum by ({BY}) (perch_model_sessions{{{VERSION}}})", NAME)],
            "short",
            6,
        ),
        Panel(
            "Loads",
            "Loads of versions, by how they ended.",
            [Query(rate("perch_model_loads_total", "model, result"), "{{model}} {{result}}")],
            "ops",
            6,
        ),
        Panel(
            "Memory",
            "Resident memory of each process.",
            [Query(f"process_resident_memory_bytes{{{REPLICAS}}}", "{{instance}}")],
            "bytes",
            6,
        ),
        Panel(
            "CPU",
            "Cores that each process uses.",
            [Query(f"rate(process_cpu_seconds_total{{{REPLICAS}}}[$__rate_interval])", "{{instance}}")],
            "short",
            6,
        ),
        Panel(
            "Descriptors",
            "Open files and connections, of what the system allows.",
            [Query(f"process_open_fds{{{REPLICAS}}} / process_max_fds{{{REPLICAS}}}", "{{instance}}")],
            "percentunit",
            6,
            limits=(("orange", 0.8),),
        ),
        Panel(
            "Load time",
            "Opening and warming up a version: the mean.",
            [Query(mean("perch_model_load_duration_seconds", "model"), "{{model}}")],
            "s",
            6,
        ),
        Panel(
            "Ready, registry, store",
            "1 while a replica takes requests, reads its registry, and stores rollouts.",
            [
                Query(f"min(perch_ready{{{REPLICAS}}})", "ready"),
                Query(f"min(perch_registry_up{{{REPLICAS}}})", "registry"),
                Query(f"min(perch_store_up{{{REPLICAS}}})", "store"),
            ],
            "short",
            12,
            largest=1,
        ),
        Panel(
            "Writes to the registry",
            "Aliases and tags, and tags that it has not taken yet.",
            [
                Query(rate("perch_registry_writes_total", "result", REPLICAS), "{{result}}"),
                Query(f"sum(perch_registry_writes_pending{{{REPLICAS}}})", "pending"),
            ],
            "short",
            12,
        ),
    ],
)

BOARD = dashboard(
    "perch-serving",
    "perch: serving",
    "Requests, latency, runs and processes of perch, by model and version.",
    variables("perch_model_state", "perch_model_state"),
    [],
    [OVERVIEW, REQUESTS, RUNS, MODELS],
)
