"""The pages that are generated from the code, and how each is made; `.env.example` is one of them."""

from collections.abc import Callable, Iterator
from pathlib import Path

from tools.docs import api, configuration, events

FOLDER = Path(__file__).parents[2] / "docs/reference"
PAGES: dict[str, Callable[[], str]] = {
    "api.md": api.as_page,
    "openapi.json": api.as_json,
    "asyncapi.yaml": events.as_yaml,
    "events.md": events.as_page,
    "configuration.md": configuration.as_page,
    "../../.env.example": configuration.as_example,
}


def write() -> Iterator[Path]:
    """The pages that were not current."""
    FOLDER.mkdir(exist_ok=True)
    for name, make in PAGES.items():
        path, text = FOLDER / name, make()
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            yield path
