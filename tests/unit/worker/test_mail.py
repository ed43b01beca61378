"""Writing mails."""

from datetime import UTC, datetime
from email import message_from_bytes, policy
from typing import Any
from uuid import UUID

import pytest

from services.worker.mail import Addressee, MailNotWritable, compose
from shared.events import Envelope, OrderCreated, OrderLine

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
SENDER = "Dashboard <no-reply@shop.example>"


def order(name: str = "Lamp", currency: str = "EUR") -> OrderCreated:
    line = OrderLine(sku="A", name=name, quantity=3, unit_price=100)
    ids: dict[str, Any] = {"user_id": UUID(int=1), "order_id": UUID(int=0xABCDEF01)}
    return OrderCreated(**ids, currency=currency, total=300, item_count=3, items=(line,), created_at=AT)


def written(event: OrderCreated, to: Addressee) -> Any:
    envelope = Envelope(id=UUID(int=9), time=AT, event=event)
    message = compose(envelope, event, to, SENDER)
    return message_from_bytes(message.as_bytes(), policy=policy.default)


def test_a_confirmation() -> None:
    """It has the same Message-ID each time, and the amounts of each line in text and HTML."""
    message = written(order(currency="JPY"), Addressee("ada@example.com", "Ada Lovelace"))
    assert message["Message-ID"] == f"<{UUID(int=9)}@shop.example>"
    assert message["Date"].datetime == AT
    assert message["To"] == "Ada Lovelace <ada@example.com>"
    assert message["From"] == SENDER
    assert message["Subject"] == "Your order ABCDEF01 is confirmed"
    assert message.get_content_type() == "multipart/alternative"
    for part in message.iter_parts():
        assert "300 JPY" in part.get_content()


def test_html_in_names_is_text() -> None:
    """What people write of themselves and of things is escaped in HTML and left alone in text."""
    text, html = written(
        order(name="<img src=x>"), Addressee("ada@example.com", "<script>alert(1)</script>")
    ).iter_parts()
    assert "<script>alert(1)</script>" in text.get_content()
    assert "<script>" not in html.get_content()
    assert "&lt;script&gt;" in html.get_content()
    assert "&lt;img src=x&gt;" in html.get_content()


@pytest.mark.parametrize(
    "to",
    [
        Addressee("ada@example.com", "Ada\r\nBcc: all@example.com"),
        Addressee("ada@example.com", "Ada\nX: y"),
        Addressee("ada@example.com\r\nBcc: all@example.com", "Ada"),
        Addressee("no address", "Ada"),
        Addressee("", "Ada"),
    ],
)
def test_what_no_header_can_hold_is_refused(to: Addressee) -> None:
    """A line break or a broken address makes no mail at all."""
    with pytest.raises(MailNotWritable):
        written(order(), to)


def test_a_name_in_any_script() -> None:
    """Names and articles may be of any script."""
    message = written(order(name="灯り"), Addressee("ada@example.com", "Ада Лавлейс"))
    assert message["To"] == "Ада Лавлейс <ada@example.com>"
    assert all("灯り" in part.get_content() for part in message.iter_parts())
