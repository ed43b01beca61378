"""The file in a multipart form, as it arrives: nothing of it is kept."""

from collections.abc import AsyncIterator, Mapping

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.exceptions import HTTPException
from starlette.requests import Request

from services.worker.text import storable
from shared.errors import InvalidInput

MAX_NAME = 255


class FormFile:
    """The file in one field of a form; there must be one. Other fields are passed over."""

    def __init__(self, request: Request, field: str) -> None:
        self._request = request
        self._field = field
        self._header: list[bytes] = [b"", b""]
        self._headers: dict[bytes, bytes] = {}
        self._in_file = False
        self._found = False
        self._ended = False
        self._pieces: list[bytes] = []
        self.name: str | None = None
        """What the client calls it; known with the first piece."""

    async def pieces(self) -> AsyncIterator[bytes]:
        """Raises `InvalidInput`, or 415 for a body of another kind."""
        parser = self._parser()
        async for chunk in self._request.stream():
            try:
                parser.write(chunk)
            except FormParserError as broken:
                raise InvalidInput.of(self._field, "is not in a well-formed multipart body") from broken
            if self._pieces:
                yield b"".join(self._pieces)
                self._pieces.clear()
        if not self._ended:
            raise InvalidInput.of(self._field, "is missing" if not self._found else "is cut off")
        if not self._found:
            raise InvalidInput.of(self._field, "is missing")

    def _parser(self) -> MultipartParser:
        kind, options = parse_options_header(self._request.headers.get("content-type"))
        if kind != b"multipart/form-data":
            raise HTTPException(415)
        try:
            return MultipartParser(
                options[b"boundary"],
                {
                    "on_part_begin": self._begin,
                    "on_header_field": self._header_field,
                    "on_header_value": self._header_value,
                    "on_header_end": self._header_end,
                    "on_headers_finished": self._headers_finished,
                    "on_part_data": self._data,
                    "on_end": self._end,
                },
            )
        except (KeyError, FormParserError) as broken:
            raise InvalidInput.of("Content-Type", "must have a valid boundary") from broken

    def _begin(self) -> None:
        self._headers = {}
        self._in_file = False

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header[0] += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1] += data[start:end]

    def _header_end(self) -> None:
        name, value = self._header
        self._headers[name.lower()] = value
        self._header = [b"", b""]

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        self._in_file = options.get(b"name") == self._field.encode()
        if not self._in_file:
            return
        if self._found:
            raise InvalidInput.of(self._field, "is there more than once")
        self._found = True
        self.name = _name(options)

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._pieces.append(data[start:end])

    def _end(self) -> None:
        self._ended = True


def _name(options: Mapping[bytes, bytes]) -> str | None:
    told = options.get(b"filename", b"").decode("utf-8", "replace")
    return storable(told, MAX_NAME) or None
