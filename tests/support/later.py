"""A later time of day, without waiting for it."""

import time
from datetime import datetime, timedelta, tzinfo
from typing import Self

import jwt
import pytest


def move_clock(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Until the end of the test, tokens are looked at as they will be after so many seconds."""
    now = time.time

    class Later(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return super().now(tz) + timedelta(seconds=seconds)

    monkeypatch.setattr(time, "time", lambda: now() + seconds)
    monkeypatch.setattr(jwt.api_jwt, "datetime", Later)
