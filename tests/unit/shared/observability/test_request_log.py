"""The lines about requests that went well."""

import json
from datetime import datetime, timedelta
from functools import partial

import pytest

from shared import clock
from shared.observability.request_log import MOST_LINES, RequestLog
from tests.support.waiting import eventually


def written(captured: pytest.CaptureFixture[str]) -> list[str]:
    """The lines of requests: applications of other tests log, too."""
    return [line for line in captured.readouterr().out.split("\n") if '"method"' in line]


def lines(captured: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in written(captured)]


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


async def test_a_line_is_what_the_ordinary_log_writes(capsys: pytest.CaptureFixture[str]) -> None:
    """Of any method, route and status: the values come out as they went in, and the line is compact JSON."""
    log = RequestLog("example", "web")
    routes = ["/v1/things/{id}", "/100%", "/%s%d", '/a"b\\c', "/é", "/\u2028", "*"]
    for status, route in enumerate(routes, 200):
        for _ in range(2):
            log.add("PATCH", route, status, 0.04, "r" * 32, "t" * 32)
    log.write()
    found = lines(capsys)
    assert [(line["route"], line["status"]) for line in found] == [
        (route, status) for status, route in enumerate(routes, 200) for _ in range(2)
    ]
    assert {(line["method"], line["ms"], line["request_id"], line["trace_id"]) for line in found} == {
        ("PATCH", 0.0, "r" * 32, "t" * 32)
    }


async def test_lines_are_written_soon_without_being_asked(capsys: pytest.CaptureFixture[str]) -> None:
    """By a timer, which is set again for those that come later."""
    log = RequestLog("example", "web")
    found: list[str] = []

    def all_written(count: int) -> bool:
        found.extend(written(capsys))
        return len(found) == count

    for count in (1, 2):
        log.add("GET", "/", 200, 1, "r", "t")
        await eventually(partial(all_written, count))


async def test_the_time_is_that_of_the_request(capsys: pytest.CaptureFixture[str]) -> None:
    """Not that of the writing, which comes later."""
    log = RequestLog("example", "web")
    before = clock.now()
    log.add("GET", "/", 200, 1, "r", "t")
    after = clock.now()
    log.write()
    (line,) = lines(capsys)
    stamp = datetime.fromisoformat(str(line["timestamp"]))
    assert before - timedelta(microseconds=1) <= stamp <= after
