"""A program that reads one picture from standard input and writes its thumbnails to standard output.

Each picture gets its own process, because decoders read untrusted input: it has no environment, limits on memory and
CPU, a low priority, and can be killed safely.

Metadata that a thumbnail does not need are removed first: Pillow rejects a picture for an error in any metadata, while
browsers display it. Removed metadata cannot be invalid.
"""

import io
import resource
import struct
import sys
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from os import nice

from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError

SIZES = (256, 64)
FORMATS = ("PNG", "JPEG", "WEBP")
MAX_PIXELS = 50_000_000
MAX_MEMORY_BYTES = 768 * 1024 * 1024
MAX_CPU_S = 8
PRIORITY = 10
REFUSED = 3
"""The exit status if the picture is refused; standard error has the reason."""
QUALITY = 85

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


class Refused(Exception):
    """The picture is refused; the message is for its sender."""


def thumbnails(content: bytes) -> list[bytes]:
    """Return the central square of the picture in each of `SIZES`, as WebP without metadata. Raises `Refused`.

    Unreadable metadata are ignored, as browsers do; unreadable pixels are rejected.
    """
    try:
        with Image.open(io.BytesIO(reduced(content)), formats=FORMATS) as picture:
            check(picture.size)
            largest = _cut(picture)
    except UnidentifiedImageError:
        raise Refused("is not a PNG, JPEG or WebP picture, or is damaged") from None
    except Image.DecompressionBombError:
        raise _too_large() from None
    except MemoryError:
        raise Refused("needs too much memory") from None
    except Refused:
        raise
    except Exception:  # a decoder may raise anything
        raise Refused("is damaged or cut off") from None
    return [_encoded(largest.resize((size, size), Image.Resampling.LANCZOS)) for size in SIZES]


def check(size: tuple[int, int]) -> None:
    """Check the header, before anything is decoded. Raises `Refused`."""
    width, height = size
    if width * height > MAX_PIXELS:
        raise _too_large()


def _too_large() -> Refused:
    return Refused(f"has more than {MAX_PIXELS // 1_000_000} megapixels")


def _cut(picture: Image.Image) -> Image.Image:
    """Return the central square, upright, in sRGB. A JPEG is decoded only as finely as needed."""
    side = max(SIZES)
    picture.draft(None, (side, side))
    colours = _with_8_bits(picture)
    mode = "RGBA" if colours.has_transparency_data else "RGB"
    colours = colours if colours.mode == mode else colours.convert(mode)
    width, height = colours.size
    edge = min(width, height)
    left, top = (width - edge) // 2, (height - edge) // 2
    square = (left, top, left + edge, top + edge)
    cut = colours.resize((side, side), Image.Resampling.LANCZOS, box=square, reducing_gap=3)
    return _in_srgb(_upright(cut, picture), picture.info.get("icc_profile"))


def _with_8_bits(picture: Image.Image) -> Image.Image:
    if not picture.mode.startswith("I;16"):
        return picture
    return picture.point(lambda value: value * (1 / 256)).convert("L")


def _upright(cut: Image.Image, picture: Image.Image) -> Image.Image:
    """Rotate the picture according to its EXIF data, if they are readable."""
    try:
        orientation = picture.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # the parser may raise anything
        return cut
    if orientation not in range(2, 9):
        return cut
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    cut.info = {"exif": exif.tobytes()}
    return ImageOps.exif_transpose(cut)


def _in_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert the picture to sRGB; unchanged if its profile does not fit."""
    if profile:
        with suppress(ImageCms.PyCMSError, OSError):
            theirs = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            ImageCms.profileToProfile(picture, theirs, ImageCms.createProfile("sRGB"), inPlace=True)
    return picture


def _encoded(picture: Image.Image) -> bytes:
    picture.info = {}
    written = io.BytesIO()
    picture.save(written, "WEBP", quality=QUALITY)
    return written.getvalue()


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


def pack(pictures: list[bytes]) -> bytes:
    return b"".join(struct.pack("!I", len(picture)) + picture for picture in pictures)


def _limit() -> None:
    nice(PRIORITY)
    limits = {resource.RLIMIT_AS: MAX_MEMORY_BYTES, resource.RLIMIT_CPU: MAX_CPU_S, resource.RLIMIT_CORE: 0}
    for kind, limit in limits.items():
        with suppress(ValueError, OSError):  # not every system supports all of them
            resource.setrlimit(kind, (limit, limit))


def main() -> int:
    _limit()
    warnings.simplefilter("ignore")  # Pillow's warnings about bombs and metadata; the limits here are ours
    try:
        made = thumbnails(sys.stdin.buffer.read())
    except Refused as refused:
        sys.stderr.write(str(refused))
        return REFUSED
    sys.stdout.buffer.write(pack(made))
    return 0


if __name__ == "__main__":
    sys.exit(main())
