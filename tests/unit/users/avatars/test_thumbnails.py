"""The processing of pictures."""

import io
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from services.users.avatars.thumbnails import MAX_PIXELS, SIZES, Refused, check, thumbnails
from tests.support.drawn import BLUE, RED, encoded, half_and_half, opened, picture
from tests.support.picture_corpus import SAMPLES, Colour, Sample, opened_quarters


def near(pixel: object, colour: tuple[int, ...]) -> bool:
    assert isinstance(pixel, tuple)
    return all(abs(a - b) < 40 for a, b in zip(pixel, colour, strict=False))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_every_kind_becomes_square_webp(kind: str) -> None:
    """The result has both sizes, whatever the original's."""
    for size in ((300, 200), (20, 500), (1, 1)):
        made = [opened(content) for content in thumbnails(picture(kind, size))]
        assert [(image.format, image.size) for image in made] == [("WEBP", (side, side)) for side in SIZES]
        assert all(near(image.convert("RGB").getpixel((30, 30)), RED) for image in made)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_pictures_as_people_have_them(sample: Sample) -> None:
    """Pictures are shown correctly, or refused with a reason for the user."""
    if sample.looks is None:
        with pytest.raises(Refused, match=sample.reason):
            thumbnails(sample.content)
        return
    made = thumbnails(sample.content)
    assert [opened(content).size for content in made] == [(side, side) for side in SIZES]
    for content in made:
        for shown, colour in zip(opened_quarters(content), sample.looks, strict=True):
            assert looks_like(shown, colour), (shown, colour)


def looks_like(shown: Colour, colour: Colour) -> bool:
    """Return whether the colours match, within the losses of JPEG and WebP."""
    *wanted, alpha = (*colour, 255)[:4]
    return abs(shown[3] - alpha) < 12 and (alpha == 0 or near(shown, tuple(wanted)))


def test_print_colours() -> None:
    """A CMYK JPEG is shown on screens."""
    assert near(
        opened(thumbnails(encoded(Image.new("CMYK", (90, 90), (0, 255, 255, 0)), "JPEG"))[1]).getpixel((9, 9)),
        (255, 0, 0),
    )


def test_metadata_go() -> None:
    """Neither camera nor location remains."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 3, "Camera that tells too much"
    for content in thumbnails(encoded(half_and_half(), "JPEG", exif=exif, comment=b"secret")):
        assert not opened(content).getexif()
        assert b"Camera" not in content
        assert b"EXIF" not in content


def test_colours_of_another_profile_are_translated() -> None:
    """A colour profile is applied and removed."""
    profiled = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (profiled, b"no profile at all"):
        content = thumbnails(encoded(half_and_half(), "PNG", icc_profile=profile))[0]
        assert near(opened(content).getpixel((30, 128)), RED)
        assert b"ICCP" not in content


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_of_an_animation_the_first_frame(kind: str) -> None:
    """The result is not animated."""
    frames = [Image.new("RGB", (90, 90), colour) for colour in (RED, BLUE)]
    content = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    assert getattr(opened(thumbnails(content)[0]), "n_frames", 1) == 1


def test_the_limit_itself_is_allowed() -> None:
    """One more pixel is refused."""
    check((MAX_PIXELS, 1))
    with pytest.raises(Refused):
        check((MAX_PIXELS + 1, 1))


_SOUND = [picture(kind, (40, 30)) for kind in ("PNG", "JPEG", "WEBP")]


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(_SOUND), st.lists(st.tuples(st.integers(0, 2000), st.binary(min_size=1, max_size=6)), max_size=4)
)
def test_damage_anywhere_is_refused_or_overlooked(content: bytes, damages: list[tuple[int, bytes]]) -> None:
    """Any wrong bytes result in thumbnails or a refusal, and no other error."""
    damaged = io.BytesIO(content)
    for at, data in damages:
        damaged.seek(at % len(content))
        damaged.write(data)
    with suppress(Refused):
        assert len(thumbnails(damaged.getvalue())) == len(SIZES)
