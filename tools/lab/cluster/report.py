"""The results of the trials, as Markdown."""

from collections.abc import Callable, Iterator, Sequence

from tools.lab.chaos.table import examples, number, row
from tools.lab.cluster.trial import Outcome

ROWS: dict[str, Callable[[Outcome], object]] = {
    "orders answered 201": lambda one: len(one.journal.orders),
    "- of these during the outage": lambda one: one.while_away,
    "requests repeated: 5xx, no connection, too slow": lambda one: _repeated(one),
    "longest pause between two accepted orders, before": lambda one: f"{one.usual.pause_s:.1f} s",
    "longest pause between two accepted orders, from the loss on": lambda one: f"{one.worst.pause_s:.1f} s",
    "longest from an order's answer to its mail, before": lambda one: f"{one.usual.mail_s:.1f} s",
    "longest from an order's answer to its mail, from the loss on": lambda one: f"{one.worst.mail_s:.1f} s",
    "all work done after the load within": lambda one: f"{one.rest_s:.1f} s",
}


def report(outcomes: Sequence[Outcome]) -> str:
    return "\n".join([*_told(outcomes), "", *_table(outcomes), *_found(outcomes)])


def _told(outcomes: Sequence[Outcome]) -> Iterator[str]:
    for one in outcomes:
        conditions = one.conditions
        yield f"{one.scenario}: seed {conditions.seed}, up to {conditions.rate:g} actions per second."
        yield from (f"- {text}" for text in one.said)


def _table(outcomes: Sequence[Outcome]) -> Iterator[str]:
    yield row("", *(one.scenario for one in outcomes))
    yield row("---", *("---:" for _ in outcomes))
    for name, value in ROWS.items():
        yield row(name, *(value(one) for one in outcomes))
    for name in dict.fromkeys(check.name for one in outcomes for check in one.checks):
        yield row(name, *(number(one.checks, name) for one in outcomes))


def _repeated(outcome: Outcome) -> int:
    definite = ("2", "4")
    return sum(count for (_, how), count in outcome.journal.requests.items() if not how.startswith(definite))


def _found(outcomes: Sequence[Outcome]) -> Iterator[str]:
    for outcome in outcomes:
        yield from examples(outcome.scenario, outcome.checks)
