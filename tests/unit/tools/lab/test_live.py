"""The check of a cluster: it reads links from the mail catcher, and counts what fails while processes are replaced."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from tools.lab.kubernetes.live import is_failure, links, outcome, split

MAILS = {
    "1": {"ID": "1", "Created": "2026-12-01T10:00:00Z", "Text": "Old: https://x.example/#/verify?token=old"},
    "2": {"ID": "2", "Created": "2026-12-01T10:01:00Z", "Text": "New:\nhttps://x.example/#/verify?token=new\nBye."},
}


class Answers(BaseHTTPRequestHandler):
    """The two calls of the mail catcher's API; one path that fails and one that ends the connection."""

    def do_GET(self) -> None:
        match self.path.partition("?")[0].split("/")[1:]:
            case ["api", "v1", "search"]:
                found = [] if "none" in self.path else list(MAILS.values())
                self._answer(200, {"messages": found})
            case ["api", "v1", "message", name]:
                self._answer(200, MAILS[name])
            case ["gone"]:
                return  # without an answer: the connection ends
            case _:
                self._answer(503, {})

    def _answer(self, status: int, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  the name of the base class
        """Log nothing."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_links_are_those_of_the_newest_mail(url: str) -> None:
    """An account gets several mails; the example needs the link of the last one."""
    assert links(url, "ann@example.com", 60) == ["https://x.example/#/verify?token=new"]


def test_a_mail_that_does_not_arrive_is_an_error(url: str) -> None:
    """The error names the recipient."""
    with pytest.raises(TimeoutError, match=r"none@example\.com"):
        links(url, "none@example.com", 0.01)


@pytest.mark.parametrize(("path", "told"), [("/down", "order 503"), ("/gone", "order RemoteProtocolError")])
async def test_every_request_that_fails_is_counted(url: str, path: str, told: str) -> None:
    """A refused request and a lost connection are outcomes of their own, and both are failures."""
    async with httpx.AsyncClient(base_url=url) as client:
        assert await outcome(client, "order", "GET", path, {}) == told
    assert is_failure(told)


@pytest.mark.parametrize("told", ["dashboard 200", "order 201", "dashboard 429", "command 0"])
def test_an_answer_as_it_should_be_is_no_failure(told: str) -> None:
    """Requests that are rejected for their rate are answered as they should be."""
    assert not is_failure(told)
    assert is_failure("command 1")


def test_the_command_is_everything_after_two_dashes() -> None:
    """Options of the command are not ours."""
    assert split(["url", "--mail", "x", "--", "sh", "-c", "--"]) == (["url", "--mail", "x"], ["sh", "-c", "--"])
    assert split(["mail", "--to", "x"]) == (["mail", "--to", "x"], [])
