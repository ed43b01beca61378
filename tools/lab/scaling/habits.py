"""What is assumed, and not measured: how people behave, and how much of a machine is to be used."""

from dataclasses import dataclass

USERS = (10_000, 100_000, 1_000_000, 10_000_000)
"""People a day."""
DASHBOARDS, ORDERS, STREAM_MINUTES = 20.0, 0.2, 20.0
"""Per user and day: uncached dashboards, orders, and how long a page is open."""
PEAK_HOUR = 0.15
"""The part of a day that falls into its busiest hour."""
REGISTERED = 5.0
"""Accounts for each who comes on a day."""
KEPT_YEARS = 3.0
UTILISATION = 0.5
"""Of what is there, at the peak: with one of three zones lost it is 0.75."""
STREAMS = 10_000
"""Of one gateway: 190 MiB, and 5 % of a core where nothing changes."""
LEAST = 3
"""Replicas of each process, one a zone, from the second step on."""
EVENTS = 2.5
"""Events of an order, with its payment and half of the shippings."""

HOUR_S = 3600.0


@dataclass(frozen=True)
class Peak:
    """Of so many people a day: a second in the busiest hour, and streams that are open then."""

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
