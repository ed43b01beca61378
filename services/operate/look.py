"""Asks every process how it is: `/readyz` for what it depends on, `/metrics` for what it counts. Needs no token."""

import asyncio
from collections.abc import Iterable, Sequence

import httpx

from services.operate.health import NOT_THERE, Seen
from services.operate.places import Process
from shared.samples import read_samples

TIMEOUT_S = 4.0
"""Above what a process gives its own checks."""

LABELS = {
    "worker_queue_messages": "queue",
    "worker_queue_consumers": "queue",
    "worker_jobs_dead": "job",
    "worker_jobs_retrying": "job",
    "outbox_waiting": "",
    "outbox_oldest_age_seconds": "",
}
"""The metrics that are read, each with the label by which its values are summed up."""


async def look(processes: Iterable[Process]) -> Sequence[Seen]:
    """All at once; one that cannot be asked delays the others by no more than the timeout."""
    # Internal addresses: no proxy of the environment is meant for them.
    async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as http:
        return await asyncio.gather(*(_look_at(http, process) for process in processes))


async def _look_at(http: httpx.AsyncClient, process: Process) -> Seen:
    try:
        async with asyncio.timeout(TIMEOUT_S):
            probe, metrics = await asyncio.gather(http.get(f"{process.url}/readyz"), http.get(f"{process.url}/metrics"))
        told = probe.json()
        samples = read_samples(metrics.raise_for_status().text, LABELS)
        return Seen(process, str(told["status"]), dict(told["checks"]), samples)
    except TimeoutError:
        return Seen(process, error=f"no answer within {TIMEOUT_S:g} s")
    except httpx.ConnectError:
        return Seen(process, error=NOT_THERE)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Seen(process, error=f"{type(error).__name__}: {error}".rstrip(": "))
    except (ValueError, KeyError, TypeError) as error:
        return Seen(process, error=f"answers, but not as one of our processes does ({error!r})")
