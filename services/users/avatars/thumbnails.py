"""A program that reads one picture from standard input and writes its thumbnails to standard output.

Each picture gets its own process, because decoders read untrusted input: it has no environment, limits on memory and
CPU, a low priority, and can be killed safely.
"""

import io
import resource
import struct
import sys
import warnings
from contextlib import suppress
from os import nice

from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError

from services.users.avatars.metadata import reduced

SIZES = (256, 64)
FORMATS = ("PNG", "JPEG", "WEBP")
MAX_PIXELS = 50_000_000
MAX_MEMORY_BYTES = 768 * 1024 * 1024
MAX_CPU_S = 8
PRIORITY = 10
REFUSED = 3
"""The exit status if the picture is refused; standard error has the reason."""
QUALITY = 85


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
