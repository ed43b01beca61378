"""Removes the metadata that a thumbnail does not need from a picture's file.

Pillow rejects a picture for an error in any metadata, while browsers display it. Removed metadata cannot be invalid.
"""

import struct
import zlib
from collections.abc import Callable, Iterator

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_DEPTH_AT, PNG_COLOUR_AT, PNG_PIXELS_AT = 24, 25, 33
PNG_GREY, PNG_RGB, PNG_PALETTE = 0, 2, 3
PNG_TRANSPARENT_BYTES = {PNG_GREY: 2, PNG_RGB: 6, PNG_PALETTE: 1}
"""The minimum length of the chunk `tRNS`, by colour type; others have none."""
MAX_PROFILE_BYTES = 1024 * 1024

JPEG_SIGNATURE = b"\xff\xd8\xff"
JPEG_FIRST_APP, JPEG_LAST_APP, JPEG_COMMENT, JPEG_SCAN = 0xE0, 0xEF, 0xFE, 0xDA
JPEG_KEPT = ((b"JFIF\0", 14), (b"Exif\0\0", 14), (b"ICC_PROFILE\0", 14), (b"Adobe", 12))
"""The prefixes of application segments that change how a picture looks, and their minimum lengths."""


def reduced(content: bytes) -> bytes:
    """Return the same picture. A file of another kind, and unreadable parts, stay unchanged."""
    if content.startswith(PNG_SIGNATURE):
        return PNG_SIGNATURE + b"".join(_png_chunks(content, len(PNG_SIGNATURE)))
    if content.startswith(JPEG_SIGNATURE):
        return content[:2] + b"".join(_jpeg_segments(content, 2))
    return content


def _png_chunks(content: bytes, at: int) -> Iterator[bytes]:
    while at + 8 <= len(content):
        length, kind = struct.unpack_from("!I4s", content, at)
        chunk = content[at : at + 12 + length]
        at += len(chunk)
        is_critical = kind[:1].isupper()
        yield chunk if is_critical else _kept_chunk(content, kind, chunk)


def _kept_chunk(content: bytes, kind: bytes, chunk: bytes) -> bytes:
    """Return the chunk, or nothing if it is not needed or invalid."""
    read = PNG_READERS.get(kind)
    if read is None or _crc(chunk[4:-4]) != chunk[-4:] or len(content) < PNG_PIXELS_AT:
        return b""
    data = read(content, chunk[8:-4])
    return struct.pack("!I", len(data)) + kind + data + _crc(kind + data) if data else b""


def _crc(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(4)


def _transparency(content: bytes, data: bytes) -> bytes:
    """Return `tRNS` for 8 bits, whatever depth the picture has."""
    depth, colour = content[PNG_DEPTH_AT], content[PNG_COLOUR_AT]
    if len(data) < PNG_TRANSPARENT_BYTES.get(colour, len(data) + 1):
        return b""
    if colour == PNG_PALETTE:
        return data
    count = PNG_TRANSPARENT_BYTES[colour] // 2
    most = (1 << depth) - 1
    return struct.pack(
        f"!{count}H", *(min(value, most) * 255 // most for value in struct.unpack_from(f"!{count}H", data))
    )


def _profile(_content: bytes, data: bytes) -> bytes:
    """Return an `iCCP` that can be decompressed."""
    packed = data.partition(b"\0")[2]
    unpacker = zlib.decompressobj()
    try:
        unpacker.decompress(packed[1:], MAX_PROFILE_BYTES)
    except zlib.error:
        return b""
    return data if packed[:1] == b"\0" and not unpacker.unconsumed_tail else b""


PNG_READERS: dict[bytes, Callable[[bytes, bytes], bytes]] = {
    b"tRNS": _transparency,
    b"iCCP": _profile,
    b"eXIf": lambda _content, data: data,
}
"""The ancillary chunks that change how a picture looks; each returns the part to keep."""


def _jpeg_segments(content: bytes, at: int) -> Iterator[bytes]:
    """Return the segments before the first scan, and everything after them."""
    while at + 4 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker == JPEG_SCAN:
            break
        if marker == 0xFF:  # a marker may be preceded by fill bytes
            at += 1
            continue
        length = 2 + int.from_bytes(content[at + 2 : at + 4])
        segment = content[at : at + length]
        if not (JPEG_FIRST_APP <= marker <= JPEG_LAST_APP or marker == JPEG_COMMENT) or _is_kept(segment):
            yield segment
        at += length
    yield content[at:]


def _is_kept(segment: bytes) -> bool:
    data = segment[4:]
    return any(data.startswith(start) and len(data) >= least for start, least in JPEG_KEPT)
