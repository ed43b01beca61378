"""Reads the files of docker compose."""

from pathlib import Path
from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    """A loader that supports `!reset`, which removes a value of the first file."""


_Loader.add_constructor("!reset", lambda _loader, _node: None)


def read_compose(file: Path) -> dict[str, Any]:
    """Return the file's content; what it resets is None."""
    content: dict[str, Any] = yaml.load(file.read_text(), _Loader)  # noqa: S506  a safe loader
    return content
