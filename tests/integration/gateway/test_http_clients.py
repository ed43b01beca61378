"""Clients that offer to upgrade by default: they sign in and place orders as usual."""

import asyncio
import shutil
from pathlib import Path

import pytest

from tests.support.gateway.stub import replies
from tests.support.gateway.world import World
from tests.support.served import listening

BODY = '{"currency": "EUR"}'
JAVA = """
import java.net.URI;
import java.net.http.*;

public class Client {
  public static void main(String[] given) throws Exception {
    var client = HttpClient.newHttpClient();
    for (int number = 0; number < 3; number++) {
      var request = HttpRequest.newBuilder(URI.create(given[0])).header("Authorization", given[1])
          .header("Content-Type", "application/json").POST(HttpRequest.BodyPublishers.ofString(given[2])).build();
      System.out.print(client.send(request, HttpResponse.BodyHandlers.ofString()).statusCode() + " ");
    }
  }
}
"""


async def output(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    told, _ = await process.communicate()
    return told.decode()


@pytest.fixture
def ordering(world: World) -> World:
    world.orders.behaviours["/v1/orders"] = replies(b"{}", 201)
    return world


def bodies(world: World) -> list[bytes]:
    return [request.body for request in world.orders.received if request.target == "/v1/orders"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_curl_with_http2(ordering: World) -> None:
    """curl offers h2c over plain HTTP."""
    (token,) = ordering.bearer().values()
    headers = ("-H", f"Authorization: {token}", "-H", "Content-Type: application/json")
    async with listening(ordering.app) as port:
        url = f"http://127.0.0.1:{port}/v1/orders"
        asked = ("curl", "-sS", "--http2", "-o", "/dev/null", "-w", "%{http_code} %{http_version} ", *headers)
        told = await output(*asked, "-d", BODY, url, "--next", *asked[1:], "-d", BODY, url)
    assert told.split() == ["201", "1.1"] * 2
    assert bodies(ordering) == [BODY.encode()] * 2


@pytest.mark.full
@pytest.mark.skipif(shutil.which("javac") is None, reason="no JDK is installed")
async def test_java_with_its_defaults(ordering: World, tmp_path: Path) -> None:
    """Java's `HttpClient` offers h2c with the first request of each connection."""
    source = tmp_path / "Client.java"
    source.write_text(JAVA)
    (token,) = ordering.bearer().values()
    async with listening(ordering.app) as port:
        told = await output("java", str(source), f"http://127.0.0.1:{port}/v1/orders", token, BODY)
    assert told.split() == ["201"] * 3
    assert bodies(ordering) == [BODY.encode()] * 3
