"""Known faults, put back on purpose: a simulation must find each of them.

They exist only here. Each replaces functions or statements of the product in the process of one simulation; the product
has no switch for them. Each names the promise that it breaks.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import uuid4


@dataclass(frozen=True)
class Mutation:
    """A fault. `promises` are those whose checks may find it; `runs` is the number of runs within which one does."""

    name: str
    says: str
    promises: tuple[str, ...]
    runs: int
    apply: Callable[[], None]


def _acknowledge_first() -> None:
    from services.worker.broker.message_processor import MessageProcessor

    settle: Any = MessageProcessor.settle

    async def first(self: Any, name: str, received: Any, stats: Any, work: Any, holds: Any = lambda _: True) -> None:
        await stats.acknowledge(received)

        class Settled:
            async def acknowledge(self, _: object) -> None: ...

            async def give_back(self, _: object) -> None: ...

        await settle(self, name, received, Settled(), work, holds)

    MessageProcessor.settle = first  # type: ignore[method-assign]


def _delete_before_the_confirm() -> None:
    from shared.outbox.relay import Relay

    send = Relay._send
    sending = set()

    async def at_once(self: Relay, publisher: Any, row: Any, traceparent: str | None) -> None:
        task = asyncio.create_task(send(self, publisher, row, traceparent))
        sending.add(task)
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        await asyncio.sleep(0)

    Relay._send = at_once  # type: ignore[method-assign]


def _do_not_check_queues() -> None:
    from shared.outbox.publisher import Receivers

    async def nothing(*_: object) -> None: ...

    Receivers.check = nothing  # type: ignore[method-assign,assignment]
    Receivers.bind = nothing  # type: ignore[method-assign,assignment]


def _claim_again() -> None:
    from services.worker.ledger import ledger

    again = "ON CONFLICT (job, event_id) DO UPDATE SET updated_at = now() RETURNING"
    for name in ("CLAIM", "CLAIM_MANY"):
        setattr(ledger, name, getattr(ledger, name).replace("ON CONFLICT DO NOTHING RETURNING", again))


def _forget_the_next_attempt() -> None:
    from services.worker.ledger import ledger

    after = "clock_timestamp() + $8 * interval '1 second'"
    fail = vars(ledger)["FAIL"]
    never = after.replace("$8", "nullif($8::float8, $8::float8)")
    vars(ledger)["FAIL"] = fail.replace(after, never)


def _record_mails_first() -> None:
    from services.worker.ledger import external_effects

    external_effects.LEASE = external_effects.LEASE.replace("state = 'retrying'", "state = 'done'")


def _requested_run_replaces_tick() -> None:
    from services.worker.ledger import schedules

    schedules.IS_WAITING = (
        schedules.IS_WAITING.replace("AND NOT EXISTS (", "AND NOT EXISTS (SELECT 1 WHERE false AND EXISTS (") + ")"
    )


def _tick_for_each_worker() -> None:
    from services.worker.ledger import schedules

    schedules.tick_id = lambda name, at: uuid4()  # noqa: ARG005
    schedules.FIND_DUE = schedules.FIND_DUE.replace("FOR UPDATE SKIP LOCKED", "")


def _suppress_what_has_started() -> None:
    from services.worker.ledger import keys

    keys.FIND_STARTED = keys.FIND_STARTED.replace("ORDER BY started_at", "AND false ORDER BY started_at")
    keys.FIND_WAITING = keys.FIND_WAITING.replace(
        "AND started_at IS NULL AND state IN ('retrying', 'scheduled')",
        "AND state IN ('retrying', 'scheduled', 'done')",
    ).replace(
        "SELECT event_id, next_attempt_at", "SELECT event_id, coalesce(next_attempt_at, updated_at) AS next_attempt_at"
    )


def _keep_late_answers() -> None:
    from services.gateway.dashboard import cache
    from services.gateway.upstream.single_flight import ReadMark

    put = cache.PanelCache.put

    def late(self: Any, mark: ReadMark, panels: Any) -> int:
        known = self._users.get(mark.user_id, {})
        newest = max([entry[1] for entry in known.values()], default=mark.at)
        return put(self, ReadMark(mark.user_id, max(mark.at, newest), self._changes), panels)

    cache.PanelCache.put = late  # type: ignore[method-assign]


def _share_the_first_deadline() -> None:
    from services.gateway.upstream.batching import Batcher
    from services.gateway.upstream.single_flight import InFlightRead

    def serves(self: Any, panel: Any, now: float, budget_s: float) -> bool:  # noqa: ARG001
        return panel.runner not in self.sent or now < self.sent[panel.runner][1]

    InFlightRead.serves = serves  # type: ignore[method-assign]
    Batcher.deadline = lambda self, call: call.sent_deadline  # type: ignore[method-assign]  # noqa: ARG005
    Batcher._was_cut_short = lambda *_: False  # type: ignore[method-assign]


def _join_older_reads() -> None:
    from services.gateway.live.invalidation import Invalidation

    Invalidation.changed_unreadably = lambda self: self._cache.clear("unreadable")  # type: ignore[method-assign]


def _write_older_copies() -> None:
    from services.gateway.dashboard import stale_store
    from tools.lab.simulation.resp import scripts

    stale_store.WRITE = stale_store.WRITE.replace("if before and asked < before and", "if false and")
    scripts.SCRIPTS[stale_store.WRITE.encode()] = partial(scripts.write_panels, compares=False)


def _probe_with_readers() -> None:
    from services.gateway.upstream.circuit_breaker import CircuitBreaker
    from services.gateway.upstream.health import Probing

    admit = CircuitBreaker.admit
    CircuitBreaker.admit = lambda self, *, probe=True: admit(self, probe=True)  # type: ignore[method-assign]  # noqa: ARG005
    Probing.wake = lambda self: None  # type: ignore[method-assign]  # noqa: ARG005


MUTATIONS = {
    each.name: each
    for each in (
        Mutation(
            "ack-first",
            "a message is acknowledged before its job is recorded",
            ("lost", "exactly once", "mail"),
            60,
            _acknowledge_first,
        ),
        Mutation(
            "delete-first",
            "the relay deletes rows without waiting for the broker's confirm",
            ("lost", "exactly once", "mail"),
            60,
            _delete_before_the_confirm,
        ),
        Mutation(
            "no-queue-check",
            "an event leaves the outbox although one of its queues was deleted",
            ("lost", "exactly once", "mail"),
            200,
            _do_not_check_queues,
        ),
        Mutation(
            "claim-again", "the ledger lets an event be claimed twice", ("exactly once", "mail"), 60, _claim_again
        ),
        Mutation(
            "no-next-attempt", "a failed job has no next attempt", ("unfinished", "mail"), 20, _forget_the_next_attempt
        ),
        Mutation(
            "mail-first",
            "a mail is recorded as done before it is sent",
            ("mail", "unfinished"),
            200,
            _record_mails_first,
        ),
        Mutation(
            "run-replaces-tick", "a requested run replaces the next tick", ("ticks",), 60, _requested_run_replaces_tick
        ),
        Mutation("tick-twice", "each worker adds a tick of its own", ("ticks",), 60, _tick_for_each_worker),
        Mutation(
            "key-started",
            "a task is suppressed by one of the same key that has started already",
            ("keys",),
            60,
            _suppress_what_has_started,
        ),
        Mutation(
            "late-answer",
            "an answer from before a change is kept as new",
            ("fresh", "goes back"),
            200,
            _keep_late_answers,
        ),
        Mutation(
            "first-deadline",
            "a reader who joins a read waits no longer than the one who began it",
            ("timeout",),
            60,
            _share_the_first_deadline,
        ),
        Mutation(
            "join-older",
            "after an unreadable change, readers still join reads that began before it",
            ("fresh", "goes back"),
            200,
            _join_older_reads,
        ),
        Mutation(
            "older-copy",
            "an earlier read replaces a later one as the last known good",
            ("older copy",),
            60,
            _write_older_copies,
        ),
        Mutation(
            "readers-probe",
            "readers carry the probes of an open breaker, and wait for them",
            ("suspended",),
            60,
            _probe_with_readers,
        ),
    )
}
