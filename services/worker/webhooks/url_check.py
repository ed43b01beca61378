"""Judges the URL that a user names: with what is known now, as each call will be judged again."""

import asyncio
from dataclasses import dataclass

from services.worker.webhooks.address import AddressPolicy, AddressRefused
from services.worker.webhooks.client import CheckedNetwork
from services.worker.webhooks.resolver import Unresolved
from services.worker.webhooks.target import BadTarget, Target


@dataclass(frozen=True, slots=True)
class UrlCheck:
    network: CheckedNetwork
    policy: AddressPolicy
    https_only: bool
    timeout_s: float

    def parse(self, url: str) -> Target:
        """Raises `BadTarget`."""
        return Target.parse(url, https_only=self.https_only, local_names=bool(self.policy.allowed))

    async def check(self, url: str) -> Target:
        """Raises `BadTarget`. A name that cannot be resolved now is taken: it may be, by the time of a call."""
        target = self.parse(url)
        try:
            async with asyncio.timeout(self.timeout_s):
                await self.network.addresses(target.host, target.port)
        except AddressRefused as refused:
            raise BadTarget(f"cannot be called: {refused}") from None
        except (Unresolved, TimeoutError):
            self._check_port(target)
        return target

    def _check_port(self, target: Target) -> None:
        if self.policy.allowed:
            return
        try:
            self.policy.check_port(target.port)
        except AddressRefused as refused:
            raise BadTarget(f"cannot be called: {refused}") from None
