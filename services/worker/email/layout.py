"""The layout that all mails share, as text and as HTML: a greeting, the content, one button, and a footer with the
reason for the mail and its unsubscribe link. Styles are inline, and nothing is loaded from elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2 import Template as Source

from shared.money import format_money

WEB = ("https://", "http://")

_text = Environment(  # noqa: S701  a text has nothing to escape
    loader=PackageLoader("services.worker.email"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
_text.filters["money"] = format_money
_text.filters["moment"] = lambda at: f"{at:%-d %B %Y at %H:%M} UTC"
_text.filters["one_line"] = lambda text: " ".join(text.split())
_html = _text.overlay(autoescape=True)


@dataclass(frozen=True, slots=True)
class Button:
    """The one thing to do next, as texts in Jinja's syntax. A button whose URL is not absolute, because the address of
    the page is not known, is left out."""

    label: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What surrounds the content of a mail. `brand` names its sender; `unsubscribe` is a URL, if the mail has one."""

    brand: str
    subject: str
    name: str
    reason: str
    kind: str
    button: Button | None
    unsubscribe: str | None


def text_of(template: str, values: Mapping[str, object]) -> str:
    """Render a text. Raises `jinja2.UndefinedError` for a value that is missing, like `html_of`."""
    return _compiled(_text, template).render(values)


def html_of(template: str, values: Mapping[str, object]) -> str:
    """Render HTML; values are escaped."""
    return _compiled(_html, template).render(values)


def lay_out(text: str, html: str | None, frame: Frame, values: Mapping[str, object]) -> tuple[str, str]:
    """Return a mail as text and as HTML. Without `html`, the paragraphs of the text are those of the HTML, too."""
    if frame.button:
        label, url = (text_of(each, values) for each in (frame.button.label, frame.button.url))
        frame = replace(frame, button=Button(label, url) if url.startswith(WEB) else None)
    content = text_of(text, values).strip("\n")
    plain = _text.get_template("layout.txt").render(frame=frame, content=content)
    body = html_of(html, values) if html is not None else _paragraphs(content)
    return plain, _html.get_template("layout.html").render(frame=frame, content=body)


def page_of(file: str, values: Mapping[str, object]) -> str:
    """Return a page for browsers from one of this package's templates."""
    return _html.get_template(file).render(values)


def _paragraphs(text: str) -> str:
    return _html.get_template("paragraphs.html").render(paragraphs=[each.strip() for each in text.split("\n\n")])


@lru_cache
def _compiled(environment: Environment, template: str) -> Source:
    return environment.from_string(template)
