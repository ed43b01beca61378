"""Pictures that tests draw."""

import io
import struct
import zlib
from typing import Any

from PIL import Image

RED, BLUE = (220, 30, 30), (30, 30, 220)
SCRIPT = b"#!/bin/sh\nrm -rf /\n"


def picture(kind: str = "PNG", size: tuple[int, int] = (300, 200), colour: Any = RED, **saved: Any) -> bytes:
    mode = "RGBA" if len(colour) == 4 else "RGB"
    return encoded(Image.new(mode, size, colour), kind, **saved)


def encoded(image: Image.Image, kind: str, **saved: Any) -> bytes:
    written = io.BytesIO()
    image.save(written, kind, **saved)
    return written.getvalue()


def half_and_half() -> Image.Image:
    """Return a picture that is red on the left and blue on the right."""
    image = Image.new("RGB", (200, 200), RED)
    image.paste(BLUE, (100, 0, 200, 200))
    return image


def bomb(width: int = 60_000, height: int = 60_000) -> bytes:
    """Return a PNG of a few bytes whose header declares billions of pixels."""
    header = struct.pack("!IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 100_000)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack("!I", len(data)) + kind + data + struct.pack("!I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def opened(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image
