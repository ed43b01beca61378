"""The results of the runs, as Markdown."""

from collections import Counter
from collections.abc import Iterator, Sequence

from tools.lab.chaos.run import Outcome
from tools.lab.chaos.table import examples, number, row


def report(outcomes: Sequence[Outcome]) -> str:
    return "\n".join([*_table(outcomes), "", *_faults(outcomes), "", *_requests(outcomes), *_found(outcomes)])


def _table(outcomes: Sequence[Outcome]) -> Iterator[str]:
    conditions = outcomes[0].conditions
    yield f"Seed {conditions.seed}, {conditions.seconds:.0f} s of faults, up to {conditions.rate:g} actions per second."
    yield ""
    yield row("", *(outcome.system for outcome in outcomes))
    yield row("---", *("---:" for _ in outcomes))
    yield row("orders answered 201", *(len(outcome.journal.orders) for outcome in outcomes))
    yield row("faults", *(len(outcome.injected) for outcome in outcomes))
    for name in dict.fromkeys(name for outcome in outcomes for name in outcome.figures):
        yield row(name, *(outcome.figures.get(name, "-") for outcome in outcomes))
    for name in dict.fromkeys(check.name for outcome in outcomes for check in outcome.checks):
        yield row(name, *(number(outcome.checks, name) for outcome in outcomes))
    yield row("longest recovery", *(f"{one.recovery.seconds:.1f} s ({one.recovery.after})" for one in outcomes))
    yield row("all work done after the last fault within", *(f"{one.rest_s:.1f} s" for one in outcomes))


def _faults(outcomes: Sequence[Outcome]) -> Iterator[str]:
    counts = [Counter((one.fault.verb, one.fault.target) for one in outcome.injected) for outcome in outcomes]
    yield row("fault", "to", *(outcome.system for outcome in outcomes))
    yield row("---", "---", *("---:" for _ in outcomes))
    for verb, target in sorted(set().union(*counts)):
        yield row(verb, target, *(count[verb, target] for count in counts))


def _requests(outcomes: Sequence[Outcome]) -> Iterator[str]:
    counts = [outcome.journal.requests for outcome in outcomes]
    yield row("request", "outcome", *(outcome.system for outcome in outcomes))
    yield row("---", "---", *("---:" for _ in outcomes))
    for what, outcome in sorted(set().union(*counts)):
        yield row(what, outcome, *(count[what, outcome] for count in counts))


def _found(outcomes: Sequence[Outcome]) -> Iterator[str]:
    for outcome in outcomes:
        yield from examples(outcome.system, outcome.checks)
