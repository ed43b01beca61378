"""What goes through one queue in this process: when it came, and how much of it is not settled yet."""

import time
from collections import Counter
from collections.abc import Sequence
from weakref import WeakKeyDictionary

from aiormq.abc import AbstractChannel

from services.worker.acknowledging import Acknowledger, Arrival


class Flow:
    def __init__(self, acknowledger: Acknowledger) -> None:
        self._acknowledger = acknowledger
        self._unsettled: WeakKeyDictionary[AbstractChannel, int] = WeakKeyDictionary()
        self.delivered = 0
        self.last_delivery = time.monotonic()
        """Or the start."""

    def arrived(self, arrival: Arrival) -> None:
        self.delivered += 1
        self.last_delivery = time.monotonic()
        self._unsettled[arrival.channel] = self.unsettled(arrival.channel) + 1

    @property
    def in_hand(self) -> int:
        return sum(self._unsettled.values())

    def unsettled(self, channel: AbstractChannel) -> int:
        return self._unsettled.get(channel, 0)

    async def acknowledge(self, arrivals: Sequence[Arrival]) -> None:
        await self._acknowledger.acknowledge(arrivals)
        self._settled(arrivals)

    async def give_back(self, arrivals: Sequence[Arrival]) -> None:
        await self._acknowledger.give_back(arrivals)
        self._settled(arrivals)

    def _settled(self, arrivals: Sequence[Arrival]) -> None:
        for channel, count in Counter(arrival.channel for arrival in arrivals).items():
            self._unsettled[channel] = self.unsettled(channel) - count
