"""One panel query, straight through pyqwest: behind httpx's interface every call would cost half as much again."""

from pyqwest import ReadError, RemoteProtocolError, Request, Response, Transport, WriteError

from services.gateway.failures import BadAnswer, Refused, TooLate, Unreachable

OK = 200
CLIENT_ERRORS = range(400, 500)


async def query(transport: Transport, request: Request, max_bytes: int) -> bytes:
    """The body of the answer. Cancelled, it closes the connection. Raises `UpstreamFailed`."""
    try:
        response = await transport.execute(request)
        try:
            _check_status(response.status)
            return await _read(response, max_bytes)
        finally:
            await response.aclose()
    except ConnectionError as refused:
        raise Unreachable(str(refused)) from refused
    except TimeoutError as late:
        raise TooLate(str(late)) from late
    except (RemoteProtocolError, ReadError, WriteError) as broken:
        raise BadAnswer(str(broken)) from broken


def _check_status(status: int) -> None:
    if status in CLIENT_ERRORS:
        raise Refused(f"status {status}")
    if status != OK:
        raise BadAnswer(f"status {status}")


async def _read(response: Response, max_bytes: int) -> bytes:
    """Raises `BadAnswer` as soon as there is more than that."""
    body = bytearray()
    async for chunk in response.content:
        body += chunk
        if len(body) > max_bytes:
            raise BadAnswer(f"more than {max_bytes} bytes")
    return bytes(body)
