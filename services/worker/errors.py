"""Why a job did not succeed. Any other exception counts as transient.

JobError
├── Transient   may succeed later: tried again with backoff
└── Permanent   never will: dead at once
    ├── Expired       no longer worth doing
    └── Unremembered  perhaps done before, longer ago than the ledger remembers
"""

from typing import ClassVar


class JobError(Exception):
    """The root; jobs raise subclasses named for the fact."""

    group: ClassVar[str | None] = None
    """The error group, where it is not made from the type and the place."""
    wait_s: float = 0.0
    """The least time until the next attempt, where the other side has asked for one."""


class Transient(JobError):
    pass


class Permanent(JobError):
    pass


class Expired(Permanent):
    """The event is older than its job's deadline."""

    group = "expired"


class Unremembered(Permanent):
    """The event is older than the rows that the ledger keeps, and has none: nobody can tell whether it was done."""

    group = "unremembered"
