"""Probes and metrics. Liveness checks no dependency; readiness checks each and names the one that fails."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from starlette.responses import JSONResponse, Response

CHECK_TIMEOUT_S = 2.0
READ = ["GET", "HEAD"]

Check = Callable[[], Awaitable[object]]
"""Raises if the dependency cannot be used."""


class Checks:
    """The dependencies of a process: without a needed one it is not ready, without a useful one it is degraded."""

    def __init__(self) -> None:
        self.needed: dict[str, Check] = {}
        self.useful: dict[str, Check] = {}
        self.stuck: str | None = None
        """A fault of this process that only a restart may fix."""

    def say_stuck(self, reason: str | None) -> None:
        self.stuck = reason


probes = APIRouter(include_in_schema=False)


@probes.api_route("/livez", methods=READ)
async def livez(request: Request) -> JSONResponse:
    """Answer 200 while the process responds and has not detected that it is stuck; checks no dependency."""
    checks: Checks = request.app.state.checks
    if checks.stuck:
        return JSONResponse({"status": "stuck", "reason": checks.stuck}, HTTPStatus.SERVICE_UNAVAILABLE)
    return JSONResponse({"status": "ok"})


@probes.api_route("/readyz", methods=READ)
async def readyz(request: Request) -> JSONResponse:
    """Answer 200 if every needed dependency responds, otherwise 503; names each failing one with its error."""
    ready, body = await readiness(request.app.state.checks)
    return JSONResponse(body, HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE)


async def readiness(checks: Checks) -> tuple[bool, dict[str, Any]]:
    """Return whether the process is ready, and its report: `{status, checks}`."""
    every = checks.needed | checks.useful
    found = dict(zip(every, await asyncio.gather(*map(_outcome, every.values())), strict=True))
    failed = {name for name, outcome in found.items() if outcome != "ok"}
    ready = failed.isdisjoint(checks.needed)
    status = "unavailable" if not ready else "degraded" if failed else "ready"
    return ready, {"status": status, "checks": found}


async def _outcome(check: Check) -> str:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await check()
    except TimeoutError:
        return f"no answer within {CHECK_TIMEOUT_S:g} s"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "ok"


metrics = APIRouter(include_in_schema=False)
_END = b"# EOF\n"
"""The content type of OpenMetrics."""


@metrics.api_route("/metrics", methods=READ)
async def read_metrics(request: Request) -> Response:
    """Answer in Prometheus's text format, or in OpenMetrics, which has exemplars, if the client accepts it."""
    encode, media_type = choose_encoder(request.headers.get("Accept", ""))
    parts = []
    for family in REGISTRY.collect():
        parts.append(encode(_Only(family)).removesuffix(_END))
        await asyncio.sleep(0)  # all at once would block the event loop for milliseconds
    if "openmetrics" in media_type:
        parts.append(_END)
    return Response(b"".join(parts), media_type=media_type)


class _Only:
    """A registry with one family, for the encoder."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterable[Metric]:
        return (self._family,)


def internal_app(app: FastAPI) -> FastAPI:
    """The application on the second, internal port of a public process: probes and metrics."""
    internal = FastAPI(openapi_url=None)
    internal.state = app.state
    internal.include_router(probes)
    internal.include_router(metrics)
    return internal
