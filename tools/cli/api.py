"""The gateway's API for operators: its address, and a client.

OperatorError
├── Unreachable   the gateway does not respond
├── Refused       the gateway refuses the request, with a reason
├── CutOff        a download ended early
└── NotSignedIn   no credentials were given
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

import httpx

GATEWAY = "http://127.0.0.1:8000"
TIMEOUT_S = 30.0
UPLOAD_TIMEOUT_S = 900.0
JOBS = "/v1/admin/jobs"
SCHEDULES = "/v1/admin/schedules"
IMPORTS = "/v1/imports"
REPORTS = "/v1/reports"
MAX_PAGE = 100
MAX_BATCH = 1000

Json = dict[str, Any]


class OperatorError(Exception):
    pass


class Unreachable(OperatorError):
    pass


class Refused(OperatorError):
    pass


class CutOff(OperatorError):
    pass


class NotSignedIn(OperatorError):
    pass


@dataclass(frozen=True)
class Credentials:
    """An access token, or an account to sign in to."""

    token: str | None = None
    email: str | None = None
    password: str | None = None


class Api:
    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    @classmethod
    @contextmanager
    def signed_in(cls, url: str, credentials: Credentials) -> Iterator[Self]:
        """A client that signed in with a password signs out at the end."""
        with httpx.Client(base_url=url, timeout=TIMEOUT_S) as http:
            api = cls(http)
            http.headers["Authorization"] = f"Bearer {credentials.token or api._sign_in(credentials)}"
            try:
                yield api
            finally:
                if not credentials.token:
                    with suppress(httpx.HTTPError):
                        http.delete("/v1/tokens")

    def jobs(self, most: int, **filters: str | None) -> list[Json]:
        """Return the newest jobs, page by page, at most `most`."""
        query: dict[str, Any] = {name: value for name, value in filters.items() if value is not None}
        found: list[Json] = []
        while len(found) < most:
            page = self._ask("GET", JOBS, params=query | {"limit": min(MAX_PAGE, most - len(found))})
            found += page["items"]
            if page["next_cursor"] is None:
                break
            query["cursor"] = page["next_cursor"]
        return found

    def groups(self) -> list[Json]:
        found: list[Json] = self._ask("GET", f"{JOBS}/groups")["items"]
        return found

    def job(self, name: str, event_id: str) -> Json:
        return self._ask("GET", f"{JOBS}/{name}/{event_id}")

    def change_job(self, name: str, event_id: str, action: str) -> None:
        """Retry or cancel one job."""
        self._send("POST", f"{JOBS}/{name}/{event_id}/{action}")

    def switch_job(self, name: str, action: str) -> None:
        """Pause or resume all jobs of a name."""
        self._send("POST", f"{JOBS}/{name}/{action}")

    def schedules(self) -> list[Json]:
        found: list[Json] = self._ask("GET", SCHEDULES)["items"]
        return found

    def run_schedule(self, name: str) -> Json:
        """Run a schedule's job now, and return its job and event."""
        return self._ask("POST", f"{SCHEDULES}/{name}/run")

    def switch_schedule(self, name: str, action: str) -> None:
        """Pause or resume a schedule."""
        self._send("POST", f"{SCHEDULES}/{name}/{action}")

    def change_jobs(self, action: str, order: Mapping[str, Any]) -> Json:
        """Replay, discard, retry or cancel the jobs that match an order, and count them."""
        return self._ask("POST", f"{JOBS}/{action}", json=order)

    def upload(self, name: str, file: BinaryIO) -> Json:
        """Upload a file of orders for import, and return its progress."""
        return self._ask("POST", IMPORTS, files={"file": (name, file, "text/csv")}, timeout=UPLOAD_TIMEOUT_S)

    def imported(self, import_id: str) -> Json:
        """Return the progress of an import."""
        return self._ask("GET", f"{IMPORTS}/{import_id}")

    def import_errors(self, import_id: str) -> Iterator[bytes]:
        """Return the CSV file of the rows that could not be imported."""
        try:
            with self._http.stream("GET", f"{IMPORTS}/{import_id}/errors") as answer:
                if answer.is_error:
                    raise Refused(f"the errors cannot be read ({answer.status_code})")
                yield from answer.iter_bytes()
        except httpx.HTTPError as error:
            raise Unreachable(f"{self._http.base_url} does not answer: {error or type(error).__name__}") from error

    def order_report(self, wanted: Mapping[str, str]) -> Json:
        return self._ask("POST", REPORTS, json=wanted)

    @contextmanager
    def report(self, report_id: str, form: str) -> Iterator[httpx.Response]:
        """Return the head of a report's download; the caller reads the rest."""
        path, asked = f"{REPORTS}/{report_id}/download", {"Accept-Encoding": "gzip"}
        try:
            with self._http.stream("GET", path, params={"form": form}, headers=asked, timeout=None) as answer:
                if answer.is_error:
                    answer.read()
                    raise _refused(answer)
                yield answer
        except httpx.RequestError as error:
            raise CutOff(f"the download broke off: {error or type(error).__name__}") from error

    def _sign_in(self, credentials: Credentials) -> str:
        if not credentials.email or not credentials.password:
            self._check_reachable()
            raise NotSignedIn("no credentials: pass --email and --password, or set DASHBOARD_TOKEN")
        form = {"username": credentials.email, "password": credentials.password}
        return str(self._ask("POST", "/v1/tokens", data=form)["access_token"])

    def _check_reachable(self) -> None:
        """Check that the gateway responds. Raises `Unreachable`."""
        try:
            self._http.get("/livez")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> Unreachable:
        if isinstance(error, httpx.ConnectError):
            advice = "start it with `dashboard up`, or pass its address with --url or DASHBOARD_URL"
            return Unreachable(f"nothing answers at {self._http.base_url}: {advice}")
        return Unreachable(f"{self._http.base_url} does not answer: {error or type(error).__name__}")

    def _ask(self, method: str, path: str, **content: Any) -> Json:
        return _read(self._send(method, path, **content))

    def _send(self, method: str, path: str, **content: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **content)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._unreachable(error) from error
        if answer.is_error:
            raise _refused(answer)
        return answer


def _refused(answer: httpx.Response) -> Refused:
    body = _read(answer)
    return Refused(f"{body.get('detail') or body.get('title')} ({answer.status_code})")


def _read(answer: httpx.Response) -> Json:
    """Return the JSON body. Raises `Refused`."""
    try:
        body: Json = answer.json()
    except ValueError as error:
        raise Refused(f"{answer.url} answered {answer.status_code}, but not in JSON") from error
    return body


def local_stack(data_dir: Path) -> Mapping[str, Any]:
    """Return the state file of the stack on this machine; empty if none runs."""
    try:
        told = json.loads((data_dir / "stack.json").read_text())
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def gateway_url(given: str | None, stack: Mapping[str, Any]) -> str:
    """Return the public address."""
    return (given or stack.get("gateway", {}).get("url") or GATEWAY).rstrip("/")


@dataclass(frozen=True)
class Progress:
    """`expected` is the number of jobs that will be changed, unless another operator changes them meanwhile."""

    matched: int
    expected: int
    done: int


def in_batches(
    send: Callable[[dict[str, Any]], Mapping[str, Any]],
    order: Mapping[str, Any],
    counted: str,
    limit: int | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Progress]:
    """Change many jobs in small batches, to show the progress.

    It ends when all jobs that matched at the beginning, or `limit` of them, are changed. `counted` is the field of a
    response with the number of changed jobs. A job that dies again meanwhile is not changed twice: the command applies
    to jobs that have not changed since the beginning.
    """
    found = send({**order, "dry_run": True})
    expected = found["matched"] if limit is None else min(limit, found["matched"])
    progress = Progress(found["matched"], expected, 0)
    yield progress
    began = clock()
    while progress.done < expected and not order.get("dry_run"):
        batch = {**order, "as_of": found["as_of"], "limit": min(MAX_BATCH, expected - progress.done)}
        if rate := order.get("rate_per_s"):
            batch["delay_s"] = max(0.0, progress.done / rate - (clock() - began))
        changed = send(batch)[counted]
        if not changed:
            break
        progress = Progress(found["matched"], expected, progress.done + changed)
        yield progress
