"""The checks of simulations find each broken promise in a history, and nothing in a good one."""

from dataclasses import replace
from typing import Any

import pytest

from tools.lab.simulation.checks import Effect, EventRow, Outcome, Read, check, is_older

USER, ORDER = "u", "o1"
JOBS_OF = {
    "order.created": ("analytics", "email", "notifications"),
    "task.simulate": ("simulated",),
}
EVENTS = (
    EventRow("e1", "order.created", USER, 1.0, order_id=ORDER),
    EventRow("t1", "task.simulate", USER, 2.0),
    EventRow("t2", "task.simulate", USER, 3.0, key="k"),
    EventRow("t3", "task.simulate", USER, 3.1, key="k"),
)
LEDGER = {
    ("analytics", "e1"): "done",
    ("email", "e1"): "done",
    ("notifications", "e1"): "done",
    ("simulated", "t1"): "done",
    ("simulated", "t2"): "suppressed",
    ("simulated", "t3"): "done",
}


def read(began: float = 10.0, ended: float = 10.1, **more: Any) -> Read:
    """Return a fresh read of the orders, at which the gateway knew one order."""
    facts: dict[str, Any] = {
        "gateway": "gateway-1",
        "user": USER,
        "began": began,
        "ended": ended,
        "budget_s": 1.0,
        "panels": {"orders": ("fresh", {ORDER: "created"}, None)},
        "seconds": {"orders": 0.1},
        "timeouts_s": {"orders": 0.8, "analytics": 0.8},
        "known": {"orders": {ORDER: "created"}},
    }
    return Read(**(facts | more))


NOTHING = {
    "orders": ("unavailable", None, "bad_response"),
    "analytics": ("unavailable", None, "circuit_open"),
}
GOOD = Outcome(
    jobs_of=JOBS_OF,
    events=EVENTS,
    ledger=LEDGER,
    effects=(Effect("t1", None, 2.5), Effect("t3", "k", 3.5)),
    notifications=("e1",),
    rollups={USER: 1},
    orders={USER: 1},
    mails={ORDER: ("<m1>", "<m1>")},
    ticks=("09:00", "09:01", "requested 1"),
    expected_ticks=("09:01",),
    reads=(read(),),
)


def without(job: str, event: str) -> dict[tuple[str, str], str]:
    return {key: state for key, state in LEDGER.items() if key != (job, event)}


def test_a_good_history_has_no_violation() -> None:
    """Suppressed tasks, copies of a mail and requested runs are no mistakes."""
    assert check(GOOD) == []


@pytest.mark.parametrize(
    ("promise", "changes"),
    [
        ("unfinished", {"unfinished": ("3 rows in the outbox",)}),
        ("unfinished", {"ledger": LEDGER | {("notifications", "e1"): "dead"}}),
        ("lost", {"ledger": without("analytics", "e1")}),
        ("exactly once", {"effects": (*GOOD.effects, Effect("t1", None, 2.6))}),
        ("exactly once", {"effects": GOOD.effects[1:]}),
        ("exactly once", {"effects": (*GOOD.effects, Effect("t2", "k", 3.6))}),
        ("keys", {"effects": (GOOD.effects[0], Effect("t3", "k", 3.05))}),
        ("exactly once", {"notifications": ()}),
        ("exactly once", {"notifications": ("e1", "e1")}),
        ("exactly once", {"rollups": {USER: 2}}),
        ("exactly once", {"rollups": {}}),
        ("mail", {"mails": {}}),
        ("mail", {"mails": {ORDER: ("<m1>", "<m2>")}}),
        ("ticks", {"ticks": ("09:00", "09:01", "09:01")}),
        ("ticks", {"ticks": ("09:00",)}),
        ("fresh", {"reads": (read(panels={"orders": ("fresh", {}, None)}),)}),
        ("fresh", {"reads": (read(known={"orders": {ORDER: "paid"}}),)}),
        ("fresh", {"reads": (read(panels={"analytics": ("fresh", 1, None)}, known={"analytics": 2}),)}),
        ("goes back", {"reads": (read(), read(11.0, 11.1, panels={"orders": ("fresh", {}, None)}, known={}))}),
        ("older copy", {"older_copies": ("lkg:orders:u",)}),
        ("deadline", {"reads": (read(ended=11.3),)}),
        (
            "timeout",
            {"reads": (read(panels={"orders": ("unavailable", None, "timeout")}, seconds={"orders": 0.02}),)},
        ),
        ("suspended", {"reads": (read(suspended=frozenset({"orders"})),)}),
    ],
)
def test_a_broken_promise_is_found(promise: str, changes: dict[str, Any]) -> None:
    """Each wrong history breaks that promise."""
    assert promise in {violation.promise for violation in check(replace(GOOD, **changes))}


@pytest.mark.parametrize(
    "changes",
    [
        {"ledger": without("analytics", "e1"), "rollups": {}, "excused": frozenset({("analytics", "e1")})},
        {"ledger": LEDGER | {("email", "e1"): "dead"}, "mails": {}, "doubtful_mails": frozenset({"e1"})},
        {"reads": (read(panels={"orders": ("stale", {}, "timeout")}, seconds={"orders": 0.8}),)},
        {"reads": (read(), read(10.05, 10.2, panels={"orders": ("fresh", {}, None)}, known={}))},
        {"reads": (read(ended=15.0, was_disturbed=True),)},
        {"reads": (read(seconds={}, panels=NOTHING, suspended=frozenset({"analytics"})),)},
    ],
)
def test_what_was_never_promised_is_no_violation(changes: dict[str, Any]) -> None:
    """A deleted queue takes its messages along, an operator decides about doubtful mails, and stale panels are old."""
    assert check(replace(GOOD, **changes)) == []


def test_a_panel_of_orders_shows_the_newest() -> None:
    """An order that is missing because newer ones fill the panel is not too old."""
    full = {f"o{number:02}": "created" for number in range(10, 30)}
    assert not is_older("orders", full, {"o05": "paid"})
    assert is_older("orders", full, {"o15": "paid"})
    assert is_older("orders", full, {"o31": "created"})
