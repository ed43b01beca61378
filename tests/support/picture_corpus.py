"""Pictures as cameras, phones and editors write them, and as they arrive damaged; each with what becomes of it.

Most of them are four coloured quarters, so that a turn, a wrong channel or a lost palette shows.
"""

import io
import random
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageCms

from tests.support.drawn import SCRIPT, bomb, encoded

Colour = tuple[int, ...]
"""Red, green, blue, and alpha if it is not 255."""
Quarters = tuple[Colour, Colour, Colour, Colour]
"""Top left, top right, bottom left, bottom right."""

RED, GREEN, BLUE, YELLOW = (220, 30, 30), (30, 200, 30), (30, 30, 220), (230, 230, 30)
CLEAR = (0, 0, 0, 0)
QUARTERS: Quarters = (RED, GREEN, BLUE, YELLOW)
GREYS: Quarters = ((0,) * 3, (85,) * 3, (170,) * 3, (255,) * 3)
BLACK_AND_WHITE: Quarters = ((0,) * 3, (255,) * 3, (255,) * 3, (0,) * 3)
SIDE = 32
ORIENTATION = 0x0112
TURNED: dict[int, Quarters] = {
    1: (RED, GREEN, BLUE, YELLOW),
    2: (GREEN, RED, YELLOW, BLUE),
    3: (YELLOW, BLUE, GREEN, RED),
    4: (BLUE, YELLOW, RED, GREEN),
    5: (RED, BLUE, GREEN, YELLOW),
    6: (BLUE, RED, YELLOW, GREEN),
    7: (YELLOW, GREEN, BLUE, RED),
    8: (GREEN, YELLOW, RED, BLUE),
}
"""The quarters after a picture with this orientation has been rotated upright."""

PNG = b"\x89PNG\r\n\x1a\n"
NO_PICTURE = "is not a PNG, JPEG or WebP picture"
DAMAGED = "is damaged or cut off"
TOO_LARGE = "has more than 50 megapixels"


@dataclass(frozen=True)
class Sample:
    """`looks` has the colours of an accepted picture, `reason` why it is refused."""

    name: str
    content: bytes
    looks: Quarters | None = None
    reason: str = ""


def quarters(mode: str = "RGB", colours: Quarters = QUARTERS, size: tuple[int, int] = (SIDE, SIDE)) -> Image.Image:
    with_alpha = any(len(colour) == 4 for colour in colours)
    image = Image.new("RGBA" if with_alpha else "RGB", size)
    half = size[0] // 2, size[1] // 2
    for number, colour in enumerate(colours):
        left, top = number % 2 * half[0], number // 2 * half[1]
        image.paste(colour, (left, top, left + half[0], top + half[1]))
    return image.convert(mode)


def chunk(kind: bytes, data: bytes, crc: int | None = None) -> bytes:
    sum_of_it = zlib.crc32(kind + data) if crc is None else crc
    return struct.pack("!I", len(data)) + kind + data + struct.pack("!I", sum_of_it)


def png(depth: int, colour: int, rows: bytes, *before: bytes, side: int = 2, lace: int = 0) -> bytes:
    """Return a PNG that is built from its parts; `before` has chunks before the pixels."""
    header = struct.pack("!IIBBBBB", side, side, depth, colour, 0, 0, lace)
    ends = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return PNG + chunk(b"IHDR", header) + b"".join(before) + ends


def with_chunks(content: bytes, *chunks: bytes, at_the_end: bool = False) -> bytes:
    """Return a PNG with additional chunks after its header, or before its end."""
    at = len(content) - 12 if at_the_end else len(PNG) + 25
    return content[:at] + b"".join(chunks) + content[at:]


def with_segment(content: bytes, marker: int, data: bytes) -> bytes:
    """Return a JPEG with an additional segment at its start."""
    return content[:2] + bytes((0xFF, marker)) + struct.pack("!H", len(data) + 2) + data + content[2:]


def turned(kind: str, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encoded(quarters(), kind, exif=exif, **LOSSLESS[kind])


LOSSLESS: dict[str, dict[str, Any]] = {"PNG": {}, "JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}}
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
GARBAGE = random.Random(1).randbytes(400)
JPEG = encoded(quarters(), "JPEG", **LOSSLESS["JPEG"])
WEBP = encoded(quarters(), "WEBP", lossless=True)
PLAIN = encoded(quarters(), "PNG")
NOISE = Image.frombytes("RGB", (96, 96), random.Random(2).randbytes(96 * 96 * 3))
PALETTE = chunk(b"PLTE", bytes((*RED, *GREEN, *BLUE, *YELLOW)))
INDEXED = bytes((0, 0, 1, 0, 2, 3))
RGB_16 = b"".join(
    b"\0" + b"".join(struct.pack("!3H", *(value * 257 for value in colour)) for colour in row)
    for row in ((RED, GREEN), (BLUE, YELLOW))
)
GREY_16 = struct.pack("!BHHBHH", 0, 0, 0x5555, 0, 0xAAAA, 0xFFFF)


def samples() -> Iterator[Sample]:
    yield from _depths_and_modes()
    yield from _transparency()
    yield from _orientations()
    yield from _metadata()
    yield from _shapes_and_animations()
    yield from _unusable()


def _depths_and_modes() -> Iterator[Sample]:
    yield Sample("png", PLAIN, QUARTERS)
    yield Sample("jpeg", JPEG, QUARTERS)
    yield Sample("webp", WEBP, QUARTERS)
    yield Sample("webp lossy", encoded(quarters(), "WEBP", quality=95), QUARTERS)
    yield Sample("jpeg progressive", encoded(quarters(), "JPEG", progressive=True, **LOSSLESS["JPEG"]), QUARTERS)
    yield Sample(
        "jpeg with restarts", encoded(quarters(), "JPEG", restart_marker_blocks=1, **LOSSLESS["JPEG"]), QUARTERS
    )
    yield Sample("jpeg grey", encoded(quarters("L", GREYS), "JPEG", quality=95), GREYS)
    yield Sample("jpeg for print", encoded(quarters("CMYK"), "JPEG", **LOSSLESS["JPEG"]), QUARTERS)
    yield Sample("jpeg stored as RGB", encoded(quarters(), "JPEG", keep_rgb=True, quality=95), QUARTERS)
    yield Sample("png 1 bit", encoded(quarters("1", BLACK_AND_WHITE), "PNG"), BLACK_AND_WHITE)
    yield Sample("png 2 bit grey", png(2, 0, bytes((0, 0b00010000, 0, 0b10110000))), GREYS)
    yield Sample("png 4 bit grey", png(4, 0, bytes((0, 0x05, 0, 0xAF))), GREYS)
    yield Sample("png 8 bit grey", encoded(quarters("L", GREYS), "PNG"), GREYS)
    yield Sample("png 16 bit grey", png(16, 0, GREY_16), GREYS)
    yield Sample("png 16 bit grey with alpha", png(16, 4, _grey_alpha_16()), (*GREYS[:3], CLEAR))
    yield Sample("png 16 bit colour", png(16, 2, RGB_16), QUARTERS)
    yield Sample("png 16 bit colour with alpha", png(16, 6, _rgba_16()), (*QUARTERS[:3], CLEAR))
    yield Sample("png palette of 2 bits", png(2, 3, bytes((0, 0b00010000, 0, 0b10110000)), PALETTE), QUARTERS)
    yield Sample("png palette of 8 bits", png(8, 3, INDEXED, PALETTE), QUARTERS)
    yield Sample("png interlaced", png(8, 3, _interlaced(), PALETTE, lace=1), QUARTERS)
    yield Sample("png interlaced 16 bit grey", png(16, 0, _interlaced_16(), lace=1), GREYS)
    yield Sample("png in many IDAT chunks", _in_pieces(PLAIN), QUARTERS)


def _grey_alpha_16() -> bytes:
    return struct.pack("!BHHHHBHHHH", 0, 0, 0xFFFF, 0x5555, 0xFFFF, 0, 0xAAAA, 0xFFFF, 0xFFFF, 0)


def _rgba_16() -> bytes:
    pixels = [struct.pack("!4H", *(value * 257 for value in colour), 0xFFFF) for colour in (RED, GREEN, BLUE)]
    return b"\0" + pixels[0] + pixels[1] + b"\0" + pixels[2] + bytes(8)


def _interlaced() -> bytes:
    """Return two by two pixels, in the three passes of Adam7 that are not empty."""
    return bytes((0, 0, 0, 1, 0, 2, 3))


def _interlaced_16() -> bytes:
    return struct.pack("!BHBHBHH", 0, 0, 0, 0x5555, 0, 0xAAAA, 0xFFFF)


def _in_pieces(content: bytes) -> bytes:
    at = content.index(b"IDAT") - 4
    length = int.from_bytes(content[at : at + 4])
    data = content[at + 8 : at + 8 + length]
    return (
        content[:at]
        + b"".join(chunk(b"IDAT", data[i : i + 9]) for i in range(0, length, 9))
        + content[at + 12 + length :]
    )


def _transparency() -> Iterator[Sample]:
    clear = (RED, GREEN, BLUE, CLEAR)
    half = ((220, 30, 30, 128), GREEN, BLUE, YELLOW)
    yield Sample("png with alpha", encoded(quarters("RGBA", clear), "PNG"), clear)
    yield Sample("png half transparent", encoded(quarters("RGBA", half), "PNG"), half)
    yield Sample("webp with alpha", encoded(quarters("RGBA", clear), "WEBP", lossless=True), clear)
    yield Sample("png grey with alpha", encoded(quarters("LA", (*GREYS[:3], CLEAR)), "PNG"), (*GREYS[:3], CLEAR))
    palette = (PALETTE, chunk(b"tRNS", b"\xff\xff\xff\0"))
    yield Sample("png palette with a transparent colour", png(8, 3, INDEXED, *palette), clear)
    palette = (PALETTE, chunk(b"tRNS", b"\x80"))
    yield Sample("png palette with a short table of alpha", png(8, 3, INDEXED, *palette), half)
    white = chunk(b"tRNS", b"\0\xff")
    yield Sample(
        "png grey with a transparent value", png(8, 0, bytes((0, 0, 85, 0, 170, 255)), white), (*GREYS[:3], CLEAR)
    )
    white = chunk(b"tRNS", b"\0\x03")
    yield Sample(
        "png 2 bit grey with a transparent value",
        png(2, 0, bytes((0, 0b00010000, 0, 0b10110000)), white),
        (*GREYS[:3], CLEAR),
    )
    white = chunk(b"tRNS", b"\0\1")
    yield Sample(
        "png 1 bit with a transparent value",
        png(1, 0, bytes((0, 0b01000000, 0, 0b10000000)), white),
        (GREYS[0], CLEAR, CLEAR, GREYS[0]),
    )
    white = chunk(b"tRNS", b"\xff\xff")
    yield Sample("png 16 bit grey with a transparent value", png(16, 0, GREY_16, white), (*GREYS[:3], CLEAR))
    yellow = chunk(b"tRNS", struct.pack("!3H", *YELLOW))
    value = chunk(b"tRNS", b"\x12\x34")
    uneven = struct.pack("!BHHBHH", 0, 0, 0x5555, 0, 0x1234, 0xFFFF)
    looks = (GREYS[0], GREYS[1], CLEAR, GREYS[3])
    yield Sample("png 16 bit grey with a transparent value of two bytes", png(16, 0, uneven, value), looks)
    pixels = b"\0" + bytes((*RED, *GREEN)) + b"\0" + bytes((*BLUE, *YELLOW))
    yield Sample("png with a transparent colour", png(8, 2, pixels, yellow), clear)
    yellow = chunk(b"tRNS", struct.pack("!3H", *(value * 257 for value in YELLOW)))
    yield Sample("png 16 bit with a transparent colour", png(16, 2, RGB_16, yellow), clear)


def _orientations() -> Iterator[Sample]:
    for orientation, looks in TURNED.items():
        yield Sample(f"jpeg orientation {orientation}", turned("JPEG", orientation), looks)
    for kind in ("PNG", "WEBP"):
        yield Sample(f"{kind.lower()} orientation 6", turned(kind, 6), TURNED[6])
    for orientation in (0, 9):
        yield Sample(f"jpeg orientation {orientation}", turned("JPEG", orientation), QUARTERS)


def _metadata() -> Iterator[Sample]:
    exif = b"Exif\0\0"
    for name, data in {
        "garbage": GARBAGE,
        "nothing": b"",
        "a cut head": b"MM\0\x2a",
        "an offset beyond the end": b"MM\0\x2a\xff\xff\xff\xf0" + GARBAGE,
        "a directory of 65535 entries": b"II\x2a\0\x08\0\0\0\xff\xff" + GARBAGE,
        "a directory that is its own next": b"II\x2a\0\x08\0\0\0\0\0\x08\0\0\0",
        "an orientation that is text": b"II\x2a\0\x08\0\0\0\1\0\x12\1\2\0\4\0\0\0six\0\0\0\0\0",
    }.items():
        yield Sample(f"jpeg with EXIF of {name}", with_segment(JPEG, 0xE1, exif + data), QUARTERS)
    for name, marker, data in (
        ("a cut JFIF segment", 0xE0, b"JFIF"),
        ("a garbage MPF index", 0xE2, b"MPF\0" + GARBAGE),
        ("a garbage Photoshop block", 0xED, b"Photoshop 3.0\0" + b"8BIM\4\4"),
        ("a cut Adobe segment", 0xEE, b"Adobe"),
        ("a cut profile", 0xE2, b"ICC_PROFILE\0"),
        ("a garbage profile", 0xE2, b"ICC_PROFILE\0\1\1" + GARBAGE),
        ("garbage XMP", 0xE1, b"http://ns.adobe.com/xap/1.0/\0" + GARBAGE),
        ("a long comment", 0xFE, b"x" * 60_000),
    ):
        yield Sample(f"jpeg with {name}", with_segment(JPEG, marker, data), QUARTERS)
    yield Sample("jpeg with fill bytes", JPEG[:2] + b"\xff" * 7 + JPEG[2:], QUARTERS)
    yield Sample("jpeg with a film behind it", JPEG + b"\0\0\0\x18ftypmp42" + GARBAGE, QUARTERS)
    yield Sample("jpeg in sRGB", encoded(quarters(), "JPEG", icc_profile=SRGB, **LOSSLESS["JPEG"]), QUARTERS)
    for kind in (b"tEXt", b"tIME", b"pHYs", b"gAMA", b"iCCP", b"eXIf", b"zTXt", b"xxXx"):
        name = kind.decode()
        yield Sample(f"png with a wrong sum in {name}", with_chunks(PLAIN, chunk(kind, b"x" * 9, crc=7)), QUARTERS)
    for kind in (b"gAMA", b"cHRM", b"sRGB", b"pHYs", b"iCCP", b"eXIf", b"acTL", b"tRNS"):
        yield Sample(f"png with an empty {kind.decode()}", with_chunks(PLAIN, chunk(kind, b"")), QUARTERS)
    wrong = chunk(b"tEXt", b"Software\0Camera", crc=7)
    yield Sample("png with a wrong sum behind the pixels", with_chunks(PLAIN, wrong, at_the_end=True), QUARTERS)
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(80_000_000), 1))
    yield Sample("png with a text of 80 MB", with_chunks(PLAIN, text), QUARTERS)
    profile = chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(20_000_000), 1))
    yield Sample("png with a profile of 20 MB", with_chunks(PLAIN, profile), QUARTERS)
    profile = chunk(b"iCCP", b"a\0\7" + GARBAGE)
    yield Sample("png with an unknown way to pack its profile", with_chunks(PLAIN, profile), QUARTERS)
    yield Sample("png in sRGB", encoded(quarters(), "PNG", icc_profile=SRGB), QUARTERS)
    yield Sample("png with garbage behind it", PLAIN + GARBAGE, QUARTERS)
    yield Sample("webp with garbage EXIF", encoded(quarters(), "WEBP", lossless=True, exif=GARBAGE), QUARTERS)
    yield Sample(
        "webp with a garbage profile", encoded(quarters(), "WEBP", lossless=True, icc_profile=GARBAGE), QUARTERS
    )
    yield Sample("webp with garbage behind it", WEBP + GARBAGE, QUARTERS)


def _shapes_and_animations() -> Iterator[Sample]:
    yield Sample("one pixel", encoded(Image.new("RGB", (1, 1), RED), "PNG"), (RED,) * 4)
    yield Sample("one line", encoded(Image.new("RGB", (5000, 1), RED), "PNG"), (RED,) * 4)
    yield Sample("one column", encoded(Image.new("RGB", (1, 5000), RED), "JPEG"), (RED,) * 4)
    wide = Image.new("RGB", (4 * SIDE, SIDE), (0, 0, 0))
    wide.paste(quarters(), (SIDE + SIDE // 2, 0))
    yield Sample("the middle of a wide one", encoded(wide, "PNG"), QUARTERS)
    other = Image.new("RGB", (SIDE, SIDE), (9, 9, 9))
    more: dict[str, Any] = {"save_all": True, "append_images": [other]}
    yield Sample("png that moves", encoded(quarters(), "PNG", **more), QUARTERS)
    yield Sample("webp that moves", encoded(quarters(), "WEBP", lossless=True, **more), QUARTERS)
    first = {"append_images": [quarters(), other], "save_all": True, "default_image": True}
    yield Sample("png that moves, with a picture of its own", encoded(quarters(), "PNG", **first), QUARTERS)
    moving = encoded(quarters(), "PNG", **more)
    at = moving.index(b"fcTL")
    broken = moving[:at] + b"fcTL" + b"\xff" * 26 + moving[at + 30 :]
    yield Sample("png that moves in a garbage frame", broken, QUARTERS)


def _unusable() -> Iterator[Sample]:
    yield Sample("nothing", b"", reason=NO_PICTURE)
    yield Sample("a script", SCRIPT, reason=NO_PICTURE)
    yield Sample("svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", reason=NO_PICTURE)
    yield Sample("a web page", b"<!doctype html><title>Log in</title>", reason=NO_PICTURE)
    yield Sample("pdf", b"%PDF-1.7\n" + GARBAGE, reason=NO_PICTURE)
    yield Sample("heic", b"\0\0\0\x18ftypheic" + GARBAGE, reason=NO_PICTURE)
    for kind in ("GIF", "TIFF", "BMP", "ICO", "AVIF"):
        yield Sample(kind.lower(), encoded(quarters(), kind), reason=NO_PICTURE)
    moving = encoded(quarters("P"), "GIF", save_all=True, append_images=[quarters("P")])
    yield Sample("gif that moves", moving, reason=NO_PICTURE)
    yield Sample("png of billions of pixels", bomb(), reason=TOO_LARGE)
    yield Sample("png just above the limit", bomb(100_000, 501), reason=TOO_LARGE)
    large = JPEG.replace(struct.pack("!HH", SIDE, SIDE), struct.pack("!HH", 65_500, 65_500), 1)
    yield Sample("jpeg of billions of pixels", large, reason=TOO_LARGE)
    for kind in ("PNG", "JPEG", "WEBP"):
        whole = encoded(NOISE, kind)
        yield Sample(f"{kind.lower()} cut in half", whole[: len(whole) // 2], reason=DAMAGED)
        yield Sample(f"{kind.lower()} of 20 bytes", whole[:20], reason="is ")
    yield Sample("jpeg without its end marker", JPEG[:-2], reason=DAMAGED)
    yield Sample("png without pixels", PNG + PLAIN[8:33] + chunk(b"IEND", b""), reason=DAMAGED)
    yield Sample("png of no width", png(8, 0, b"\0", side=0), reason=NO_PICTURE)
    at = PLAIN.index(b"IDAT")
    yield Sample("png with a wrong sum in its pixels", PLAIN[: at + 6] + b"\0\0" + PLAIN[at + 8 :], reason=DAMAGED)
    yield Sample("png with a wrong sum in its header", PLAIN[:29] + b"1234" + PLAIN[33:], reason=NO_PICTURE)
    yield Sample("png palette without colours", png(8, 3, INDEXED), reason=DAMAGED)


SAMPLES = list(samples())


def opened_quarters(content: bytes) -> list[Colour]:
    """Return the colours in the middle of the four quarters."""
    image = Image.open(io.BytesIO(content)).convert("RGBA")
    near, far = image.width // 4, image.width - image.width // 4
    found = [image.getpixel(place) for place in ((near, near), (far, near), (near, far), (far, far))]
    return [colour for colour in found if isinstance(colour, tuple)]
