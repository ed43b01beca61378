"""Why a job did not succeed. Any other exception counts as transient.

JobError
├── Transient   may succeed later: tried again with backoff
└── Permanent   never will: dead at once
    ├── Expired       no longer worth doing
    └── Unremembered  perhaps done before, longer ago than the ledger remembers
"""

from typing import ClassVar


class JobError(Exception):
    """The root; jobs raise subclasses named for what went wrong."""

    group: ClassVar[str | None] = None
    """The error group, if it is not derived from the type and the place."""
    wait_s: float = 0.0
    """The minimum time until the next attempt, if the other side has requested one."""


class Transient(JobError):
    pass


class Permanent(JobError):
    pass


class Expired(Permanent):
    """The event is older than its job's deadline."""

    group = "expired"


class Unremembered(Permanent):
    """The event is older than the ledger's retention and has no row: it may or may not have been processed."""

    group = "unremembered"
