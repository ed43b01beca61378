"""Folding order events."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from pydantic_extra_types.currency_code import Currency

from services.orders.import_rows import ImportedOrder
from services.orders.imports import event_of
from services.worker.analytics.rollups import Deltas, Sum, fold, utc_day
from shared.contracts.events import Event, OrderCancelled, OrderChanged, OrderCreated, OrderPaid, OrderShipped

START = datetime(2026, 1, 1, tzinfo=UTC)
USERS = [UUID(int=number) for number in (1, 2)]
HISTORIES: list[list[type[OrderChanged]]] = [
    [],
    [OrderPaid],
    [OrderPaid, OrderShipped],
    [OrderCancelled],
    [OrderPaid, OrderCancelled],
]


@st.composite
def order_histories(draw: st.DrawFn) -> list[Event]:
    """One order from its creation on, as its service tells it."""
    order: dict[str, Any] = {
        "user_id": draw(st.sampled_from(USERS)),
        "order_id": draw(st.uuids()),
        "currency": draw(st.sampled_from(["EUR", "JPY"])),
        "total": draw(st.integers(0, 10**9)),
        "created_at": START + draw(st.timedeltas(timedelta(0), timedelta(days=3))),
    }
    told: list[Event] = [OrderCreated(**order, item_count=draw(st.integers(1, 99)), items=())]
    status = "created"
    for kind in draw(st.sampled_from(HISTORIES)):
        told.append(kind(**order, previous_status=status, changed_at=order["created_at"]))
        status = kind.type.removeprefix("order.")
    return told


histories = st.lists(order_histories(), max_size=8)


def plain(deltas: Deltas) -> list[dict[Any, Any]]:
    """What remains to be seen of sums: zeros are as good as nothing."""
    nothing = (0, Sum())
    tables: list[dict[Any, Any]] = [dict(deltas.users), deltas.statuses, deltas.currencies, deltas.days]
    return [{key: value for key, value in table.items() if value not in nothing} for table in tables]


@given(histories, st.randoms(use_true_random=False))
def test_the_order_of_events_does_not_matter(orders: list[list[Event]], random: Any) -> None:
    """Any order of the events folds to the same sums."""
    told = [event for order in orders for event in order]
    shuffled = random.sample(told, len(told))
    assert plain(fold(told)) == plain(fold(shuffled))


@given(histories, st.data())
def test_batches_add_up(orders: list[list[Event]], data: st.DataObject) -> None:
    """However the events are cut into batches, the sums of the batches are the sums of the whole."""
    told = [event for order in orders for event in order]
    cut = data.draw(st.integers(0, len(told)))
    whole, parts = fold(told), [fold(told[:cut]), fold(told[cut:])]
    statuses: Counter[tuple[UUID, str]] = Counter()
    revenue: Counter[tuple[UUID, date, str]] = Counter()
    for part in parts:
        for key, orders_now in part.statuses.items():
            statuses[key] += orders_now
        for day, of_day in part.days.items():
            revenue[day] += of_day.revenue
    assert {k: v for k, v in statuses.items() if v} == {k: v for k, v in whole.statuses.items() if v}
    assert {k: v for k, v in revenue.items() if v} == {k: s.revenue for k, s in whole.days.items() if s.revenue}


@given(histories)
def test_the_sums_are_those_of_the_orders(orders: list[list[Event]]) -> None:
    """Orders and items count all placed; revenue those not cancelled; each order has one status."""
    deltas = fold(event for order in orders for event in order)
    for user in USERS:
        own = [order for order in orders if order[0].user_id == user]
        created = [order[0] for order in own if isinstance(order[0], OrderCreated)]
        kept = [order[0] for order in own if not isinstance(order[-1], OrderCancelled)]
        assert deltas.users[user].orders == len(own)
        assert deltas.users[user].items == sum(order.item_count for order in created)
        assert deltas.users[user].last_order_at == max((order.created_at for order in created), default=None)
        for currency in ("EUR", "JPY"):
            totals = [order.total for order in kept if isinstance(order, OrderCreated) and order.currency == currency]
            assert deltas.currencies[user, currency] == Sum(len(totals), sum(totals))
        last = Counter(order[-1].type.removeprefix("order.") for order in own)
        assert {s: n for (u, s), n in deltas.statuses.items() if u == user and n} == last


def test_a_day_is_one_of_utc() -> None:
    """A time of another zone counts on the day that it is in UTC."""
    moment = datetime(2026, 1, 1, 23, 30, tzinfo=timezone(timedelta(hours=-2)))
    assert utc_day(moment) == date(2026, 1, 2)


@st.composite
def imported_orders(draw: st.DrawFn) -> ImportedOrder:
    currency = Currency(draw(st.sampled_from(["EUR", "JPY"])))
    zone = timezone(timedelta(hours=draw(st.integers(-12, 14))))
    moment = (START + draw(st.timedeltas(timedelta(0), timedelta(days=3)))).astimezone(zone)
    return ImportedOrder("r", currency, "s", "n", draw(st.integers(1, 99)), draw(st.integers(0, 10**9)), moment)


@given(st.lists(imported_orders(), min_size=1, max_size=8))
def test_an_import_counts_as_its_orders_would_one_by_one(orders: list[ImportedOrder]) -> None:
    """One event with sums folds to the same as an `order.created` for each."""
    user_id = USERS[0]
    one_by_one = (
        OrderCreated(
            user_id=user_id,
            order_id=UUID(int=1),
            currency=order.currency,
            total=order.total,
            item_count=order.quantity,
            items=(),
            created_at=order.ordered_at,
        )
        for order in orders
    )
    assert plain(fold([event_of(user_id, UUID(int=2), orders)])) == plain(fold(one_by_one))
