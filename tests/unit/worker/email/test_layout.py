"""The layout of mails, and every message in it."""

import re
from datetime import UTC, datetime
from email import message_from_bytes, policy
from html.parser import HTMLParser
from typing import Any
from uuid import UUID

import pytest

from services.worker import jobs
from services.worker.email.kinds import KINDS, OTHER, SECURITY, InvalidMailKind, mail_kind
from services.worker.email.layout import Button
from services.worker.email.messages import MESSAGES, Addressee, MailNotWritable, Template, compose
from services.worker.email.unsubscribe import UnsubscribeLinks

jobs.discover()
AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
USER = UUID(int=5)
PAGE = "https://dashboard.example.com"
LINKS = UnsubscribeLinks(PAGE, "s" * 32)
EACH = pytest.mark.parametrize("name", sorted(MESSAGES))
HOSTILE = "</p><script>alert(1)</script>{{ 7 * 7 }} \"><a href='https://evil.example'>"


class Elements(HTMLParser):
    """The elements of a document with their attributes."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def written(template: Template, values: dict[str, object], *, to_name: str = "Ada", user: UUID | None = USER) -> Any:
    kind = template.kind or OTHER
    unsubscribe = LINKS.url(user, kind) if user and kind.is_optional else None
    to = Addressee("ada@example.com", to_name)
    sender = "Tea & Cups <no-reply@shop.example>"
    mail = compose(UUID(int=9), AT, template, values, to, sender, public_url=PAGE, unsubscribe=unsubscribe)
    return message_from_bytes(mail.content, policy=policy.default)


def of(name: str, **more: Any) -> Any:
    """A message with its sample."""
    return written(MESSAGES[name].template, dict(MESSAGES[name].values), **more)


def forms_of(message: Any) -> tuple[str, str]:
    assert message.get_content_type() == "multipart/alternative"
    text, html = message.iter_parts()
    assert (text.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")
    return text.get_content(), html.get_content()


@EACH
def test_every_message_has_both_forms(name: str) -> None:
    """Its sample has all values that it needs. Both forms greet, and say why the mail came."""
    template = MESSAGES[name].template
    assert template.kind
    for form in forms_of(of(name)):
        assert ("Hello Ada," if template.kind.is_optional else "Hello,") in form
        assert template.reason or template.kind.reason in form
        assert "{{" not in form
        assert "{%" not in form


@EACH
def test_the_html_needs_nothing_else(name: str) -> None:
    """No picture, script, style sheet or form; every link leads to the page. Notices about the account have none."""
    template = MESSAGES[name].template
    assert template.kind
    _, html = forms_of(of(name))
    elements = Elements(html).found
    assert not {tag for tag, _ in elements} & {"img", "script", "style", "link", "form", "iframe", "object", "video"}
    assert not re.search(r"url\(|@import|\ssrc=|\sbackground=", html)
    links = [attributes["href"] for tag, attributes in elements if tag == "a"]
    assert bool(links) == bool(template.button or template.kind.is_optional)
    assert all(str(link).startswith(f"{PAGE}/") for link in links)


@EACH
def test_a_hostile_name_is_text(name: str) -> None:
    """It adds no element, no attribute and no template expression: the HTML has the same elements as without it. Mails
    that go to any address do not contain it."""
    text, html = forms_of(of(name, to_name=HOSTILE))
    kind = MESSAGES[name].template.kind
    assert (f"Hello {HOSTILE}," in text) is bool(kind and kind.is_optional)
    assert Elements(html).found == Elements(forms_of(of(name))[1]).found


@EACH
@pytest.mark.parametrize("ending", ["\r\nBcc: all@example.com", "\nX: y", "\r", "\x00"])
def test_a_name_adds_no_header(name: str, ending: str) -> None:
    """A control character in it makes no mail at all."""
    with pytest.raises(MailNotWritable):
        of(name, to_name=f"Ada{ending}")


@EACH
def test_mails_that_can_be_switched_off_say_how(name: str) -> None:
    """In the header (RFC 8058) and in both forms; mails about the account have neither."""
    kind = MESSAGES[name].template.kind
    assert kind
    message = of(name)
    forms = forms_of(message)
    if not kind.is_optional:
        assert "List-Unsubscribe" not in message
        assert not any("nsubscribe" in form for form in forms)
        return
    url = LINKS.url(USER, kind)
    assert message["List-Unsubscribe"] == f"<{url}>"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert all(url in form for form in forms)


def test_a_button_has_a_label_and_a_link() -> None:
    """Both can use values; the text has each on a line of its own, so that a long link stays whole."""
    button = Button("Open {{ what }}", "{{ public_url }}/#/things/{{ what }}?a=1&b=2")
    text, html = forms_of(written(Template("Hello", "the text", kind=SECURITY, button=button), {"what": "<it>"}))
    url = f"{PAGE}/#/things/<it>?a=1&b=2"
    assert f"\r\nOpen <it>:\r\n{url}\r\n" in text
    assert [attributes["href"] for tag, attributes in Elements(html).found if tag == "a"] == [url]
    assert "Open &lt;it&gt;</a>" in html


def test_a_text_becomes_paragraphs() -> None:
    """Without HTML of its own; values are escaped, and line breaks are kept."""
    _, html = forms_of(written(Template("Hello", "one\ntwo\n\n{{ what }}", kind=SECURITY), {"what": "<b>three</b>"}))
    paragraphs = re.findall(r"<p [^>]*>(.*)</p>", html)
    assert paragraphs == ["Hello,", "one<br>two", "&lt;b&gt;three&lt;/b&gt;", SECURITY.reason]


def test_the_brand_is_the_name_of_the_sender() -> None:
    """It is escaped, too."""
    _, html = forms_of(written(Template("Hello", "text", kind=SECURITY), {}))
    assert "Tea &amp; Cups</td>" in html


def test_an_address_without_a_name_is_greeted() -> None:
    text, html = forms_of(written(Template("Hello", "text", kind=SECURITY), {}, to_name=""))
    assert text.splitlines()[:3] == ["Hello,", "", "text"]
    assert "Hello,</p>" in html


def test_a_message_has_a_reason_of_its_own() -> None:
    template = Template("Hello", "text", kind=SECURITY, reason="You asked for it.")
    assert all("You asked for it." in form and SECURITY.reason not in form for form in forms_of(written(template, {})))


@pytest.mark.parametrize("name", ["", "Receipt", "a b", "1st", "a-b", "x" * 33, "a\n"])
def test_the_name_of_a_kind(name: str) -> None:
    """It is part of links."""
    with pytest.raises(InvalidMailKind):
        mail_kind(name, "Receipts", "…")
    assert name not in KINDS


def test_two_kinds_with_one_name() -> None:
    """Declaring the same kind twice is harmless, as when a module is imported again."""
    assert mail_kind(OTHER.name, OTHER.title, OTHER.reason) == OTHER
    with pytest.raises(InvalidMailKind, match="other"):
        mail_kind(OTHER.name, "Another title", OTHER.reason)


@EACH
def test_without_the_address_of_the_page(name: str) -> None:
    """A mail has no link but one that it was given, and no headers with links. It is otherwise the same."""
    sample = MESSAGES[name]
    to, values = Addressee("ada@example.com", "Ada"), dict(sample.values)
    mail = compose(UUID(int=9), AT, sample.template, values, to, "no-reply@shop.example", unsubscribe=None)
    message: Any = message_from_bytes(mail.content, policy=policy.default)
    assert "List-Unsubscribe" not in message
    text, html = forms_of(message)
    assert text.startswith("Hello")
    assert "/#/" not in text.replace(str(values.get("link", "")), "")
    assert {attributes["href"] for tag, attributes in Elements(html).found if tag == "a"} <= {values.get("link")}
