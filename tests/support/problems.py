"""The codes of all problems that a client of the gateway can receive."""

import re
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

from shared.errors import DashboardError
from shared.http.problems import of_status

FOLDERS = ("services/gateway", "services/users", "services/orders", "services/worker", "shared")
IN_A_CLASS = re.compile(r'^ +(?:status, )?code, title = (?:\d+, )?"(\w+)"', re.MULTILINE)
WITHOUT_A_CLASS = {"overloaded"}
"""Problems from the gateway before a route is matched."""


def every_code() -> set[str]:
    """Return the codes in the sources, because importing every service would take seconds."""
    sources = (path.read_text() for folder in FOLDERS for path in Path(folder).rglob("*.py"))
    written = {code for source in sources for code in IN_A_CLASS.findall(source)}
    return written | {error.code for error in _family(DashboardError)} | WITHOUT_A_CLASS


def _family(error: type[DashboardError]) -> Iterator[type[DashboardError]]:
    if error.__module__.startswith(("services.", "shared.")):  # not those of tests
        yield error
    for kind in error.__subclasses__():
        yield from _family(kind)


def every_status() -> list[tuple[str, int]]:
    """Return the code and status of problems without further information."""
    return [(_code(status), int(status)) for status in HTTPStatus if status >= HTTPStatus.BAD_REQUEST]


def _code(status: HTTPStatus) -> str:
    body = bytes(of_status(status).body)
    return body.partition(b'"code":"')[2].partition(b'"')[0].decode()
