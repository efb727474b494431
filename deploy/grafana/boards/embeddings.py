"""Models that take texts: tokens, runs of texts of like length, what waits, and the cache."""

from parts import (
    FAILED,
    MODEL,
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
TOKENS = "perch_tokens_total"
TEXT = 'kind="text"'
PADDING = 'kind="padding"'
HIT = 'result="hit"'
REFUSED = 'status="429"'
GOOD = 'status=~"2.."'


def tokens(kind: str, by: str = BY) -> str:
    return rate(TOKENS, by, VERSION, kind)


def texts(by: str = BY) -> str:
    """Texts that were computed, a second: each is a row of a run."""
    return rate("perch_batch_rows_sum", by, VERSION)


def share(more: str) -> str:
    some, every = rate("http_requests_total", "model", VERSION, more), rate("http_requests_total", "model", VERSION)
    return f"({some} or {every} * 0) / {every}"


OVERVIEW = Row(
    "Now",
    [
        Panel("Texts", "Texts computed a second.", [Query(f"sum({texts()})", "texts")], "short", 4, 4, "stat"),
        Panel(
            "Tokens",
            "Tokens of texts computed a second, without padding.",
            [Query(f"sum({tokens(TEXT)})", "tokens")],
            "short",
            4,
            4,
            "stat",
        ),
        Panel(
            "P95",
            "95 % of requests take less; of the slowest model.",
            [Query(f"max({quantile(0.95, 'http_request_duration_seconds', 'model', VERSION)})", "p95")],
            "s",
            4,
            4,
            "stat",
            limits=(("orange", 0.5), ("red", 1.0)),
        ),
        Panel(
            "Errors",
            "The share of requests that failed: status 424 and 5xx.",
            [Query(f"max({share(FAILED)})", "errors")],
            "percentunit",
            4,
            4,
            "stat",
            limits=(("orange", 0.05), ("red", 0.1)),
        ),
        Panel(
            "Refused",
            "The share of requests that were refused with 429: too much waits already.",
            [Query(f"max({share(REFUSED)})", "refused")],
            "percentunit",
            4,
            4,
            "stat",
            limits=(("orange", 0.01),),
        ),
        Panel(
            "Waiting",
            "Texts that wait for a worker.",
            [Query(f"sum(perch_queue_depth{{{VERSION}}})", "texts")],
            "short",
            4,
            4,
            "stat",
        ),
    ],
)

TOKENS_ROW = Row(
    "Tokens and texts",
    [
        Panel("Tokens", "Tokens of texts computed a second.", [Query(tokens(TEXT), NAME)], "short", 6),
        Panel(
            "Padding",
            "The part of the computed tokens that is padding.",
            [Query(f"{tokens(PADDING)} / {rate(TOKENS, BY, VERSION)}", NAME)],
            "percentunit",
            6,
            largest=1,
        ),
        Panel(
            "Texts",
            "Texts computed a second; what the cache answered is not among them.",
            [Query(texts(), NAME)],
            "short",
            6,
        ),
        Panel(
            "Tokens of a text",
            "The mean of what was computed.",
            [Query(f"{tokens(TEXT)} / {texts()}", NAME)],
            "short",
            6,
        ),
    ],
)

REQUESTS = Row(
    "Requests",
    [
        Panel(
            "Requests",
            "Requests a second.",
            [Query(rate("http_requests_total", BY, VERSION), NAME)],
            "reqps",
            6,
            stacked=True,
        ),
        Panel(
            "Latency percentiles",
            "From a request's head to its answer.",
            percentiles("http_request_duration_seconds", BY, NAME, VERSION),
            "s",
            6,
        ),
        Panel(
            "Texts of a request",
            "Texts computed for each request that was answered.",
            [Query(f"{texts('model')} / {rate('http_requests_total', 'model', VERSION, GOOD)}", "{{model}}")],
            "short",
            6,
        ),
        Panel(
            "Failed requests by kind",
            "By the code in the answer; also those that are the client's doing.",
            [Query(rate("perch_errors_total", "model, kind"), "{{model}} {{kind}}")],
            "reqps",
            6,
        ),
    ],
)

RUNS = Row(
    "Runs",
    [
        Panel(
            "Execution time",
            "One run of texts on the model, without waiting.",
            percentiles("perch_prediction_duration_seconds", BY, NAME, VERSION),
            "s",
            6,
        ),
        Panel(
            "Texts of a run",
            "The mean, and what 95 % of runs stay below.",
            [
                Query(mean("perch_batch_rows", BY, VERSION), f"{NAME} mean"),
                Query(quantile(0.95, "perch_batch_rows", BY, VERSION), f"{NAME} p95"),
            ],
            "short",
            6,
        ),
        Panel(
            "Time for 1,000 tokens",
            "Time in the model for 1,000 tokens of texts; padding is paid for, too.",
            [Query(f"1000 * {rate('perch_prediction_duration_seconds_sum', BY, VERSION)} / {tokens(TEXT)}", NAME)],
            "s",
            6,
        ),
        Panel(
            "Runs by outcome",
            "terminated: stopped at the deadline of its requests.",
            [Query(rate("perch_executions_total", "model, version, outcome", VERSION), f"{NAME} {{{{outcome}}}}")],
            "ops",
            6,
        ),
        Panel(
            "Queue",
            "Texts that wait for a worker, over all replicas.",
            [Query(f"sum by ({BY}) (perch_queue_depth{{{VERSION}}})", NAME)],
            "short",
            6,
        ),
        Panel(
            "Refused",
            "The share of requests that were refused with 429.",
            [Query(share(REFUSED), "{{model}}")],
            "percentunit",
            6,
            limits=(("orange", 0.01),),
        ),
        Panel(
            "Tokens by track",
            "Tokens of texts computed a second, canary beside stable.",
            [Query(tokens(TEXT, "model, track"), "{{model}} {{track}}")],
            "short",
            6,
        ),
        Panel(
            "Memory",
            "Resident memory of each process.",
            [Query(f"process_resident_memory_bytes{{{REPLICAS}}}", "{{instance}}")],
            "bytes",
            6,
        ),
    ],
)

CACHE = Row(
    "The cache",
    [
        Panel(
            "Cache hits",
            "The share of texts whose answers were kept.",
            [
                Query(
                    f"{rate('perch_cache_requests_total', BY, VERSION, HIT)} / {rate('perch_cache_requests_total', BY, VERSION)}",
                    NAME,
                )
            ],
            "percentunit",
            8,
            largest=1,
            needs="Needs server.responseCache.",
        ),
        Panel(
            "Texts looked up",
            "By what came of it.",
            [Query(rate("perch_cache_requests_total", "model, result", MODEL), "{{model}} {{result}}")],
            "short",
            8,
            needs="Needs server.responseCache.",
        ),
        Panel(
            "Cache size",
            "Memory of the kept answers, by replica.",
            [Query(f"perch_cache_bytes{{{REPLICAS}}}", "{{instance}}")],
            "bytes",
            8,
            needs="Needs server.responseCache.",
        ),
    ],
)

BOARD = dashboard(
    "perch-embeddings",
    "perch: embeddings",
    "Tokens, texts, runs, queue and cache of models that take texts.",
    variables(TOKENS, TOKENS),
    [],
    [OVERVIEW, TOKENS_ROW, REQUESTS, RUNS, CACHE],
)
