"""Writing mails."""

import re
from datetime import UTC, datetime
from email import message_from_bytes, message_from_string, policy
from email.header import decode_header, make_header
from email.utils import getaddresses
from typing import Any
from uuid import UUID

import idna
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jinja2 import UndefinedError
from markupsafe import escape
from pydantic import TypeAdapter, ValidationError

from services.users.schemas import Email, Name
from services.worker.email.job import CREATED, order_number
from services.worker.email.messages import Addressee, MailNotWritable, OutgoingMail, Template, compose
from shared.contracts.events import OrderCreated, OrderLine

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
SENDER = "Dashboard <no-reply@shop.example>"
HEADERS = ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"]


def order(name: str = "Lamp", currency: str = "EUR") -> OrderCreated:
    line = OrderLine(sku="A", name=name, quantity=3, unit_price=100)
    ids: dict[str, Any] = {"user_id": UUID(int=1), "order_id": UUID(int=0xABCDEF01)}
    return OrderCreated(**ids, currency=currency, total=300, item_count=3, items=(line,), created_at=AT)


def outgoing(event: OrderCreated, to: Addressee, sender: str = SENDER) -> OutgoingMail:
    values = {"order": event, "number": order_number(event.order_id)}
    return compose(UUID(int=9), AT, CREATED, values, to, sender)


def written(event: OrderCreated, to: Addressee) -> Any:
    return message_from_bytes(outgoing(event, to).content, policy=policy.default)


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
        Addressee("ada@example.com, eve@example.com", "Ada"),
        Addressee("=?utf-8?q?eve=40example=2Ecom=2C?=@example.com", "Ada"),
        Addressee("ada@example..com>", "Ada"),
        Addressee("", "Ada"),
    ],
)
def test_what_no_header_can_hold_is_refused(to: Addressee) -> None:
    """A line break or a broken address makes no mail at all."""
    with pytest.raises(MailNotWritable):
        written(order(), to)


def from_template(template: Template, **values: object) -> Any:
    mail = compose(UUID(int=9), AT, template, values, Addressee("ada@example.com", "Ada <3"), SENDER)
    return message_from_bytes(mail.content, policy=policy.default)


def test_a_template_has_the_name_and_the_values() -> None:
    """In the subject, the text and the HTML; only the HTML is escaped."""
    template = Template("For {{ name }}: {{ what }}", "{{ what }}, {{ name }}", "<b>{{ what }}</b>, {{ name }}")
    message = from_template(template, what="R&D")
    assert message["Subject"] == "For Ada <3: R&D"
    text, html = message.iter_parts()
    assert text.get_content().strip() == "R&D, Ada <3"
    assert html.get_content().strip() == "<b>R&amp;D</b>, Ada &lt;3"


def test_a_template_without_html_is_plain_text() -> None:
    """A mail of one part."""
    message = from_template(Template("Hello", "{{ 1250 | money('EUR') }}"))
    assert (message.get_content_type(), message.get_content().strip()) == ("text/plain", "12.50 EUR")


def test_a_value_that_is_missing_is_an_error() -> None:
    """Not an empty place in the mail."""
    with pytest.raises(UndefinedError, match="'order_id' is undefined"):
        from_template(Template("Hello", "{{ order_id }}"))


@pytest.mark.parametrize("subject", ["Grüße 灯", "=?utf-8?q?Free?=", "x" * 150, "灯" * 150])
def test_a_subject_is_what_was_written(subject: str) -> None:
    """Whatever the script; nothing is taken for an encoded word, and no line is too long for SMTP."""
    mail = compose(UUID(int=9), AT, Template(subject, ""), {}, Addressee("ada@example.com", "Ada"), SENDER)
    assert message_from_bytes(mail.content, policy=policy.default)["Subject"] == subject
    assert max(map(len, mail.content.split(b"\r\n"))) <= 998


@pytest.mark.parametrize("subject", ["Hello\r\nBcc: all@example.com", "a\0b", "x" * 151])
def test_a_subject_that_no_header_can_hold_is_refused(subject: str) -> None:
    """A value with a line break cannot add a header."""
    with pytest.raises(MailNotWritable):
        from_template(Template("{{ subject }}", ""), subject=subject)


def test_a_name_in_any_script() -> None:
    """Names and articles may be of any script."""
    message = written(order(name="灯り"), Addressee("ada@example.com", "Ада Лавлейс"))
    assert message["To"] == "Ада Лавлейс <ada@example.com>"
    assert all("灯り" in part.get_content() for part in message.iter_parts())


def test_an_article_is_one_line_of_the_text() -> None:
    """A line break in its name begins no line of its own."""
    mail = written(order(name="Lamp\r\n\r\nYour account is locked"), Addressee("ada@example.com", "Ada"))
    text, _ = mail.iter_parts()
    assert "  3 x Lamp Your account is locked: 3.00 EUR" in text.get_content().splitlines()


def test_a_sender_beyond_ascii() -> None:
    """Its name is encoded, and its domain is written in ASCII, in the Message-ID, too."""
    mail = outgoing(order(), Addressee("ada@example.com", "Ada"), '"Müller, Shop" <post@müller-shop.de>')
    message: Any = message_from_bytes(mail.content, policy=policy.default)
    [sender] = message["From"].addresses
    assert (sender.display_name, sender.addr_spec) == ("Müller, Shop", mail.sender)
    assert mail.sender == "post@xn--mller-shop-9db.de"
    assert mail.message_id == message["Message-ID"] == f"<{UUID(int=9)}@xn--mller-shop-9db.de>"


FONT = "16px/1.5 -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif"
FULL = 'role="presentation" width="100%" cellpadding="0" cellspacing="0"'
HTML_BEGINNING = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light">
<title>Your order ABCDEF01 is confirmed</title>
</head>
<body style="margin: 0; padding: 0; background: #f5f6f8">
<table {FULL} style="background: #f5f6f8">
<tr><td align="center" style="padding: 24px 12px">
<table {FULL} style="max-width: 560px; font: {FONT}; color: #161a21">
<tr><td style="padding: 4px 4px 16px; font-size: 18px; font-weight: 600; color: #3454d1">Dashboard</td></tr>
<tr><td style="padding: 28px 28px 12px; background: #ffffff; border: 1px solid #e2e5ea; border-radius: 12px; \
overflow-wrap: anywhere">
<p style="margin: 0 0 16px">Hello {{html}},</p>
<p style="margin: 0 0 16px">thank you for your order <strong>ABCDEF01</strong>:</p>
"""
BEGINNINGS = {
    "text/plain": "Hello {name},\n\nthank you for your order ABCDEF01:",
    "text/html": HTML_BEGINNING,
}


def accepted(kind: Any, texts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Those that registration accepts, as it writes them."""
    adapter = TypeAdapter(kind)

    def written_as(text: str) -> str:
        try:
            return str(adapter.validate_python(text))
        except ValidationError:
            return ""

    return texts.map(written_as).filter(bool)


HIDDEN = ("=0D=0ABcc=3A_x=40evil.example", "=0A=0AText", "DQpCY2M6IHhAZXZpbC5leGFtcGxl", "a", "", "=2C_eve=40x.de")
ENCODED = st.builds(
    "=?{}?{}?{}?=".format,
    st.sampled_from(["utf-8", "UTF-8*en", "us-ascii", "nonsense"]),
    st.sampled_from("qQbB"),
    st.sampled_from(HIDDEN),
)
SYNTAX = st.sampled_from(["=?", "?=", "  ", *'=?_@<>,;:"\\()[]. '])
NAMES = accepted(Name, st.lists(ENCODED | SYNTAX | st.text(max_size=25), min_size=1, max_size=6).map("".join))
LOCALS = st.text("abz09.!#$%&'*+/=?^_`{|}~-", min_size=1, max_size=20) | st.text("äßñж灯ا.a", min_size=1, max_size=8)
DOMAINS = st.sampled_from(["example.com", "müller-shop.de", "xn--mller-shop-9db.de", "例え.jp", "straße.example.com"])
ADDRESSES = accepted(Email, st.builds("{}@{}".format, LOCALS, DOMAINS))


@settings(max_examples=80)
@example(name="=?utf-8?q?=0D=0ABcc=3A_x=40evil.example?=", address="ada@example.com")
@example(name="=?utf-8?q?=0A=0AYour_account_is_locked?=", address="ada@example.com")
@example(name="Schmidt, Katharina Elisabeth Johanna", address=f"katharina.schmidt@{'stadtwerke-' * 4}stadt.example.com")
@example(name="x" * 100, address="ada@example.com")
@example(name="灯" * 100, address="ada@example.com")
@given(name=NAMES, address=ADDRESSES)
def test_a_mail_is_what_was_meant_whoever_reads_it(name: str, address: str) -> None:
    """One recipient, with that address and name, and no header or body but the template's: to Python's present reader
    of mails and to its former one. The domain is written in ASCII."""
    mail = outgoing(order(), Addressee(address, name))
    local, _, domain = mail.recipient.rpartition("@")
    assert domain.isascii()
    assert f"{local}@{idna.decode(domain)}" == address
    assert mail.content.isascii() is not mail.needs_smtputf8
    assert max(map(len, mail.content.split(b"\r\n"))) <= 998
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", mail.content)

    present = message_from_string(mail.content.decode(), policy=policy.default)
    [to] = present["To"].addresses
    assert (to.display_name, to.addr_spec) == (re.sub(" +", " ", name), mail.recipient)  # it shows one space for many
    former = message_from_string(mail.content.decode())
    [(encoded, written_address)] = getaddresses(former.get_all("To", []))
    assert (str(make_header(decode_header(encoded))), written_address) == (name, mail.recipient)

    for message in (present, former):
        assert not message.defects
        assert message.keys() == HEADERS
        parts: Any = message.get_payload()
        text, html = parts
        for part, said in ((text, name), (html, escape(name))):
            beginning = BEGINNINGS[part.get_content_type()].format(name=name, html=said)
            assert part.get_payload(decode=True).decode().replace("\r\n", "\n").startswith(beginning)
