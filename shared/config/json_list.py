"""Settings that are a JSON list of objects, with messages that name the wrong item and field."""

from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

MAX_LENGTH = 1000

Model = TypeVar("Model", bound=BaseModel)


def is_url(text: str) -> bool:
    """Return whether it is an http(s) URL without user, query or fragment."""
    parts = urlsplit(text)
    plain = f"{parts.scheme}://{parts.netloc}{parts.path}"
    return parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc and text == plain


def is_as_safe(url: str, issuer: str) -> bool:
    """Return whether it is a URL that is not less protected than the issuer's own."""
    try:
        return is_url(url.partition("?")[0]) and (url.startswith("https:") or not issuer.startswith("https:"))
    except ValueError:
        return False


def _text(value: str) -> str:
    if not value or len(value) > MAX_LENGTH or not value.isprintable() or value != value.strip():
        raise ValueError(f"must be 1 to {MAX_LENGTH} printable characters, without spaces around them")
    return value


Text = Annotated[str, AfterValidator(_text)]


def parse(variable: str, model: type[Model], text: str, unique: str) -> list[Model]:
    """Return the items of the setting; none if it is empty. No two may have the same value of the field `unique`.

    Raises `ValueError` that names each wrong item and field, without its value.
    """
    if not text.strip():
        return []
    try:
        found = TypeAdapter(list[model]).validate_json(text)  # type: ignore[valid-type]
    except ValidationError as wrong:
        raise ValueError("; ".join(_mistake(variable, each) for each in wrong.errors())) from None
    seen: set[object] = set()
    for number, item in enumerate(found, 1):
        if (value := getattr(item, unique)) in seen:
            raise ValueError(f"{variable}: item {number}, {unique}: an earlier item has the same {unique}")
        seen.add(value)
    return found


def _mistake(variable: str, error: ErrorDetails) -> str:
    place: tuple[Any, ...] = error["loc"]
    message = error["msg"].removeprefix("Value error, ")
    if not place:
        return f"{variable}: must be a JSON list of objects: {message}"
    item = f"{variable}: item {place[0] + 1}"
    return f"{item}, {'.'.join(map(str, place[1:]))}: {message}" if place[1:] else f"{item}: {message}"
