"""The conditions after a run. Each check counts the violations."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tools.devstack.system.databases import fetch
from tools.lab.chaos.injected import Injected
from tools.lab.chaos.journal import Journal
from tools.lab.chaos.mails import sort, unexplained
from tools.lab.chaos.record_run import SCHEDULE
from tools.lab.chaos.servers import Servers

ROLLUPS = {
    "orders and items": (
        "SELECT user_id, count(*), sum(item_count)::bigint, max(created_at) FROM orders GROUP BY 1",
        "SELECT user_id, orders, items, last_order_at FROM user_rollups",
    ),
    "orders by status": (
        "SELECT user_id, status, count(*) FROM orders GROUP BY 1, 2",
        "SELECT user_id, status, orders FROM user_status_rollups WHERE orders <> 0",
    ),
    "revenue": (
        "SELECT user_id, currency, count(*), sum(total)::bigint FROM orders WHERE status <> 'cancelled' GROUP BY 1, 2",
        "SELECT user_id, currency, orders, revenue FROM user_currency_rollups WHERE orders <> 0 OR revenue <> 0",
    ),
    "days": (
        """SELECT user_id, (created_at AT TIME ZONE 'UTC')::date, currency, count(*),
            coalesce(sum(total) FILTER (WHERE status <> 'cancelled'), 0)::bigint FROM orders GROUP BY 1, 2, 3""",
        "SELECT user_id, day, currency, orders, revenue FROM daily_rollups",
    ),
}
"""The rollups counted again from the orders, and those of the analytics; the rows must be the same."""
UNFINISHED = """
    SELECT job, state, event_id, last_error FROM jobs WHERE state NOT IN ('done', 'suppressed', 'cancelled')
        AND (event_type <> 'task.tick' OR job = $1 OR state = 'dead')
"""
"""Without the ticks of the worker's own schedules: they come every minute, also during the checks."""
COUNTED = "SELECT coalesce(sum(orders), 0)::bigint FROM user_rollups"


@dataclass(frozen=True)
class Check:
    """`found` has the violations. With `fails` false, they are only reported."""

    name: str
    found: Sequence[object]
    fails: bool = True


def requests(journal: Journal) -> list[Check]:
    return [
        Check("requests without a definite response", journal.unanswered),
        Check("wrong responses", journal.wrong),
    ]


def orders(journal: Journal, url: str) -> list[Check]:
    rows = fetch(url, "SELECT id, user_id, status, total FROM orders")
    stored = {row["id"]: row for row in rows}
    told = journal.orders
    different = [
        f"{order.id}: {order.status}, stored {stored[order.id]['status']}"
        for order in told.values()
        if order.id in stored and _differs(order, stored[order.id])
    ]
    return [
        Check("orders lost", [order_id for order_id in told if order_id not in stored]),
        Check("orders without a response", [order_id for order_id in stored if order_id not in told]),
        Check("orders that differ from their response", different),
    ]


def mails(journal: Journal, servers: Servers, injected: Sequence[Injected]) -> list[Check]:
    found = sort((mail for mail in servers.mailbox.mails() if not mail.links()), journal.orders.values())
    twice = [one for one in found.copies if one.same_id]
    return [
        Check("confirmation mails missing", found.missing),
        Check("mails without an order", found.strays),
        Check("mails sent again, same Message-ID", twice, fails=False),
        Check("mails sent again, not documented", unexplained(found.copies, injected)),
    ]


def analytics(orders_url: str, rollups_url: str) -> list[Check]:
    [[placed]], [[counted]] = fetch(orders_url, "SELECT count(*) FROM orders"), fetch(rollups_url, COUNTED)
    return [
        Check("orders missing in the analytics", range(placed - counted)),
        Check("orders counted more than once", range(counted - placed)),
        *(_rollup(name, orders_url, rollups_url) for name in ROLLUPS),
    ]


def notifications(journal: Journal, url: str) -> list[Check]:
    rows = fetch(url, "SELECT user_id, kind, count(*) AS told FROM notifications GROUP BY 1, 2")
    told = Counter({(row["user_id"], row["kind"]): row["told"] for row in rows})
    expected = journal.expected_notifications()
    return [
        Check("notifications missing", list((expected - told).elements())),
        Check("extra notifications", list((told - expected).elements())),
    ]


def persons(journal: Journal, users_url: str, worker_url: str) -> list[Check]:
    stored = {row["id"] for row in fetch(users_url, "SELECT id FROM users")}
    known = {row["user_id"] for row in fetch(worker_url, "SELECT user_id FROM recipients")}
    return [
        Check("accounts lost", [user_id for user_id in journal.persons if user_id not in stored]),
        Check("recipients missing", [user_id for user_id in journal.persons if user_id not in known]),
    ]


def ledger(url: str) -> list[Check]:
    rows = fetch(url, UNFINISHED, SCHEDULE)
    return [
        Check("jobs unfinished", [tuple(row) for row in rows if row["state"] != "dead"]),
        Check("jobs dead", [tuple(row) for row in rows if row["state"] == "dead"]),
    ]


def outboxes(*urls: str) -> Check:
    rows = [row for url in urls for row in fetch(url, "SELECT id, type FROM outbox")]
    return Check("events left in an outbox", [tuple(row) for row in rows])


def queues(servers: Servers) -> list[Check]:
    counts = servers.rabbitmq.messages()
    dead = counts.pop("worker.dead")
    return [
        Check("messages in worker.dead", range(dead)),
        Check("messages left in queues", [item for item in counts.items() if item[1]]),
    ]


def _rollup(name: str, orders_url: str, rollups_url: str) -> Check:
    recount, kept = ROLLUPS[name]
    expected = {tuple(row) for row in fetch(orders_url, recount)}
    found = {tuple(row) for row in fetch(rollups_url, kept)}
    return Check(f"analytics: {name}, rows that differ from a recount", sorted(found ^ expected))


def _differs(order: Any, row: Any) -> bool:
    return (order.status, order.total, order.user_id) != (row["status"], row["total"], row["user_id"])
