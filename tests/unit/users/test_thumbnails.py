"""What becomes of a picture."""

import io
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from services.users.thumbnails import MAX_PIXELS, SIZES, Refused, check, thumbnails
from tests.support.drawn import BLUE, RED, SCRIPT, bomb, encoded, half_and_half, opened, picture


def near(pixel: object, colour: tuple[int, ...]) -> bool:
    assert isinstance(pixel, tuple)
    return all(abs(a - b) < 40 for a, b in zip(pixel, colour, strict=False))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_every_kind_becomes_square_webp(kind: str) -> None:
    """In both sizes, whatever its own."""
    for size in ((300, 200), (20, 500), (1, 1)):
        made = [opened(content) for content in thumbnails(picture(kind, size))]
        assert [(image.format, image.size) for image in made] == [("WEBP", (side, side)) for side in SIZES]
        assert all(near(image.convert("RGB").getpixel((30, 30)), RED) for image in made)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_mode_of_a_png(mode: str) -> None:
    """Grey, palette and 16 bits are shown, too."""
    grey = Image.new("I;16", (90, 90), 40_000) if mode == "I;16" else Image.new("RGBA", (90, 90), RED).convert(mode)
    assert opened(thumbnails(encoded(grey, "PNG"))[0]).size == (256, 256)


def test_print_colours() -> None:
    """A CMYK JPEG is shown on screens."""
    assert near(
        opened(thumbnails(encoded(Image.new("CMYK", (90, 90), (0, 255, 255, 0)), "JPEG"))[1]).getpixel((9, 9)),
        (255, 0, 0),
    )


def test_transparency_is_kept() -> None:
    """What was half transparent still is."""
    pixel = opened(thumbnails(picture(colour=(0, 255, 0, 128)))[0]).getpixel((9, 9))
    assert isinstance(pixel, tuple)
    assert abs(pixel[3] - 128) < 5


def test_a_picture_is_turned_upright_and_its_metadata_go() -> None:
    """Orientation 3 is upside down: left and right change places. Neither camera nor place remains."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 3, "Camera that tells too much"
    made = thumbnails(encoded(half_and_half(), "JPEG", exif=exif, comment=b"secret"))
    for content in made:
        image = opened(content)
        side = image.size[0]
        assert near(image.getpixel((side // 8, side // 2)), BLUE)
        assert near(image.getpixel((side - side // 8, side // 2)), RED)
        assert not image.getexif()
        assert b"Camera" not in content
        assert b"EXIF" not in content


def test_colours_of_another_profile_are_translated() -> None:
    """What a profile says is applied, and the profile left out."""
    profiled = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (profiled, b"no profile at all"):
        content = thumbnails(encoded(half_and_half(), "PNG", icc_profile=profile))[0]
        assert near(opened(content).getpixel((30, 128)), RED)
        assert b"ICCP" not in content


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_of_an_animation_the_first_frame(kind: str) -> None:
    """And nothing moves."""
    frames = [Image.new("RGB", (90, 90), colour) for colour in (RED, BLUE)]
    content = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    shown = opened(thumbnails(content)[0])
    assert near(shown.getpixel((9, 9)), RED)
    assert getattr(shown, "n_frames", 1) == 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no PNG"),
        (SCRIPT, "no PNG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no PNG"),
        (picture("GIF"), "no PNG"),
        (picture("TIFF"), "no PNG"),
        (bomb(), "megapixels"),
        (bomb(100_000, 501), "megapixels"),
        (picture(size=(400, 400), colour=RED)[:-60], "damaged"),
        (encoded(Image.effect_noise((400, 400), 90), "JPEG")[:-9000], "damaged"),
        (encoded(Image.effect_noise((400, 400), 90), "WEBP")[:-9000], "damaged"),
        (picture()[:20], "no PNG|damaged"),
    ],
    ids=["empty", "script", "svg", "gif", "tiff", "bomb", "just above", "png cut", "jpeg cut", "webp cut", "head"],
)
def test_what_is_no_picture_is_refused(content: bytes, reason: str) -> None:
    """With a reason for whoever sent it."""
    with pytest.raises(Refused, match=reason):
        thumbnails(content)


def test_the_limit_itself_is_allowed() -> None:
    """One pixel more is not."""
    check((MAX_PIXELS, 1))
    with pytest.raises(Refused):
        check((MAX_PIXELS + 1, 1))


_SOUND = [picture(kind, (40, 30)) for kind in ("PNG", "JPEG", "WEBP")]


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(_SOUND), st.lists(st.tuples(st.integers(0, 2000), st.binary(min_size=1, max_size=6)), max_size=4)
)
def test_damage_anywhere_is_refused_or_overlooked(content: bytes, damages: list[tuple[int, bytes]]) -> None:
    """Whatever bytes are wrong, there are thumbnails or a refusal, and no other error."""
    damaged = io.BytesIO(content)
    for at, data in damages:
        damaged.seek(at % len(content))
        damaged.write(data)
    with suppress(Refused):
        assert len(thumbnails(damaged.getvalue())) == len(SIZES)
