"""A simulated user, who orders, pays, cancels and reads the dashboard, and records the responses."""

import asyncio
import random
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from uuid import UUID

import httpx

from tools.lab.chaos.journal import Journal, PlacedOrder
from tools.lab.chaos.requests import NoAnswer, Requests

PASSWORD = "correct horse battery"
Tokens = Callable[[str], list[str]]
"""Return the tokens in the mails to an address."""
LOOK_EVERY_S = 0.5
GOODS = (("tea", "Green tea", 1250), ("mug", "Mug, blue", 1490), ("kettle", "Kettle, 1 l", 4900))


class Person:
    def __init__(self, name: str, requests: Requests, journal: Journal, chance: random.Random, tokens: Tokens) -> None:
        self.name = name
        self.email = f"{name}@example.com"
        self._requests = requests
        self._journal = journal
        self._chance = chance
        self._tokens = tokens
        self._headers: dict[str, str] = {}
        self._id = UUID(int=0)
        self._orders = 0

    async def arrive(self) -> None:
        body = {"email": self.email, "name": self.name, "password": PASSWORD}
        answer = await self._requests.until_definite("register", "POST", "/v1/users", json=body)
        # A repeated registration may find the address taken by its own first attempt.
        self._expect("register", answer, HTTPStatus.CREATED, HTTPStatus.CONFLICT)
        await self._sign_in()
        me = await self._ask("profile", "GET", "/v1/me")
        # Earlier versions, and the baseline, verify no addresses.
        if me.json().get("email_verified") is False:
            me = await self._verify()
        self._id = UUID(me.json()["id"])
        self._journal.persons[self._id] = self.email

    async def _verify(self) -> httpx.Response:
        """Open the link of the mail, and return the profile. This ends the session."""
        while not (tokens := await asyncio.to_thread(self._tokens, self.email)):
            if time.monotonic() > self._requests.give_up_at:
                self._journal.unanswered.append(f"no mail with a link to {self.email}")
                raise NoAnswer("verify")
            await asyncio.sleep(LOOK_EVERY_S)
        body = {"token": tokens[-1]}
        answer = await self._requests.until_definite("verify", "POST", "/v1/email-verifications", json=body)
        # A repeated use of a link may find that its own first attempt has used it.
        self._expect("verify", answer, HTTPStatus.NO_CONTENT, HTTPStatus.UNPROCESSABLE_ENTITY)
        await self._sign_in()
        me = await self._ask("profile", "GET", "/v1/me")
        if not me.json()["email_verified"]:
            self._journal.wrong.append(f"{self.email} is not verified")
        return me

    @property
    def id(self) -> UUID:
        return self._id

    @property
    def headers(self) -> dict[str, str]:
        return dict(self._headers)

    @property
    def has_arrived(self) -> bool:
        return self._id in self._journal.persons

    async def act(self) -> None:
        """Place one order and continue it, or read the dashboard."""
        if self._chance.random() < 0.2:
            await self._requests.once("dashboard", "GET", "/v1/dashboard", headers=self._headers)
            return
        order = await self.place()
        if order is None:
            return
        if self._chance.random() < 0.5:
            await self._change(order, "pay", "paid")
        if self._chance.random() < 0.2:
            await self._change(order, "cancel", "cancelled")

    async def dashboard(self) -> Any:
        return (await self._ask("dashboard", "GET", "/v1/dashboard")).json()

    async def place(self) -> PlacedOrder | None:
        self._orders += 1
        key = f"{self.name}-{self._orders}"
        body = {"currency": self._chance.choice(("EUR", "EUR", "USD")), "items": self._items()}
        placed = await self._post_order(key, body)
        if placed and self._chance.random() < 0.1:
            again = await self._post_order(key, body)
            if again and again.id != placed.id:
                self._journal.wrong.append(f"key {key} placed {placed.id} and {again.id}")
        return placed

    async def _post_order(self, key: str, body: dict[str, Any]) -> PlacedOrder | None:
        answer = await self._ask("place", "POST", "/v1/orders", json=body, more={"Idempotency-Key": key})
        if not self._expect("place", answer, HTTPStatus.CREATED):
            return None
        told = answer.json()
        order = PlacedOrder(UUID(told["id"]), self._id, self.email, key, told["total"])
        total = sum(item["quantity"] * item["unit_price"] for item in body["items"])
        if order.total != total:
            self._journal.wrong.append(f"order {order.id}: total {order.total} instead of {total}")
        return self._journal.orders.setdefault(order.id, order)

    async def _change(self, order: PlacedOrder, verb: str, status: str) -> None:
        answer = await self._ask(verb, "POST", f"/v1/orders/{order.id}/{verb}")
        if self._expect(verb, answer, HTTPStatus.OK):
            order.status = status
            order.changes.append(status)

    def _items(self) -> list[dict[str, Any]]:
        return [
            {"sku": sku, "name": name, "quantity": self._chance.randint(1, 3), "unit_price": price}
            for sku, name, price in self._chance.sample(GOODS, self._chance.randint(1, len(GOODS)))
        ]

    async def _ask(
        self, what: str, method: str, path: str, more: dict[str, str] | None = None, **options: Any
    ) -> httpx.Response:
        """Send a request as the signed-in person; sign in again if the token has expired."""
        while True:
            headers = self._headers | (more or {})
            answer = await self._requests.until_definite(what, method, path, headers=headers, **options)
            if answer.status_code != HTTPStatus.UNAUTHORIZED:
                return answer
            await self._sign_in()

    async def _sign_in(self) -> None:
        form = {"username": self.email, "password": PASSWORD}
        answer = await self._requests.until_definite("sign in", "POST", "/v1/tokens", data=form)
        if self._expect("sign in", answer, HTTPStatus.OK):
            self._headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}

    def _expect(self, what: str, answer: httpx.Response, *allowed: int) -> bool:
        if answer.status_code in allowed:
            return True
        self._journal.wrong.append(f"{what} of {self.name}: {answer.status_code} {answer.text}")
        return False
