"""The decisions about a change of a profile."""

from typing import Any

import pytest

from services.users.accounts.profile import changed_fields, needs_password
from services.users.models import User
from services.users.schemas import ProfileChange

ADA = User(email="ada@example.com", name="Ada")


@pytest.mark.parametrize(
    ("change", "fields", "protected"),
    [
        ({}, set(), False),
        ({"name": "Ada"}, set(), False),
        ({"name": "Countess"}, {"name"}, False),
        ({"email": "ada@example.com"}, set(), False),
        ({"email": "Ada@example.com"}, {"email"}, True),
        ({"password": "long enough"}, set(), True),
        ({"name": "Countess", "email": "c@example.com"}, {"name", "email"}, True),
        ({"current_password": "whatever"}, set(), False),
    ],
)
def test_what_differs_and_what_is_protected(change: dict[str, Any], fields: set[str], protected: bool) -> None:
    """Only real changes count; address and password need the current password."""
    asked = ProfileChange(**change)
    assert changed_fields(ADA, asked).keys() == fields
    assert needs_password(ADA, asked) is protected
