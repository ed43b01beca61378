"""The PromQL expressions of the dashboards and alerts, and the metrics that they name."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser
import yaml
from promql_parser import AggModifierType, AggregateExpr, Expr, VectorSelector

ROOT = Path(__file__).parents[3]
DASHBOARDS = sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))
ALERTS = ROOT / "deploy/prometheus/alerts.yml"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]
]
RECORDED = {rule["record"] for rule in RULES if "record" in rule}


@dataclass(frozen=True)
class Selector:
    """A metric by its name in an expression, and the labels that the expression needs."""

    metric: str
    labels: frozenset[str]


def board(path: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(path.read_text())
    return read


def panels(path: Path) -> list[dict[str, Any]]:
    """Return the panels that show data."""
    return [panel for panel in board(path)["panels"] if panel["type"] != "row"]


def every_expression() -> Iterator[tuple[str, str]]:
    """Yield every expression with its position."""
    for rule in RULES:
        yield f"{ALERTS.name}: {rule.get('alert') or rule['record']}", rule["expr"]
    for path in DASHBOARDS:
        for panel in panels(path):
            for target in panel["targets"]:
                yield f"{path.name}: {panel['title']}", target["expr"]


def with_window(expression: str, window: str = "1m") -> str:
    """Return the expression as Grafana sends it."""
    return expression.replace("$__rate_interval", window)


def selectors(expression: str) -> list[Selector]:
    """Return every metric in the expression. The labels of an aggregation are needed for all metrics in it. Raises
    `ValueError` if it is not PromQL."""
    found: list[Selector] = []
    grouped: list[frozenset[str]] = []

    def enter(node: Expr) -> None:
        if isinstance(node, AggregateExpr):
            grouped.append(_grouped_by(node))
        if isinstance(node, VectorSelector):
            matched = {matcher.name for matcher in node.matchers.matchers}
            found.append(Selector(node.name or "", frozenset(matched).union(*grouped)))

    def leave(node: Expr) -> None:
        if isinstance(node, AggregateExpr):
            grouped.pop()

    promql_parser.walk(promql_parser.parse(with_window(expression)), enter, leave)
    return found


def _grouped_by(node: AggregateExpr) -> frozenset[str]:
    modifier = node.modifier
    by = modifier is not None and modifier.type == AggModifierType.By
    return frozenset(modifier.labels) if modifier is not None and by else frozenset()
