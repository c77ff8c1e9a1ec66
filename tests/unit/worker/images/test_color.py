"""`source.color: srgb`: colours are converted by the profile in the file, once the square is cut."""

import io
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from dueby_api.source import Source
from dueby_worker.images.decode import decode_image
from dueby_worker.images.read_ahead import read_images
from support.pictures import SMALL, encode, photo
from support.profiles_icc import color_profile, srgb_of

PROFILE, WANTED = color_profile(), SMALL.in_color("srgb")
# Within what sRGB can show: beyond it, what becomes of a colour is a matter of taste.
COLORS = [(200, 100, 50), (90, 140, 60), (128, 128, 128), (255, 255, 255), (60, 70, 160)]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("color", COLORS)
def test_a_colour_is_the_one_that_its_files_profile_says(kind: str, color: tuple[int, int, int]) -> None:
    data = encode(Image.new("RGB", (64, 48), color), kind, icc_profile=PROFILE, quality=100)
    stored, converted = (decode_image(data, wanted).pixels for wanted in (SMALL, WANTED))
    assert stored == pytest.approx(np.broadcast_to(color, stored.shape), abs=2)
    assert converted == pytest.approx(np.broadcast_to(srgb_of(color), converted.shape), abs=3)


def test_the_square_is_that_of_a_picture_that_was_converted_before() -> None:
    wide = encode(photo(), "PNG", icc_profile=PROFILE)
    whole = ImageCms.profileToProfile(photo(), io.BytesIO(PROFILE), ImageCms.createProfile("sRGB"))
    assert whole is not None
    expected = decode_image(encode(whole, "PNG"), SMALL).pixels.astype(int)
    differences = np.abs(decode_image(wide, WANTED).pixels - expected)
    assert differences.mean() < 1
    assert differences.max() <= 8


@pytest.mark.parametrize(
    ("picture", "options"),
    [
        pytest.param(photo(), {}, id="none"),
        pytest.param(
            photo(), {"icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()}, id="sRGB"
        ),
        pytest.param(photo().convert("L"), {"icc_profile": color_profile(space=b"GRAY")}, id="one of grey"),
        pytest.param(photo().convert("CMYK"), {"icc_profile": color_profile(space=b"CMYK")}, id="one of inks"),
    ],
)
def test_other_profiles_change_nothing(picture: Image.Image, options: dict[str, bytes]) -> None:
    data = encode(picture, "JPEG", **options)
    stored, converted = decode_image(data, SMALL), decode_image(data, WANTED)
    assert np.abs(stored.pixels.astype(int) - converted.pixels).max() <= 1
    assert converted.warning is None


def test_a_broken_profile_is_a_warning() -> None:
    data = encode(photo(), "JPEG", icc_profile=PROFILE[:140])
    stored, converted = decode_image(data, SMALL), decode_image(data, WANTED)
    assert np.array_equal(stored.pixels, converted.pixels)
    assert (stored.warning, converted.warning) == (None, "It is whole, although its colour profile is broken.")


def test_no_damage_of_a_profile_costs_an_image_its_row() -> None:
    chance, picture = random.Random(20261201), photo(size=(64, 48))
    warned = 0
    for _ in range(200):
        profile = bytearray(PROFILE)
        for _ in range(chance.randint(1, 8)):
            profile[chance.randrange(len(profile))] = chance.randrange(256)
        found = decode_image(encode(picture, "JPEG", icc_profile=bytes(profile)), WANTED)
        assert found.pixels.shape == (32, 32, 3)
        warned += found.warning is not None
    assert 0 < warned < 200


@pytest.mark.parametrize("is_isolated", [False, True], ids=["here", "careful"])
def test_workers_convert_if_the_source_says_so(tmp_path: Path, is_isolated: bool) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encode(Image.new("RGB", (64, 48), COLORS[0]), "PNG", icc_profile=PROFILE))
    colors = []
    for source in (Source(uri="photos"), Source(uri="photos", color="srgb")):
        (image,) = read_images(
            [(0, path.as_uri())],
            source=source,
            preprocessing=SMALL,
            threads=1,
            ahead=1,
            is_isolated=is_isolated,
        )
        assert image.pixels is not None
        colors.append(image.pixels[0, 0].tolist())
    assert colors[0] == list(COLORS[0])
    assert colors[1] == pytest.approx(srgb_of(COLORS[0]), abs=2)
