"""Assumptions: the behaviour of people, and the share of a machine that may be used."""

from dataclasses import dataclass

USERS = (10_000, 100_000, 1_000_000, 10_000_000)
"""People per day."""
DASHBOARDS, ORDERS, STREAM_MINUTES = 20.0, 0.2, 20.0
"""Per user and day: uncached dashboards, orders, and minutes with an open page."""
PEAK_HOUR = 0.15
"""The share of a day's load in its busiest hour."""
REGISTERED = 5.0
"""Accounts per person and day."""
KEPT_YEARS = 3.0
UTILISATION = 0.5
"""The utilisation at the peak; with one of three zones lost, it is 0.75."""
STREAMS = 10_000
"""Streams per gateway: 190 MiB, and 5 % of a core without changes."""
LEAST = 3
"""The minimum number of replicas of each process, one per zone, from the second step on."""
EVENTS = 2.5
"""Events per order, including its payment and half of the shippings."""

HOUR_S = 3600.0


@dataclass(frozen=True)
class Peak:
    """The load of this many people per day: rates per second in the busiest hour, and the open streams."""

    people: int

    @property
    def dashboards(self) -> float:
        return self._hourly(DASHBOARDS) / HOUR_S

    @property
    def orders(self) -> float:
        return self._hourly(ORDERS) / HOUR_S

    @property
    def events(self) -> float:
        return self.orders * EVENTS

    @property
    def streams(self) -> float:
        return self._hourly(STREAM_MINUTES) / 60

    def _hourly(self, daily: float) -> float:
        return self.people * daily * PEAK_HOUR
