"""As much of PromQL as the tests need: names of metrics, and what a rule compares."""

from __future__ import annotations

import re
from collections.abc import Iterator

# Words that stand where a metric's name could.
WORDS = {
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "offset",
    "and",
    "or",
    "unless",
    "bool",
    "inf",
    "nan",
}
SET_OPERATORS = re.compile(r"(and|or|unless)\b\s*((on|ignoring)\s*\([^)]*\))?")
COMPARISON = re.compile(r"(==|!=|<=|>=|<|>)\s*(bool\b)?")


def names(expr: str) -> set[str]:
    """The metrics that an expression asks for."""
    bare = re.sub(r'"[^"]*"', '""', expr)
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]", " ", bare)
    bare = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", bare)
    bare = re.sub(r"\boffset\s+\S+", " ", bare)
    found = re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*(?!\s*\()\b(?!\s*\()", bare)
    return {name for name in found if name.lower() not in WORDS}


def _outside(expr: str) -> Iterator[int]:
    """The places that are in no parentheses, braces, brackets or strings."""
    depth, quoted = 0, False
    for place, character in enumerate(expr):
        if character == '"':
            quoted = not quoted
        elif quoted:
            continue
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif depth == 0:
            yield place


def operands(expr: str) -> list[str]:
    """What an alert looks at: the parts that are joined by `and`, `or` and `unless`, each without its comparison.

    An alert's own expression gives nothing while all is well. Each of these has to give something all the same, or the
    alert could never fire.
    """
    parts, begin = [], 0
    outside = set(_outside(expr))
    for match in SET_OPERATORS.finditer(expr):
        if match.start() in outside and (match.start() == 0 or not re.match(r"\w", expr[match.start() - 1])):
            parts.append(expr[begin : match.start()])
            begin = match.end()
    parts.append(expr[begin:])
    return [_compared(part.strip()) for part in parts]


def _compared(part: str) -> str:
    outside = set(_outside(part))
    for match in COMPARISON.finditer(part):
        if match.start() in outside:
            return part[: match.start()].strip()
    return part


def self_test() -> None:
    """The above is small, but not obvious."""
    rule = 'max by (job) (a{x="> 1 and b"}) > 0.5 and on (job) (b_total unless c offset 1h) == bool 1 or d'
    assert operands(rule) == ['max by (job) (a{x="> 1 and b"})', "(b_total unless c offset 1h)", "d"], operands(rule)
    assert names(rule) == {"a", "b_total", "c", "d"}, names(rule)
    ratio = 'histogram_quantile(0.95, sum by (le, model) (rate(x_bucket{m=~"$m"}[$__rate_interval]))) / on (le) group_left y'
    assert names(ratio) == {"x_bucket", "y"}, names(ratio)
