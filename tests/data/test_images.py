import io
import os
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from helpers.images import encode
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from flaxmark.data.images import FORMATS, ImageTooLargeError, read_image
from flaxmark.errors import ImageError

COLOURS = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[0, 0, 0], [128, 128, 128], [255, 255, 255]]], np.uint8)


def test_every_kind_of_source_gives_the_same(tmp_path: Path) -> None:
    image = Image.fromarray(COLOURS)
    path = tmp_path / "a.png"
    image.save(path)
    data = path.read_bytes()
    kept = (path, str(path), data, bytearray(data), memoryview(data), image, COLOURS, jnp.asarray(COLOURS))
    with path.open("rb") as file:
        for source in (*kept, Image.open(path), io.BytesIO(data), file):
            pixels = read_image(source)
            assert pixels.dtype == np.uint8
            np.testing.assert_array_equal(pixels, COLOURS)


def test_what_is_read_from_a_file_is_bounded(tmp_path: Path) -> None:
    with open("/dev/zero", "rb") as endless, pytest.raises(ImageTooLargeError):
        read_image(endless, max_megapixels=0.01)
    (tmp_path / "a.txt").write_text("text")
    with (tmp_path / "a.txt").open() as text, pytest.raises(ImageError):
        read_image(text)  # type: ignore[arg-type]


@pytest.mark.parametrize(("mode", "tolerance"), [("P", 0), ("RGBA", 0), ("CMYK", 1), ("YCbCr", 2)])
def test_modes_keep_their_colours(mode: str, tolerance: int) -> None:
    pixels = read_image(Image.fromarray(COLOURS).convert(mode, palette=Image.Palette.ADAPTIVE))
    assert np.abs(pixels.astype(int) - COLOURS).max() <= tolerance


def test_cmyk_jpeg() -> None:
    flat = Image.new("RGB", (16, 16), (200, 100, 50)).convert("CMYK")
    assert np.abs(read_image(encode(flat, "JPEG")).astype(int) - [200, 100, 50]).max() <= 3


def test_grey_and_one_bit() -> None:
    grey = np.array([[0, 7], [128, 255]], np.uint8)
    expected = np.stack([grey] * 3, axis=-1)
    for source in (Image.fromarray(grey), encode(grey), grey, grey[..., None]):
        np.testing.assert_array_equal(read_image(source), expected)
    np.testing.assert_array_equal(np.unique(read_image(Image.new("1", (2, 2), 1))), [255])


def test_16_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    deep = np.array([[0, 257, 32896, 65535]], np.uint16)
    png = encode(deep)
    (tmp_path / "a.pgm").write_bytes(b"P5 4 1 65535\n" + deep.astype(">u2").tobytes())
    for source in (png, deep, tmp_path / "a.pgm", encode(Image.fromarray(deep), "TIFF")):
        np.testing.assert_array_equal(read_image(source)[0, :, 0], [0, 1, 128, 255])


def test_transparency_is_white() -> None:
    pixels = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [0, 0, 0, 128]]], np.uint8)
    expected = [[[10, 20, 30], [255, 255, 255], [127, 127, 127]]]
    for source in (pixels, Image.fromarray(pixels), encode(pixels)):
        np.testing.assert_allclose(read_image(source), expected, atol=1)
    palette = Image.new("P", (2, 1))
    palette.putpalette([0, 0, 0, 9, 9, 9])
    palette.putpixel((1, 0), 1)
    np.testing.assert_array_equal(read_image(encode(palette, transparency=0))[0, :, 0], [255, 9])


def test_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    gif = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert read_image(gif)[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation: int) -> None:
    turns = {1: 0, 2: 0, 3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}  # counter-clockwise quarters, after mirroring
    exif = Image.Exif()
    exif[0x0112] = orientation
    source = encode(Image.fromarray(COLOURS), exif=exif)
    pixels = COLOURS[:, ::-1] if orientation in (2, 4, 5, 7) else COLOURS
    np.testing.assert_array_equal(read_image(source), np.rot90(pixels, turns[orientation]))
    np.testing.assert_array_equal(read_image(source, orient=False), COLOURS)


def test_the_limit_is_checked_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    source = encode(Image.new("RGB", (100, 101)))
    assert read_image(source, max_megapixels=0.0101).shape == (101, 100, 3)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda *_: pytest.fail("decoded"))
    with pytest.raises(ImageTooLargeError, match=r"100 x 101 is 0\.0101 megapixels"):
        read_image(source, max_megapixels=0.01)


def test_files_larger_than_any_image_are_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "x.bmp"
    path.write_bytes(encode(Image.new("RGB", (100, 100)), "BMP"))
    os.truncate(path, 10**7)
    assert read_image(path).shape == (100, 100, 3)
    os.truncate(path, 10**12)  # with a hole: it takes no room
    with pytest.raises(ImageTooLargeError) as caught:
        read_image(path)
    assert caught.value.file == path


def test_bombs_are_refused() -> None:
    bomb = b"P6 60000 60000 255\n"
    for limit in (64.0, 1e9):
        with pytest.raises(ImageTooLargeError):
            read_image(bomb, max_megapixels=limit)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"])
def test_truncated_files(form: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    whole = encode(Image.fromarray(noise), form)
    path = tmp_path / "broken.image"
    for size in (0, 10, len(whole) // 2):
        path.write_bytes(whole[:size])
        with pytest.raises(ImageError) as caught:
            read_image(path)
        assert caught.value.file == path
        assert "\n" not in str(caught.value)


def test_what_is_no_image(tmp_path: Path) -> None:
    for path in (tmp_path / "none.jpg", tmp_path, tmp_path / ("x" * 300)):
        with pytest.raises(ImageError) as caught:
            read_image(path)
        assert str(caught.value.file).startswith(str(path)[:60])
    with pytest.raises(ImageError, match="list is not an image"):
        read_image([])  # type: ignore[arg-type]
    (tmp_path / "a.eps").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    with pytest.raises(ImageError, match="not an image"):
        read_image(tmp_path / "a.eps")
    array: np.ndarray
    for array in (
        np.zeros((2, 2, 2), np.uint8),
        np.zeros((2, 2, 3)),
        np.zeros((0, 2, 3), np.uint8),
        np.zeros(3),
    ):
        with pytest.raises(ImageError, match="array of"):
            read_image(array)
    for array, remedy in (
        (np.zeros((2, 2, 3)), r"\(255 \* array\).round\(\).astype\(np.uint8\)"),
        (np.zeros((2, 2, 3), np.int64), r"array.astype\(np.uint8\)"),
        (np.zeros((2, 2), bool), r"\(255 \* array\).astype\(np.uint8\)"),
        (np.zeros((3, 20, 20), np.uint8), r"array.transpose\(1, 2, 0\)"),
    ):
        with pytest.raises(ImageError, match=remedy):
            read_image(array)
    with pytest.warns(UserWarning, match="nearly black"):
        read_image(np.full((2, 2), 200, np.uint16))
    (tmp_path / "a.psd").write_bytes(b"8BPS\0\1")
    with pytest.raises(ImageError, match="convert it first"):
        read_image(tmp_path / "a.psd")
    with pytest.raises(ImageError, match="download it first") as caught:
        read_image("https://example.org/a.jpg")
    assert caught.value.file == "https://example.org/a.jpg"
    with pytest.raises(ImageError, match="floating-point"):
        read_image(Image.new("F", (2, 2)))


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=60), st.sampled_from(["JPEG", "PNG", "GIF", "BMP"]), st.integers(0, 400))
def test_damaged_bytes_give_an_image_or_one_clear_error(noise: bytes, form: str, place: int) -> None:
    data = bytearray(encode(Image.fromarray(np.tile(COLOURS, (5, 5, 1))), form))
    data[place : place + len(noise)] = noise
    try:
        assert read_image(bytes(data), max_megapixels=1).dtype == np.uint8
    except ImageError as error:
        assert "\n" not in str(error)


QUARTERS = np.zeros((40, 60, 3), np.uint8)  # red, black, black, green
QUARTERS[:20, :30, 0], QUARTERS[20:, 30:, 1] = 255, 255


def _turned() -> tuple[Image.Image, Image.Exif, np.ndarray]:
    """An image, its orientation, and what viewers show."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    return Image.fromarray(QUARTERS), exif, np.rot90(QUARTERS, -1)


@pytest.mark.skipif("AVIF" not in FORMATS, reason="this Pillow was built without")
def test_avif_is_turned_once() -> None:
    image, exif, upright = _turned()
    stream = io.BytesIO()
    image.save(stream, "AVIF", exif=exif, quality=95)
    assert np.abs(read_image(stream.getvalue()).astype(int) - upright).mean() < 4
    assert np.abs(read_image(stream.getvalue(), orient=False).astype(int) - QUARTERS).mean() < 4


def test_heic_is_turned_once(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    image, exif, upright = _turned()
    pillow_heif.from_pillow(image).save(tmp_path / "a.HEIC", exif=exif.tobytes())
    content = (tmp_path / "a.HEIC").read_bytes()
    for source in (tmp_path / "a.HEIC", content):
        assert np.abs(read_image(source).astype(int) - upright).mean() < 4
        with pytest.raises(ImageTooLargeError):
            read_image(source, 0.002)
    for count in (12, 100, len(content) - 20):
        with pytest.raises(ImageError):
            read_image(content[:count])
    assert "HEIF" not in Image.OPEN  # nothing changes for the program around us


def test_heic_needs_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic")
    with pytest.raises(ImageError, match=r"flaxmark\[heic\]") as caught:
        read_image(tmp_path / "a.heic")
    assert caught.value.file == tmp_path / "a.heic"
