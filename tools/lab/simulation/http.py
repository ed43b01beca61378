"""HTTP requests of simulated gateways that go through pyqwest, whose threads would leave the simulation."""

import asyncio
from urllib.parse import urlsplit

from pyqwest import Request, Response


class SimulatedTransport:
    """Sends a GET without a body over the simulated network. It is used to see whether a replica responds."""

    async def execute(self, request: Request) -> Response:
        """Return the status. Raises `ConnectionError`."""
        url = urlsplit(request.url)
        try:
            reader, writer = await asyncio.open_connection(url.hostname, url.port)
            try:
                head = f"GET {url.path} HTTP/1.1\r\nHost: {url.hostname}\r\nConnection: close\r\n\r\n"
                writer.write(head.encode())
                answer = await reader.readuntil(b"\r\n\r\n")
            finally:
                writer.close()
        except (OSError, asyncio.IncompleteReadError) as error:
            raise ConnectionError(str(error)) from error
        return Response(status=int(answer.split()[1]))
