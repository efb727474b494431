"""What is tried on each model, how the canary does beside stable, and what came of it."""

from parts import MODEL, REPLICAS, Panel, Query, Row, dashboard, marks, quantile, rate, variables

# Where replicas differ for a moment, the first of these that one of them is in.
STATES = (
    (5, "demoted", "red"),
    (3, "suspended", "orange"),
    (2, "paused", "yellow"),
    (1, "progressing", "blue"),
    (6, "aborted", "purple"),
    (4, "promoted", "green"),
    (0, "idle", "text"),
)
TRACK = "{{model}} {{track}}"
SERVED = f'{MODEL}, track!=""'


def state() -> str:
    """The state as a number, which the panel's mappings name again."""
    parts = []
    for number, name, _ in STATES:
        parts.append(f'(max by (model) (perch_rollout_state{{{MODEL}, state="{name}"}}) == 1) * {number}')
    return " or ".join(parts)


def gauge(metric: str, by: str = "model", how: str = "max") -> str:
    return f"{how} by ({by}) ({metric}{{{MODEL}}})"


def ratio(value: str, limit: str) -> str:
    """How near a metric of the policy is to its limit, on the replica where it is nearest."""
    return f"max by (model, metric) (perch_rollout_metric_{value}{{{MODEL}}} / perch_rollout_metric_{limit}{{{MODEL}}})"


def failing(by: str) -> str:
    some = rate("perch_executions_total", by, SERVED, 'outcome=~"failed|terminated"')
    return f"{some} / {rate('perch_executions_total', by, SERVED)}"


NOW = Row(
    "Where rollouts are",
    [
        Panel(
            "State",
            "What is tried on each model. Marks on all panels are changes of it.",
            [Query(state(), "{{model}}")],
            "short",
            12,
            6,
            "state-timeline",
            mappings=STATES,
            smallest=None,
        ),
        Panel(
            "Weight",
            "The canary's share of requests as set, and as it was in the last minute.",
            [
                Query(gauge("perch_rollout_weight_percent"), "{{model}} set"),
                Query(gauge("perch_rollout_actual_share_percent"), "{{model}} really"),
            ],
            "percent",
            8,
            6,
            largest=100,
        ),
        Panel(
            "Step",
            "From 1; 0 while nothing is tried.",
            [Query(gauge("perch_rollout_step"), "{{model}}")],
            "short",
            4,
            6,
        ),
    ],
)

JUDGE = Row(
    "What the judge knows",
    [
        Panel(
            "Evidence against the canary",
            "Of each metric of the policy, as a part of what demotes: at 1 the canary is out. Below 0 it speaks for the canary.",
            [Query(ratio("evidence", "evidence_limit"), "{{model}} {{metric}}")],
            "short",
            smallest=None,
            limits=(("red", 1),),
        ),
        Panel(
            "Value of its limit",
            "What a metric of the policy is, as a part of what is allowed. Above 1 with little evidence may be bad luck.",
            [Query(ratio("value", "limit"), "{{model}} {{metric}}")],
            "percentunit",
            limits=(("orange", 1),),
        ),
        Panel(
            "Executions judged",
            "What the judge has counted, and those with bad rows; the largest of the replicas.",
            [
                Query(gauge("perch_rollout_metric_executions", "model, metric"), "{{model}} {{metric}}"),
                Query(gauge("perch_rollout_metric_bad_executions", "model, metric"), "{{model}} {{metric}} bad"),
            ],
            "short",
        ),
    ],
)

BESIDE = Row(
    "Canary beside stable",
    [
        Panel(
            "Requests by track",
            "Who answered, a second.",
            [Query(rate("http_requests_total", "model, track", SERVED), TRACK)],
            "reqps",
            6,
        ),
        Panel(
            "Failing runs by track",
            "The share of a track's runs that failed or were stopped. A run that answers NaN is not among them: see the judge.",
            [Query(failing("model, track"), TRACK)],
            "percentunit",
            6,
        ),
        Panel(
            "Request latency by track",
            "95 % take less.",
            [Query(quantile(0.95, "http_request_duration_seconds", "model, track", SERVED), f"{TRACK} p95")],
            "s",
            6,
        ),
        Panel(
            "Execution time by track",
            "The median, and what 95 % stay below.",
            [
                Query(quantile(q / 100, "perch_prediction_duration_seconds", "model, track", SERVED), f"{TRACK} p{q}")
                for q in (50, 95)
            ],
            "s",
            6,
        ),
    ],
)

CAME = Row(
    "What came of it",
    [
        Panel(
            "Fallbacks",
            "Requests that stable answered in the canary's place, a second.",
            [Query(rate("perch_rollout_fallbacks_total", "model, reason"), "{{model}} {{reason}}")],
            "reqps",
            6,
        ),
        Panel(
            "Fallbacks left",
            "What the budget has left, on the replica that has least. At 0 callers see the canary's failures.",
            [Query(gauge("perch_rollout_fallbacks_left", how="min"), "{{model}}")],
            "short",
            6,
        ),
        Panel(
            "Demotions",
            "Canaries that the judge has taken out since the processes started.",
            [Query(f"sum by (model) (perch_rollout_demotions_total{{{MODEL}}})", "{{model}}")],
            "short",
            6,
        ),
        Panel(
            "Stable fails as well",
            "1 while stable passes a limit of the policy.",
            [Query(gauge("perch_rollout_stable_failing"), "{{model}}")],
            "short",
            6,
            largest=1,
        ),
        Panel(
            "Transitions",
            "Changes of state since the processes started.",
            [Query(f"sum by (model, from, to, reason) (perch_rollout_transitions_total{{{MODEL}}})", kind="instant")],
            "short",
            12,
            8,
            "table",
        ),
        Panel(
            "Quarantine",
            "Versions that are not tried.",
            [
                Query(
                    f'max by (model, version) (perch_model_state{{{MODEL}, state="quarantined"}}) == 1',
                    "{{model}} {{version}}",
                )
            ],
            "short",
            12,
        ),
    ],
)

FLEET = Row(
    "The store, the fleet, and who is told",
    [
        Panel(
            "Replicas",
            "Seen alive by the others, and those that have the canary loaded.",
            [
                Query(gauge("perch_fleet_replicas"), "{{model}} alive"),
                Query(gauge("perch_fleet_replicas_ready"), "{{model}} ready"),
            ],
            "short",
            6,
            needs="Needs PostgreSQL as the store.",
        ),
        Panel(
            "Age of the pooled evidence",
            "How far behind the evidence of all replicas is.",
            [Query(gauge("perch_fleet_evidence_age_seconds"), "{{model}}")],
            "s",
            6,
            limits=(("orange", 10),),
            needs="Needs PostgreSQL as the store.",
        ),
        Panel(
            "Store calls",
            "95 % take less.",
            [Query(quantile(0.95, "perch_store_duration_seconds", "call", REPLICAS), "{{call}} p95")],
            "s",
            6,
        ),
        Panel(
            "Store",
            "1 while rollouts can be stored, on every replica; and notifications of the store that were lost.",
            [
                Query(f"min(perch_store_up{{{REPLICAS}}})", "up"),
                Query(
                    f"sum(rate(perch_store_notifications_lost_total{{{REPLICAS}}}[$__rate_interval]))", "lost a second"
                ),
            ],
            "short",
            6,
        ),
        Panel(
            "Messages that wait",
            "To the registry, and to those who are told.",
            [Query(f"sum by (queue) (perch_outbox_pending{{{REPLICAS}}})", "{{queue}}")],
            "short",
            8,
        ),
        Panel(
            "Attempts to send them",
            "By queue, and how they went.",
            [Query(rate("perch_outbox_attempts_total", "queue, result", REPLICAS), "{{queue}} {{result}}")],
            "ops",
            8,
        ),
        Panel(
            "Notifications",
            "By type, and how they went.",
            [Query(rate("perch_notifications_total", "type, result", REPLICAS), "{{type}} {{result}}")],
            "ops",
            8,
            needs="Needs notifications in a policy.",
        ),
    ],
)


def change(states: str) -> str:
    """A model that is in one of these states, and was not a minute ago."""
    now = f'perch_rollout_state{{{MODEL}, state=~"{states}"}}'
    return f"max by (model, state) ({now}) == 1 unless max by (model, state) ({now} offset 1m) == 1"


BOARD = dashboard(
    "perch-rollouts",
    "perch: rollouts",
    "Rollouts of perch: weights, what the judge knows, the canary beside stable, and what came of it.",
    variables("perch_rollout_state"),
    [
        marks("Demoted", "red", change("demoted"), "{{model}} demoted", "the judge has taken the canary out"),
        marks("Promoted", "green", change("promoted"), "{{model}} promoted", "the canary has all requests"),
        marks("Other changes", "blue", change("progressing|paused|suspended|aborted"), "{{model}} {{state}}", ""),
    ],
    [NOW, JUDGE, BESIDE, CAME, FLEET],
)
