"""A later time of day without waiting."""

import time
from datetime import datetime, timedelta, tzinfo
from typing import Self

import jwt
import pytest


def move_clock(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Verify tokens this many seconds later until the end of the test."""
    now = time.time

    class Later(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return super().now(tz) + timedelta(seconds=seconds)

    monkeypatch.setattr(time, "time", lambda: now() + seconds)
    monkeypatch.setattr(jwt.api_jwt, "datetime", Later)
