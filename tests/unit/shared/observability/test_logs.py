"""What must not be in a log."""

import pytest

from shared.http.tokens import UserTokens, b64url
from shared.ids import new_id
from shared.observability.logs import HIDDEN, conceal

KEY = "dsh_0123456789ABCDEFGHIJKLMNOPQRST4PMbyp"
TOKEN = UserTokens([b64url(bytes(32))], 60).issue(new_id(), new_id(), "user")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("DETAIL:  Key (email)=(ada@example.com) exists", f"DETAIL:  Key (email)=({HIDDEN}) exists"),
        ("to <ada.l+x@mail.example.com>:", f"to <{HIDDEN}>:"),
        ("amqp://guest:s3cret@127.0.0.1:5672/", f"amqp://{HIDDEN}@127.0.0.1:5672/"),
        ("postgresql://users:pa:ss@db/users", f"postgresql://{HIDDEN}@db/users"),
        (f"Bearer {TOKEN}, again", f"Bearer {HIDDEN}, again"),
        (f"Bearer {KEY}, again, dsh_ and dsh_short", f"Bearer {HIDDEN}, again, dsh_ and dsh_short"),
        ("GET /v1/orders 200", "GET /v1/orders 200"),
        ("http://127.0.0.1:8001/livez", "http://127.0.0.1:8001/livez"),
        ("at 3 @ 4", "at 3 @ 4"),
    ],
)
def test_what_is_concealed(text: str, shown: str) -> None:
    """Addresses of people, credentials in URLs, tokens and API keys, wherever they stand; nothing else."""
    assert conceal(text) == shown
