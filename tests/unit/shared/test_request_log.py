"""The lines about requests that went well."""

import json

import pytest

from shared.request_log import MOST_LINES, RequestLog


def lines(captured: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in captured.readouterr().out.splitlines()]


async def test_a_line_says_what_the_ordinary_one_says(capsys: pytest.CaptureFixture[str]) -> None:
    """Request, outcome and ids, with the time of the request."""
    log = RequestLog("example", "web")
    log.add("GET", "/v1/things", 200, 1.5, "r", "t")
    log.write()
    (line,) = lines(capsys)
    assert str(line.pop("timestamp")).endswith("Z")
    assert line == {
        "service": "example",
        "request_id": "r",
        "trace_id": "t",
        "method": "GET",
        "route": "/v1/things",
        "status": 200,
        "ms": 1.5,
        "event": "request",
        "level": "info",
        "logger": "web",
    }


async def test_lines_do_not_pile_up(capsys: pytest.CaptureFixture[str]) -> None:
    """Many are written at once, however soon; none twice."""
    log = RequestLog("example", "web")
    for number in range(MOST_LINES):
        log.add("GET", "/", 200, number, "r", "t")
    assert len(lines(capsys)) == MOST_LINES
    log.write()
    assert not lines(capsys)
