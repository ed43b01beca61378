"""Requests that go through to a service, and what becomes of them on the way."""

import asyncio
import contextlib
import resource
from collections.abc import AsyncIterator

import httpx
import pytest

from shared.ids import new_id
from tests.support.gateway import stub
from tests.support.gateway.stub import Exchange, replies
from tests.support.gateway.world import Start, World
from tests.support.served import client, exchange, listening
from tests.support.waiting import eventually

MIB = 1024 * 1024


async def test_a_request_and_its_response_go_through(world: World) -> None:
    """Method, path, query, headers and body reach the service as sent; status, headers and body come back."""
    world.orders.behaviours["/v1/orders"] = lambda exchange: exchange.reply(
        b'{"id": "1"}', 201, "Location: /v1/orders/1\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-Kept: yes\r\n"
    )
    headers = world.bearer() | {"Idempotency-Key": "k", "Content-Type": "application/json"}
    response = await world.client.post("/v1/orders?a=1&b=%2F", content=b'{"x": 1}', headers=headers)
    assert (response.status_code, response.content) == (201, b'{"id": "1"}')
    assert (response.headers["Location"], response.headers["X-Kept"]) == ("/v1/orders/1", "yes")
    assert response.headers.get_list("Set-Cookie") == ["a=1", "b=2"]
    received = world.orders.last("/v1/orders")
    assert (received.method, received.target, received.body) == ("POST", "/v1/orders?a=1&b=%2F", b'{"x": 1}')
    assert (received.values("idempotency-key"), received.values("content-length")) == (["k"], ["8"])


async def test_the_gateway_says_who_is_calling_and_nobody_else(world: World) -> None:
    """Identity, addresses and deadlines that a client claims never arrive; the gateway's own do, once."""
    user_id, session_id = new_id(), new_id()
    claimed = {
        "X-User-Id": str(new_id()),
        "x-user-role": "admin",
        "X-SESSION-ID": str(new_id()),
        "Request-Deadline-Ms": "999999",
        "Forwarded": "for=10.0.0.1",
        "X-Forwarded-For": "10.0.0.1",
        "X-Forwarded-Proto": "https",
        "X-Real-IP": "10.0.0.1",
        "Connection": "close, X-Secret",
        "X-Secret": "1",
        "TE": "trailers",
        "Proxy-Authorization": "Basic x",
    }
    headers = claimed | world.bearer(user_id, session=session_id)
    assert (await world.client.get("/v1/me", headers=headers)).status_code == 200
    received = world.users.last("/v1/me")
    assert received.values("x-user-id") == [str(user_id)]
    assert received.values("x-user-role") == ["user"]
    assert received.values("x-session-id") == [str(session_id)]
    assert received.values("x-forwarded-for") == ["127.0.0.1"]
    assert int(received.values("request-deadline-ms")[0]) <= world.gateway.settings.pass_through_timeout_s * 1000
    (authorization,) = received.values("authorization")
    assert world.app.state.service_tokens.verify(authorization.removeprefix("Bearer ")) == "gateway"
    for name in ("forwarded", "x-forwarded-proto", "x-real-ip", "x-secret", "te", "proxy-authorization"):
        assert not received.values(name)


async def test_anonymous_routes_carry_no_identity(world: World) -> None:
    """Logging in needs no token; a bad one is not even looked at, and the client's identity headers are dropped."""
    headers = {"X-User-Id": str(new_id()), "Authorization": "Bearer garbage"}
    response = await world.client.post("/v1/tokens", data={"username": "a", "password": "b"}, headers=headers)
    assert response.status_code == 200
    received = world.users.last("/v1/tokens")
    assert not received.values("x-user-id")
    assert received.body == b"username=a&password=b"


@pytest.mark.parametrize(
    ("method", "path", "user", "support", "admin"),
    [
        ("GET", "/v1/users", 403, 200, 200),
        ("GET", "/v1/users/count", 403, 200, 200),
        ("POST", "/v1/orders/{id}/ship", 403, 403, 200),
        ("POST", "/v1/orders/{id}/pay", 200, 200, 200),
        ("GET", "/v1/admin/jobs", 403, 200, 200),
        ("GET", "/v1/admin/jobs/email/{id}", 403, 200, 200),
        ("POST", "/v1/admin/jobs/replay", 403, 403, 200),
    ],
)
async def test_roles(world: World, method: str, path: str, user: int, support: int, admin: int) -> None:
    """Administrators' routes are 403 for others, decided before a service is asked."""
    target = path.format(id=new_id())
    found = [
        (await world.client.request(method, target, headers=world.bearer(role=role))).status_code
        for role in ("user", "support", "admin")
    ]
    assert found == [user, support, admin]


@pytest.mark.parametrize("name", ["..", "a%3Fb", "a%2Fb", "a%0d%0ab", "Email", ""])
async def test_a_name_in_a_path_is_a_name(world: World, name: str) -> None:
    """What could lead to another path of the service is not found, and the service is not asked."""
    (token,) = world.bearer(role="admin").values()
    target = f"/v1/admin/jobs/{name}/{new_id()}"
    head = f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: {token}\r\n\r\n"
    async with listening(world.app) as port:
        answer = await exchange(port, head.encode())
    assert answer.startswith(b"HTTP/1.1 404")
    assert not world.worker.asked


async def test_an_unknown_path_and_a_wrong_method(world: World) -> None:
    """404 and 405, the latter with all methods that the path knows, as problems."""
    missing = await world.client.get("/v1/nothing")
    assert (missing.status_code, missing.headers["Content-Type"]) == (404, "application/problem+json")
    wrong = await world.client.put("/v1/me")
    assert (wrong.status_code, wrong.headers["Content-Type"]) == (405, "application/problem+json")
    assert {"GET", "PATCH", "DELETE"} <= set(wrong.headers["Allow"].split(", "))


async def test_head_is_a_get_without_its_body(world: World) -> None:
    """HEAD is answered as GET would be, without the body."""
    world.users.behaviours["/v1/me"] = replies(b'{"id": 1}')
    async with listening(world.app) as port, client() as http:
        response = await http.head(f"http://127.0.0.1:{port}/v1/me", headers=world.bearer())
    assert (response.status_code, response.content, response.headers["Content-Length"]) == (200, b"", "9")


@pytest.mark.parametrize(
    "path",
    [
        "/internal/panels/user",
        "/v1/../internal/panels/user",
        "/v1/%2e%2e/internal/panels/user",
        "/v1/users/..%2f..%2finternal%2fpanels%2fuser",
        "/v1/orders/../../internal/panels/user/pay",
        "/v1/orders/%2e%2e/pay",
        "//internal/panels/user",
        "/v1//me/../../internal",
        "/metrics",
        "/v1/orders/%00/pay",
        "/v1/orders/019a0000-0000-7000-8000-000000000000%2f..%2fx",
        "/v1/me%2f",
        "/V1/me",
        "/v1/me/",
        "http://elsewhere/internal/panels/user",
    ],
)
async def test_no_path_leads_inside(world: World, path: str) -> None:
    """Whatever is written in a path, services see only the table's own."""
    (token,) = world.bearer(role="admin").values()
    async with listening(world.app) as port:
        head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nConnection: close\r\n\r\n"
        answer = await exchange(port, head.encode())
    assert answer.split(b" ")[1] == b"404"
    assert not any(service.asked for service in (world.users, world.orders, world.worker))


async def test_a_path_with_a_line_break_is_rewritten(world: World) -> None:
    """An encoded line break at the end of a path does not reach the service."""
    await world.client.get("/v1/me%0A", headers=world.bearer())
    assert {request.target for request in world.users.asked} <= {"/v1/me"}


@pytest.mark.parametrize(
    "query",
    ["a=%zz", "a=b#c", "a=" + "b" * 7000, "b" * 9000, "a=\xff", "a=\x7f", "%00", "?", "a=..%2f..%2f", "//x", "a=[b]"],
)
async def test_odd_queries_go_through_or_are_refused(world: World, query: str) -> None:
    """A query never makes a 5xx."""
    (token,) = world.bearer().values()
    async with listening(world.app) as port:
        head = f"GET /v1/orders?{query} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nConnection: close\r\n\r\n"
        answer = await exchange(port, head.encode("latin-1"))
    assert int(answer.split(b" ")[1]) < 500
    assert all(request.target.startswith("/v1/orders") for request in world.orders.asked)


@pytest.mark.parametrize("value", [b"\xff\xfe", b"\xc3\xa9", b"a\tb", b"x" * 7000])
async def test_odd_header_values(world: World, value: bytes) -> None:
    """A header that is no ASCII never makes a 5xx."""
    (token,) = world.bearer().values()
    async with listening(world.app) as port:
        head = b"GET /v1/orders HTTP/1.1\r\nHost: x\r\nX-Odd: %s\r\nAuthorization: %s\r\nConnection: close\r\n\r\n"
        answer = await exchange(port, head % (value, token.encode()))
    assert int(answer.split(b" ")[1]) < 500


async def test_a_service_that_is_away(start: Start) -> None:
    """503 with `Retry-After`; nothing was done."""
    async with start(orders_url="http://127.0.0.1:1") as world:
        response = await world.client.post("/v1/orders", json={}, headers=world.bearer())
        assert (response.status_code, response.json()["code"]) == (503, "service_unavailable")
        assert response.headers["Retry-After"]


async def test_a_body_reaches_the_replica_that_is_there(start: Start) -> None:
    """A replica that refuses the connection has not used up the body."""
    async with stub.StubService().running() as replica, start(orders_url=f"http://127.0.0.1:1,{replica.url}") as world:
        for _ in range(3):
            assert (await world.client.post("/v1/orders", json={"a": 1}, headers=world.bearer())).status_code == 200
        assert [request.body for request in replica.asked] == [b'{"a":1}'] * 3


@pytest.mark.parametrize(("behaviour"), [stub.reset, stub.not_http])
async def test_an_outcome_that_is_unknown(world: World, behaviour: stub.Behaviour) -> None:
    """Sent but not answered: 504 that says so, and points to the idempotency key; never sent twice."""
    world.orders.behaviours["/v1/orders"] = behaviour
    response = await world.client.post("/v1/orders", json={}, headers=world.bearer())
    assert is_unknown(response)
    assert len(world.orders.asked) == 1


async def test_an_outcome_is_unknown_when_the_answer_is_late(start: Start) -> None:
    """As when the connection breaks. Where the time was over before the request had been sent, the client hears 408."""
    tries = 0
    async with start(pass_through_timeout_s=0.3) as world:
        world.orders.behaviours["/v1/orders"] = stub.hang

        async def late() -> bool:
            nonlocal tries
            tries += 1
            return is_unknown(await world.client.post("/v1/orders", json={}, headers=world.bearer()))

        await eventually(late)
        assert len(world.orders.asked) <= tries


def is_unknown(response: httpx.Response) -> bool:
    if response.status_code != 504:
        return False
    assert response.json()["code"] == "outcome_unknown"
    assert "Idempotency-Key" in response.json()["detail"]
    return True


async def test_a_response_that_breaks_off_breaks_off(world: World) -> None:
    """A client can tell that a response was cut short."""
    world.orders.behaviours["/v1/orders"] = stub.cut_off
    async with listening(world.app) as port, client() as http:
        with pytest.raises(httpx.TransportError):
            await http.get(f"http://127.0.0.1:{port}/v1/orders", headers=world.bearer())


async def test_a_response_that_breaks_off_resets_the_connection_of_http_1_0(world: World) -> None:
    """It has no chunks, whose last would be missing."""
    world.orders.behaviours["/v1/orders"] = stub.cut_off
    async with listening(world.app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        (token,) = world.bearer().values()
        writer.write(f"GET /v1/orders HTTP/1.0\r\nHost: x\r\nAuthorization: {token}\r\n\r\n".encode())
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()


async def test_a_body_that_is_too_large(start: Start) -> None:
    """413, whether the size is declared or not."""
    async with start(max_body_bytes=1000) as world:
        declared = await world.client.post("/v1/orders", content=b"x" * 1001, headers=world.bearer())

        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(11):
                yield b"x" * 100

        undeclared = await world.client.post("/v1/orders", content=chunks(), headers=world.bearer())
        for response in (declared, undeclared):
            assert (response.status_code, response.headers["Content-Type"]) == (413, "application/problem+json")


async def test_a_body_that_does_not_come(start: Start) -> None:
    """A client that announces a body and sends half of it is answered 408."""
    async with start(pass_through_timeout_s=0.3) as world, listening(world.app) as port:
        (token,) = world.bearer().values()
        head = f"POST /v1/orders HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nContent-Length: 10\r\n\r\nhalf"
        answer = await exchange(port, head.encode())
        assert answer.startswith(b"HTTP/1.1 408")
        await eventually(lambda: world.orders.connections == 0)


async def test_a_body_that_comes_in_parts_arrives_whole(world: World) -> None:
    """Small or large, of known length or not."""
    (token,) = world.bearer().values()
    parts = (b"a" * 1000, b"b" * 1000, b"c" * 40_000)
    async with listening(world.app) as port:
        for sent in (parts[:2], parts):
            body = b"".join(sent)
            chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in sent)
            ways = {b"Content-Length: %d" % len(body): body, b"Transfer-Encoding: chunked": chunks + b"0\r\n\r\n"}
            for framing, content in ways.items():
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                head = b"POST /v1/orders HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\n%s\r\n\r\n"
                for part in (head % (token.encode(), framing), content[:500], content[500:]):
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(0)
                assert (await reader.readline()).startswith(b"HTTP/1.1 200")
                writer.close()
                assert world.orders.asked[-1].body == body


async def test_a_request_without_a_body_says_so(world: World) -> None:
    """As RFC 9110, section 8.6, has it for POST, whether the client does or not."""
    (token,) = world.bearer().values()
    target = f"/v1/orders/{new_id()}/pay"
    async with listening(world.app) as port:
        for length in ("", "Content-Length: 0\r\n"):
            head = f"POST {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{length}Authorization: {token}\r\n\r\n"
            assert (await exchange(port, head.encode())).startswith(b"HTTP/1.1 200")
            assert world.orders.last(target).values("content-length") == ["0"]
            assert not world.orders.last(target).values("transfer-encoding")


async def test_a_response_without_its_body_breaks_off(world: World) -> None:
    """A client gets the head that the service has sent, also when nothing of a small body follows it."""

    async def only_a_head(exchange: Exchange) -> None:
        await exchange.raw(b"HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\n")
        exchange.writer.close()

    world.orders.behaviours["/v1/orders"] = only_a_head
    (token,) = world.bearer().values()
    async with listening(world.app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            f"POST /v1/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nAuthorization: {token}\r\n\r\n".encode()
        )
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 201")
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()


@pytest.mark.parametrize("status", [200, 204, 304, 404])
async def test_a_response_without_a_body_ends(world: World, status: int) -> None:
    """By its status or by its length, and the next one is answered, too."""
    length = "" if status in (204, 304) else "Content-Length: 0\r\n"
    head = f"HTTP/1.1 {status} X\r\n{length}\r\n".encode()
    world.orders.behaviours["/v1/orders"] = lambda exchange: exchange.raw(head)
    for _ in range(3):
        response = await world.client.get("/v1/orders", headers=world.bearer())
        assert (response.status_code, response.content) == (status, b"")


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refusal_without_a_body_goes_through(world: World, status: int) -> None:
    """One that is about the client has no code that says otherwise."""
    world.users.behaviours["/v1/tokens"] = replies(b"", status)
    async with listening(world.app) as port, client() as http:
        response = await http.post(f"http://127.0.0.1:{port}/v1/tokens", data={"username": "a", "password": "b"})
    assert (response.status_code, response.content) == (status, b"")


async def test_large_bodies_stream_in_bounded_memory(start: Start) -> None:
    """20 MiB up and 20 MiB down cost the process a fraction of that."""

    async def large(exchange: Exchange) -> None:
        await exchange.raw(f"HTTP/1.1 200 OK\r\nContent-Length: {20 * MIB}\r\n\r\n".encode())
        for _ in range(20 * 16):
            await exchange.raw(b"y" * (MIB // 16))

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20 * 16):
            yield b"x" * (MIB // 16)

    async with start(max_body_bytes=32 * MIB) as world, listening(world.app) as port, client() as http:
        world.orders.behaviours["/v1/orders"] = large
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        url = f"http://127.0.0.1:{port}/v1/orders"
        size = 0
        async with http.stream("POST", url, content=chunks(), headers=world.bearer()) as response:
            async for chunk in response.aiter_raw():
                size += len(chunk)
        assert (size, world.orders.asked[-1].size) == (20 * MIB, 20 * MIB)
        grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown_kib < 12 * 1024


async def test_the_response_begins_before_it_ends(world: World) -> None:
    """What a service has sent so far reaches the client at once."""
    more = asyncio.Event()

    async def in_two_parts(exchange: Exchange) -> None:
        await exchange.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\none")
        await more.wait()
        await exchange.raw(b"two")

    world.orders.behaviours["/v1/orders"] = in_two_parts
    async with listening(world.app) as port, client() as http:
        url = f"http://127.0.0.1:{port}/v1/orders"
        async with http.stream("GET", url, headers=world.bearer()) as response:
            parts = response.aiter_raw()
            assert await anext(parts) == b"one"
            more.set()
            assert await anext(parts) == b"two"


async def test_clients_that_leave_take_their_requests_with_them(world: World) -> None:
    """200 clients that disconnect in the middle leave no task, no request and no connection behind, long before
    anything has timed out."""
    for service in (world.users, world.orders, world.worker):
        service.behaviours |= dict.fromkeys(stub.PANEL_DATA, stub.hang)
    world.orders.behaviours["/v1/orders"] = stub.hang
    (token,) = world.bearer().values()

    async def leave(port: int, path: str, body: str) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"{path} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n{body}".encode())
        await writer.drain()
        await eventually(lambda: world.orders.active > 0)
        writer.transport.abort()

    async with listening(world.app) as port:
        idle = len(asyncio.all_tasks())
        ways = [
            ("GET /v1/dashboard", "\r\n"),
            ("GET /v1/orders", "\r\n"),
            ("POST /v1/orders", "Content-Length: 2\r\n\r\n{}"),
            ("POST /v1/orders", "Content-Length: 100\r\n\r\n{}"),
        ]
        await asyncio.gather(*(leave(port, *ways[n % 4]) for n in range(200)))
        await eventually(lambda: world.orders.active == 0 and world.users.active == 0 and world.worker.active == 0)
        await eventually(lambda: len(asyncio.all_tasks()) <= idle + world.orders.connections * 2 + 6)
        world.orders.behaviours.clear()
        async with client() as http:
            response = await http.get(f"http://127.0.0.1:{port}/v1/orders", headers=world.bearer())
        assert response.status_code == 200


async def test_a_client_that_leaves_is_noticed_at_once(world: World) -> None:
    """The service's side of a request ends with the client's, not with a timeout, which is longer than we wait."""
    world.orders.behaviours["/v1/orders"] = stub.hang
    (token,) = world.bearer().values()
    async with listening(world.app) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            f"GET /v1/orders HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: {token}\r\n\r\n".encode()
        )
        await eventually(lambda: world.orders.active == 1)
        writer.transport.abort()
        await eventually(lambda: world.orders.active == 0)


async def test_signing_out_is_carried_through(world: World) -> None:
    """A client that does not wait for the end of its sign-out is signed out all the same."""
    go = asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        await go.wait()
        await exchange.reply(b"", 204)

    world.users.behaviours["/v1/tokens"] = slow
    headers = world.bearer()
    (token,) = headers.values()
    async with listening(world.app) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            f"DELETE /v1/tokens HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: {token}\r\n\r\n".encode()
        )
        await eventually(lambda: world.users.active == 1)
        writer.transport.abort()
        go.set()

        async def refused() -> bool:
            return (await world.client.get("/v1/me", headers=headers)).status_code == 401

        await eventually(refused)
