"""What came of the runs, as Markdown."""

from collections import Counter
from collections.abc import Iterator, Sequence

from tests.chaos.checks import Check
from tests.chaos.run import Outcome

EXAMPLES = 5


def report(outcomes: Sequence[Outcome]) -> str:
    return "\n".join([*_table(outcomes), "", *_faults(outcomes), "", *_requests(outcomes), *_examples(outcomes)])


def _table(outcomes: Sequence[Outcome]) -> Iterator[str]:
    conditions = outcomes[0].conditions
    yield f"Seed {conditions.seed}, {conditions.seconds:.0f} s of faults, up to {conditions.rate:g} actions a second."
    yield ""
    yield _row("", *(outcome.system for outcome in outcomes))
    yield _row("---", *("---:" for _ in outcomes))
    yield _row("orders answered 201", *(len(outcome.journal.orders) for outcome in outcomes))
    yield _row("faults", *(len(outcome.injected) for outcome in outcomes))
    for name in dict.fromkeys(check.name for outcome in outcomes for check in outcome.checks):
        yield _row(name, *(_count(outcome, name) for outcome in outcomes))
    yield _row("longest recovery", *(f"{one.recovery.seconds:.1f} s ({one.recovery.after})" for one in outcomes))
    yield _row("all work done after the last fault within", *(f"{one.rest_s:.1f} s" for one in outcomes))


def _count(outcome: Outcome, name: str) -> str:
    return next((_number(check) for check in outcome.checks if check.name == name), "-")


def _number(check: Check) -> str:
    return f"**{len(check.found)}**" if check.fails and check.found else str(len(check.found))


def _faults(outcomes: Sequence[Outcome]) -> Iterator[str]:
    counts = [Counter((one.fault.verb, one.fault.target) for one in outcome.injected) for outcome in outcomes]
    yield _row("fault", "to", *(outcome.system for outcome in outcomes))
    yield _row("---", "---", *("---:" for _ in outcomes))
    for verb, target in sorted(set().union(*counts)):
        yield _row(verb, target, *(count[verb, target] for count in counts))


def _requests(outcomes: Sequence[Outcome]) -> Iterator[str]:
    counts = [outcome.journal.requests for outcome in outcomes]
    yield _row("request", "outcome", *(outcome.system for outcome in outcomes))
    yield _row("---", "---", *("---:" for _ in outcomes))
    for what, outcome in sorted(set().union(*counts)):
        yield _row(what, outcome, *(count[what, outcome] for count in counts))


def _examples(outcomes: Sequence[Outcome]) -> Iterator[str]:
    for outcome in outcomes:
        for check in outcome.checks:
            if check.found and not isinstance(check.found, range):
                yield f"\n{outcome.system}: {check.name}\n"
                yield from (f"- `{found}`" for found in check.found[:EXAMPLES])


def _row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"
