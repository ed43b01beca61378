"""What must be true of every run, whatever happened in it. Pure functions over what was seen.

- Each event takes effect exactly once in each of its jobs; a mail is sent at least once, with one Message-ID.
- Of all tasks with one key, one that starts after a task was committed has run.
- Each tick of a schedule runs once.
- No panel marked fresh is older than a change that its gateway knew of, or than what the same gateway showed before.
- No last known good panel is replaced by an earlier one.
- Every reader gets its response within its budget, and no panel times out before its own time is over.
- When faults end, everything is finished soon.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

ANSWER_SLACK_S = 0.15
"""How much longer than its budget a read may take: the gateway's timers have a grain, and its process may be busy."""
EARLY_SHARE = 0.8
"""A service may give up shortly before its deadline."""
QUICK_S = 0.05
"""A reader waits no longer than this for a panel while calls to its service are suspended."""
STATUS_RANKS = {"created": 0, "paid": 1, "shipped": 2, "cancelled": 3}
RECENT = 20
"""How many orders and notifications a panel shows."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken promise. `promise` is its short name."""

    promise: str
    text: str

    def __str__(self) -> str:
        return f"{self.promise}: {self.text}"


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event or task that was committed. `at` is the time of its transaction, in epoch seconds."""

    id: str
    type: str
    user_id: str
    at: float
    order_id: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Effect:
    """An effect of a counted task; `at` is when it happened."""

    event_id: str
    key: str | None
    at: float


@dataclass(frozen=True, slots=True)
class Read:
    """A dashboard that was read. `panels` are status, version and error code by name. `known` are the versions that the
    gateway had to show at the start; `suspended` are panels whose service was not called during all of it."""

    gateway: str
    user: str
    began: float
    ended: float
    budget_s: float
    panels: Mapping[str, tuple[str, Any, str | None]]
    seconds: Mapping[str, float]
    timeouts_s: Mapping[str, float]
    known: Mapping[str, Any]
    suspended: frozenset[str] = frozenset()
    was_disturbed: bool = False
    """Its process was stopped meanwhile: nothing can be said about its time."""


@dataclass
class Outcome:
    """What was seen in a run and after it. `jobs_of` are the jobs by type of event; `excused` are pairs of job and
    event that a deleted queue took along."""

    jobs_of: Mapping[str, Sequence[str]] = field(default_factory=dict)
    events: Sequence[EventRow] = ()
    ledger: Mapping[tuple[str, str], str] = field(default_factory=dict)
    excused: frozenset[tuple[str, str]] = frozenset()
    effects: Sequence[Effect] = ()
    notifications: Sequence[str] = ()
    rollups: Mapping[str, int] = field(default_factory=dict)
    orders: Mapping[str, int] = field(default_factory=dict)
    mails: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By order, the Message-IDs of the mails that confirm it."""
    doubtful_mails: frozenset[str] = frozenset()
    """Events whose mail was given up because its server had left it uncertain too often."""
    ticks: Sequence[str] = ()
    expected_ticks: Sequence[str] = ()
    reads: Sequence[Read] = ()
    older_copies: Sequence[str] = ()
    """Last known good panels that have replaced later ones."""
    unfinished: Sequence[str] = ()
    errors: Sequence[str] = ()
    """What callbacks and tasks raised and no code handled. It is shown, and breaks no promise by itself."""


def check(outcome: Outcome) -> list[Violation]:
    """Return everything that is wrong."""
    checks = (
        unfinished,
        effects,
        keys,
        notifications,
        rollups,
        mails,
        ticks,
        freshness,
        monotony,
        copies,
        deadlines,
    )
    return [violation for each in checks for violation in each(outcome)]


def unfinished(outcome: Outcome) -> Iterator[Violation]:
    """Everything must have ended."""
    for text in outcome.unfinished:
        yield Violation("unfinished", text)


def effects(outcome: Outcome) -> Iterator[Violation]:
    """Each event has a row in the ledger for each of its jobs, done or suppressed, and each counted task one effect."""
    counts = Counter(effect.event_id for effect in outcome.effects)
    for event in outcome.events:
        for job in outcome.jobs_of.get(event.type, ()):
            state = outcome.ledger.get((job, event.id))
            is_excused = (job, event.id) in outcome.excused
            if state is None:
                if not is_excused:
                    yield Violation("lost", f"{job} has never seen {event.type} {event.id}")
            elif state not in ("done", "suppressed") and not (job == "email" and event.id in outcome.doubtful_mails):
                yield Violation("unfinished", f"{job} of {event.type} {event.id} is {state}")
            elif job == "simulated":
                wanted = 1 if state == "done" else 0
                if counts[event.id] != wanted:
                    yield Violation("exactly once", f"{event.id} is {state} and has {counts[event.id]} effects")


def keys(outcome: Outcome) -> Iterator[Violation]:
    """A task with a key is followed by an effect of that key."""
    last: dict[str, float] = {}
    for effect in outcome.effects:
        if effect.key is not None:
            last[effect.key] = max(last.get(effect.key, 0.0), effect.at)
    for event in outcome.events:
        if event.key is None or ("simulated", event.id) in outcome.excused:
            continue
        if last.get(event.key, 0.0) < event.at:
            yield Violation("keys", f"key {event.key!r}: nothing ran after {event.id} was committed")


def notifications(outcome: Outcome) -> Iterator[Violation]:
    """Each event of that job has one notification."""
    counts = Counter(outcome.notifications)
    for event in outcome.events:
        if "notifications" in outcome.jobs_of.get(event.type, ()):
            count = counts[event.id]
            if count > 1 or (count == 0 and ("notifications", event.id) not in outcome.excused):
                yield Violation("exactly once", f"{event.type} {event.id} has {count} notifications")


def rollups(outcome: Outcome) -> Iterator[Violation]:
    """The totals count each order once."""
    excused = Counter(
        event.user_id
        for event in outcome.events
        if event.type == "order.created" and ("analytics", event.id) in outcome.excused
    )
    for user, count in outcome.orders.items():
        counted = outcome.rollups.get(user, 0)
        if not count - excused[user] <= counted <= count:
            yield Violation("exactly once", f"user {user} has {count} orders, and analytics counts {counted}")


def mails(outcome: Outcome) -> Iterator[Violation]:
    """Each order is confirmed by a mail; several copies have one Message-ID."""
    for event in outcome.events:
        if event.type != "order.created" or event.order_id is None:
            continue
        sent = outcome.mails.get(event.order_id, ())
        if len(set(sent)) > 1:
            yield Violation("mail", f"order {event.order_id} has mails with {len(set(sent))} Message-IDs")
        elif not sent and ("email", event.id) not in outcome.excused and event.id not in outcome.doubtful_mails:
            yield Violation("mail", f"order {event.order_id} has no mail")


def ticks(outcome: Outcome) -> Iterator[Violation]:
    """No tick runs twice, and those of calm times run."""
    counts = Counter(outcome.ticks)
    for tick, count in counts.items():
        if count > 1:
            yield Violation("ticks", f"the tick of {tick} ran {count} times")
    for tick in outcome.expected_ticks:
        if tick not in counts:
            yield Violation("ticks", f"the tick of {tick} did not run")


def is_older(panel: str, shown: Any, known: Any) -> bool:
    """Return whether a panel's version lacks something of another."""
    if panel != "orders":
        return bool(shown < known)
    oldest = min(shown, default="") if len(shown) >= RECENT else ""
    return any(
        order > oldest and STATUS_RANKS.get(shown.get(order, ""), -1) < STATUS_RANKS[status]
        for order, status in known.items()
    )


def freshness(outcome: Outcome) -> Iterator[Violation]:
    """A fresh panel contains every change that its gateway knew of before it was requested."""
    for read in outcome.reads:
        for panel, (status, version, _) in read.panels.items():
            if status == "fresh" and panel in read.known and is_older(panel, version, read.known[panel]):
                yield Violation(
                    "fresh",
                    f"{panel} at {read.gateway}, read at {read.began:.3f}: {version}; known: {read.known[panel]}",
                )


def monotony(outcome: Outcome) -> Iterator[Violation]:
    """What one gateway has shown as fresh, it does not replace by something older for a later reader."""
    for panel, reads in _fresh_by_panel(outcome.reads).items():
        shown: list[tuple[float, Any]] = []
        for read in sorted(reads, key=lambda read: read.began):
            version = read.panels[panel[2]][1]
            for ended, earlier in shown:
                if ended < read.began and is_older(panel[2], version, earlier):
                    yield Violation(
                        "goes back", f"{panel[2]} at {panel[0]}, read at {read.began:.3f}: {version} after {earlier}"
                    )
                    break
            shown.append((read.ended, version))


def _fresh_by_panel(reads: Iterable[Read]) -> dict[tuple[str, str, str], list[Read]]:
    found: dict[tuple[str, str, str], list[Read]] = defaultdict(list)
    for read in reads:
        for panel, (status, _, _) in read.panels.items():
            if status == "fresh":
                found[read.gateway, read.user, panel].append(read)
    return found


def copies(outcome: Outcome) -> Iterator[Violation]:
    """A last known good panel is never replaced by one that was requested earlier."""
    for text in outcome.older_copies:
        yield Violation("older copy", text)


def _is_known(read: Read, panel: str) -> bool:
    """Return whether it is known how long the panel was waited for. Without any data only the whole response is: that
    says something only if no other panel was waited for."""
    return panel in read.seconds or read.panels.keys() <= read.suspended


def deadlines(outcome: Outcome) -> Iterator[Violation]:
    """Responses come in time; no panel times out too early, and no reader waits for a service that is not called."""
    for read in outcome.reads:
        if read.was_disturbed:
            continue
        took = read.ended - read.began
        if took > read.budget_s + ANSWER_SLACK_S:
            yield Violation("deadline", f"a budget of {read.budget_s} s took {took:.3f} s at {read.began:.3f}")
        for panel, (_, _, error) in read.panels.items():
            waited = read.seconds.get(panel, took)
            least = EARLY_SHARE * min(read.budget_s * EARLY_SHARE, read.timeouts_s[panel])
            if error == "timeout" and waited < least:
                yield Violation("timeout", f"{panel} timed out after {waited:.3f} of {least:.3f} s at {read.began:.3f}")
            if panel in read.suspended and waited > QUICK_S and _is_known(read, panel):
                yield Violation("suspended", f"{panel} was waited for {waited:.3f} s, while its service was not called")
