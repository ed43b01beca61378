"""Requests of impatient clients: a request that failed or timed out is repeated until the response is definite."""

import asyncio
import random
import time
from http import HTTPStatus
from itertools import cycle
from typing import Any

import httpx

from tools.lab.chaos.journal import Journal

PATIENCE_S = 5.0
"""Less than the system's own timeouts, so that repetitions overlap with the first attempt."""
AGAIN = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}


class NoAnswer(Exception):
    """There was no definite response, even after the last fault."""


class Requests:
    def __init__(self, urls: list[str], journal: Journal) -> None:
        self._urls = cycle(urls)
        self._journal = journal
        self._http = httpx.AsyncClient(timeout=PATIENCE_S, limits=httpx.Limits(max_connections=200))
        self.give_up_at = float("inf")

    async def close(self) -> None:
        await self._http.aclose()

    async def once(self, what: str, method: str, path: str, **more: Any) -> httpx.Response | None:
        """Send the request once; return None if there was no response."""
        try:
            answer = await self._http.request(method, next(self._urls) + path, **more)
        except httpx.HTTPError as error:
            self._journal.requests[what, _kind(error)] += 1
            return None
        self._journal.requests[what, _outcome(answer)] += 1
        return answer

    async def until_definite(self, what: str, method: str, path: str, **more: Any) -> httpx.Response:
        """Repeat the request until the response is definite. Raises `NoAnswer`."""
        while True:
            answer = await self.once(what, method, path, **more)
            if answer is not None and is_definite(answer):
                return answer
            if time.monotonic() > self.give_up_at:
                self._journal.unanswered.append(f"{what}: {answer and answer.text}")
                raise NoAnswer(what)
            await asyncio.sleep(random.uniform(0.2, 1.0))


def is_definite(answer: httpx.Response) -> bool:
    if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR or answer.status_code in AGAIN:
        return False
    return answer.status_code != HTTPStatus.CONFLICT or answer.json().get("code") != "request_in_flight"


def _outcome(answer: httpx.Response) -> str:
    if answer.is_success:
        return str(answer.status_code)
    is_problem = answer.headers.get("Content-Type") == "application/problem+json"
    return f"{answer.status_code} {answer.json()['code']}" if is_problem else str(answer.status_code)


def _kind(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "too slow"
    return "no connection" if isinstance(error, httpx.ConnectError) else "cut off"
