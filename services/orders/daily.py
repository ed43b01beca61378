"""The orders of each day, in the time zone of the person: every placed order, and the revenue without cancelled ones
(decision 0005). The worker's rollups, which the panel shows, are by UTC day."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import Query
from pydantic import BaseModel, Field

from services.orders.models import Status
from services.orders.search import ID_TOLERANCE
from shared.clock import now
from shared.db.engine import Database
from shared.errors import InvalidInput
from shared.ids import first_id

MAX_DAYS = 366
TIMEOUT_S = 10

# The days begin at the moments `$2`, of which the last is the end: `width_bucket` returns the number of the day from 1.
# Only the columns of the index `orders_panel` are read.
LOAD = f"""
    SELECT width_bucket(created_at, $2::timestamptz[]) - 1 AS place, currency, count(*) AS orders,
        coalesce(sum(total) FILTER (WHERE status <> '{Status.CANCELLED}'), 0) AS revenue
    FROM orders
    WHERE user_id = $1 AND id >= $3 AND created_at >= ($2::timestamptz[])[1] AND created_at < $4
    GROUP BY place, currency
"""  # noqa: S608  a constant

Days = Annotated[int, Query(ge=1, le=MAX_DAYS, description="the number of days, of which today is the last")]
TimeZone = Annotated[
    str, Query(max_length=64, alias="timezone", description="where the days begin, by its IANA name", examples=["UTC"])
]


class Sum(BaseModel):
    orders: int = Field(default=0, description="placed orders, also those that were cancelled later")
    revenue: dict[str, int] = Field(
        default_factory=dict, description="by currency, in minor units, without cancelled orders"
    )


class DaySum(Sum):
    day: date


class PeriodSum(Sum):
    first_day: date = Field(serialization_alias="from")
    last_day: date = Field(serialization_alias="to", description="included")


class DailyOrders(BaseModel):
    """The last days, oldest first, and the sums of as many days before them."""

    timezone: str = Field(examples=["Europe/Berlin"])
    items: list[DaySum]
    total: PeriodSum
    previous: PeriodSum


class Part(NamedTuple):
    """The orders of one currency on one day; `place` counts the days from 0."""

    place: int
    currency: str
    orders: int
    revenue: int


def zone_of(name: str) -> ZoneInfo:
    """Return the time zone with this IANA name. Raises `InvalidInput`."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError) as unknown:  # also the name of a folder, or of a file of another kind
        raise InvalidInput.of("timezone", "is not the IANA name of a time zone") from unknown


def moments_of(last: date, count: int, zone: ZoneInfo) -> list[datetime]:
    """Return when each of `count` days begins there, oldest first, and when the last ends: one more moment than days.
    Days have 23 or 25 hours where clocks change."""
    starts = (last + timedelta(days=back) for back in range(1 - count, 2))
    return [datetime.combine(day, time.min, zone).astimezone(UTC) for day in starts]


def summed(parts: Iterable[Part], last: date, days: int, zone: str) -> DailyOrders:
    """Sum up `2 * days` days, of which `last` is the last one."""
    first = last - timedelta(days=2 * days - 1)
    by_day: dict[int, list[Part]] = defaultdict(list)
    for part in parts:
        by_day[part.place].append(part)
    sums = [DaySum(day=first + timedelta(days=place), **_sum(by_day[place]).__dict__) for place in range(2 * days)]
    return DailyOrders(timezone=zone, items=sums[days:], total=_period(sums[days:]), previous=_period(sums[:days]))


def _sum(parts: Iterable[Part]) -> Sum:
    found = Sum()
    for part in parts:
        found.orders += part.orders
        if part.revenue:
            found.revenue[part.currency] = part.revenue
    return found


def _period(days: Sequence[DaySum]) -> PeriodSum:
    period = PeriodSum(first_day=days[0].day, last_day=days[-1].day, orders=sum(each.orders for each in days))
    for each in days:
        for currency, revenue in each.revenue.items():
            period.revenue[currency] = period.revenue.get(currency, 0) + revenue
    return period


async def read(db: Database, owner: UUID, days: int, timezone: str, today: date | None = None) -> DailyOrders:
    """Return the sums of a user's own orders by day. Raises `InvalidInput` for an unknown time zone."""
    zone = zone_of(timezone)
    last = today or now().astimezone(zone).date()
    moments = moments_of(last, 2 * days, zone)
    earliest = first_id(moments[0], -ID_TOLERANCE)
    rows = await db.fetch(LOAD, owner, moments, earliest, moments[-1], timeout_s=TIMEOUT_S)
    parts = (Part(row["place"], row["currency"], row["orders"], int(row["revenue"])) for row in rows)
    return summed(parts, last, days, timezone)
