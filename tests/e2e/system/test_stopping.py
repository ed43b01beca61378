"""Services that receive SIGTERM during requests."""

import itertools
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from tests.support.stack.running import NO_TLS, PATIENCE_S, Person, Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.e2e

CALLERS = 4
NOT_SENT = "not sent"


class Load:
    """Callers that order and read, with one connection per request; `outcomes` counts the responses."""

    def __init__(self, person: Person) -> None:
        self.outcomes: Counter[str] = Counter()
        self._token = person.http.headers["Authorization"]
        self._url = person.http.base_url
        self._over = threading.Event()
        self._numbers = itertools.count()

    @contextmanager
    def running(self) -> Iterator[None]:
        callers = [threading.Thread(target=self._call) for _ in range(CALLERS)]
        for caller in callers:
            caller.start()
        try:
            yield
        finally:
            self._over.set()
            for caller in callers:
                caller.join()

    def _call(self) -> None:
        while not self._over.is_set():
            outcome = self._outcome(next(self._numbers))
            self.outcomes[outcome] += 1
            self._over.wait(0.05)  # or they would take CPU time from the process that starts

    def _outcome(self, number: int) -> str:
        item = {"sku": "tea", "name": "Green tea", "quantity": 1, "unit_price": 1250}
        try:
            bearer = {"Authorization": self._token}
            with httpx.Client(base_url=self._url, headers=bearer, timeout=PATIENCE_S, verify=NO_TLS) as http:
                if number % 2:
                    answer = http.post("/v1/orders", json={"currency": "EUR", "items": [item]})
                else:
                    answer = http.get("/v1/dashboard")
            return "unknown" if answer.status_code == 504 else _said(answer)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            return NOT_SENT
        except httpx.HTTPError as error:
            return repr(error)


def _said(answer: httpx.Response) -> str:
    return f"{answer.request.method} {answer.status_code}"


def _stop(stack: Stack, name: str) -> None:
    """Send SIGTERM, and wait for the successor."""
    before = stack.pids(name)
    os.kill(before[0], signal.SIGTERM)
    wait_until(lambda: stack.pids(name) not in ([], before) and stack.recovered(), PATIENCE_S)


@pytest.mark.full
def test_a_stop_cuts_no_request(stack: Stack, person: Person) -> None:
    """Every request is answered over several stops: done, or 503 without effect. Only a request that was sent as an
    idle connection closed has an unknown outcome, and the response says so."""
    load = Load(person)
    with load.running():
        for name in ("gateway", "orders", "users"):
            _stop(stack, name)
    assert set(load.outcomes) <= {"POST 201", "POST 503", "GET 200", "GET 503", NOT_SENT, "unknown"}
    placed, unknown = load.outcomes["POST 201"], load.outcomes["unknown"]
    assert placed > 0
    wait_until(lambda: placed <= person.panel("analytics")["orders"] <= placed + unknown, PATIENCE_S)
