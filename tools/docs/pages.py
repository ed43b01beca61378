"""`make docs`: writes what is generated from the code: the reference, `.env.example` and the jobs' subscriptions."""

from collections.abc import Callable, Iterator
from pathlib import Path

from tools.docs import api, configuration, events, subscriptions

FOLDER = Path(__file__).parents[2] / "docs/reference"
PAGES: dict[str, Callable[[], str]] = {
    "api.md": api.as_page,
    "openapi.json": api.as_json,
    "asyncapi.yaml": events.as_yaml,
    "events.md": events.as_page,
    "configuration.md": configuration.as_page,
    "../../.env.example": configuration.as_example,
    "../../shared/contracts/subscriptions.py": subscriptions.as_module,
}


def write() -> Iterator[Path]:
    """Write the pages that are not current, and return their paths."""
    FOLDER.mkdir(exist_ok=True)
    for name, make in PAGES.items():
        path, text = FOLDER / name, make()
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            yield path


if __name__ == "__main__":
    for page in write():
        print(page)  # noqa: T201  the command's output
