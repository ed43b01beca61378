"""A user's webhook receives their orders."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from standardwebhooks import Webhook as Verifier

from tests.support.stack.running import PATIENCE_S, Person, Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.e2e


class Server(HTTPServer):
    def __init__(self) -> None:
        self.received: list[tuple[dict[str, str], bytes]] = []
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_an_order_is_heard_of(stack: Stack, person: Person, server: Server) -> None:
    """Through the gateway, a webhook is created, tested, called for an order and listed; other users cannot see it."""
    body = {"url": f"http://127.0.0.1:{server.server_port}/hook", "events": ["order.created"]}
    made = person.http.post("/v1/webhooks", json=body).raise_for_status().json()
    path = f"/v1/webhooks/{made['id']}"
    assert person.http.post(f"{path}/test").status_code == 202
    order = person.order()
    wait_until(lambda: len(server.received) == 2, PATIENCE_S)
    told = [Verifier(made["secret"]).verify(body, headers) for headers, body in server.received]
    assert {event["type"] for event in told} == {"webhook.ping", "order.created"}
    assert order["id"] in [event["data"].get("order_id") for event in told]

    def delivered() -> bool:
        items = person.http.get(f"{path}/deliveries?state=delivered").raise_for_status().json()["items"]
        return len(items) == 2

    wait_until(delivered, PATIENCE_S)
    other = Person(stack)
    for method, where in (("GET", path), ("PATCH", path), ("DELETE", path), ("GET", f"{path}/deliveries")):
        assert other.http.request(method, where, json={}).status_code == 404
    other.http.close()
    assert person.http.patch(path, json={"url": "http://10.0.0.1/"}).status_code == 422
    assert person.http.delete(path).status_code == 204
    assert person.http.get("/v1/webhooks").json() == {"items": [], "next_cursor": None}
