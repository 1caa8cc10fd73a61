"""Drawings: lines through the points, only near the face, in sizes that suit the image; and their files."""

import dataclasses
import io
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.images import draw as drawn_face
from helpers.images import encode
from PIL import Image, ImageCms

import flaxmark
from flaxmark.data.drawn.head.mean_head import mean_head
from flaxmark.errors import ConfigError, ImageError
from flaxmark.faces.head_pose import rotation
from flaxmark.faces.markup import IBUG_68
from flaxmark.faces.markup_files import FIVE_POINTS
from flaxmark.inference.face import Face
from flaxmark.inference.files.drawing_paths import image_suffix
from flaxmark.inference.files.image_files import save_image
from flaxmark.inference.files.inputs import Input
from flaxmark.inference.outlines import part_lines, smooth_line
from flaxmark.inference.overlay import AXIS, draw, head_axes

GREY = np.full((480, 640, 3), 128, np.uint8)
BOX = np.array([200.0, 100, 440, 340])


def face_at(box: np.ndarray = BOX, **fields: Any) -> Face:
    """The 68 points of a drawn face, scaled into a box."""
    points = drawn_face(2, 160)[1]
    low, high = points.min(axis=0), points.max(axis=0)
    placed = (points - low) / (high - low) * (box[2:] - box[:2]) + box[:2]
    return Face(placed, box, **({"markup": IBUG_68} | fields))


def changed(drawn: np.ndarray, image: np.ndarray = GREY) -> np.ndarray:
    """Whether each pixel differs from the image."""
    return (drawn != image).any(axis=-1)


def on_line(face: Face, first: int, drawn: np.ndarray) -> bool:
    """Whether all pixels under the middle of the curve from a point to the next one are drawn on."""
    line = next(line for line in IBUG_68.outlines if first in line[:-1])
    place = line.index(first)
    closed = line[0] == line[-1]
    curve = smooth_line(face.landmarks[list(line[:-1] if closed else line)], closed)
    x, y = curve[8 * place + 3 : 8 * place + 6].round().astype(int).T
    return bool(changed(drawn)[y, x].all())


def test_lines_go_through_their_points_and_stay_between_them() -> None:
    angles = np.linspace(0, 2 * np.pi, 13)[:-1]
    circle = 100 * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    for closed in (True, False):
        line = smooth_line(circle, closed)
        np.testing.assert_allclose(line[::8][:12], circle, atol=1e-9)
        np.testing.assert_allclose(np.linalg.norm(line, axis=1)[8:-9], 100, atol=0.5)
        assert len(line) == (97 if closed else 89)
        assert np.allclose(line[0], line[-1]) == closed
    np.testing.assert_allclose(smooth_line(circle[:2], False), circle[:2])
    np.testing.assert_allclose(smooth_line(circle[:3], True), circle[[0, 1, 2, 0]])
    assert np.isfinite(smooth_line(np.repeat(circle, 2, axis=0), True)).all()
    # Points close together after a long step, where a uniform curve would make a loop.
    line = smooth_line(np.array([[0.0, 0], [100, 0], [101, 0], [101, 1], [0, 2]]), False)
    assert line[:, 0].max() < 110


def test_a_missing_point_interrupts_its_line() -> None:
    face = face_at()
    whole = part_lines(face.landmarks, IBUG_68)
    assert {part: len(lines) for part, lines in whole.items()} == {
        "jaw": 1,
        "brows": 2,
        "nose": 2,
        "eyes": 2,
        "mouth": 2,
    }
    assert all(np.allclose(line[0], line[-1]) for line in whole["eyes"] + whole["mouth"])
    points = face.landmarks.copy()
    points[[8, 37, 60, 18, 20]] = np.nan  # amid the jaw, of an eye, the first of the inner lip, two of a brow
    broken = part_lines(points, IBUG_68)
    assert {part: len(lines) for part, lines in broken.items()} == {
        "jaw": 2,
        "brows": 1,
        "nose": 2,
        "eyes": 2,
        "mouth": 2,
    }
    np.testing.assert_allclose(broken["eyes"][0][[0, -1]], points[[38, 36]])  # open now: the way round the gap
    np.testing.assert_allclose(broken["mouth"][1][[0, -1]], points[[61, 67]])
    assert np.isfinite(np.concatenate([line for lines in broken.values() for line in lines])).all()


def test_parts_are_drawn_as_connected_lines() -> None:
    face = face_at()
    drawn = draw(GREY, face)
    for first in (2, 8, 18, 24, 28, 33, 36, 38, 41, 47, 50, 59, 62, 67):
        assert on_line(face, first, drawn), first
    points = face.landmarks.copy()
    points[[5, 37]] = np.nan
    missing = draw(GREY, Face(points, BOX, markup=IBUG_68))
    for first, there in (
        (3, True),
        (4, False),
        (5, False),
        (6, True),
        (36, False),
        (37, False),
        (38, True),
        (41, True),
    ):
        assert on_line(face, first, missing) == there, first
    assert changed(draw(GREY, Face(np.full((68, 2), np.nan), BOX, markup=IBUG_68))).any()  # its box


def test_only_the_surroundings_of_the_face_change() -> None:
    before = GREY.copy()
    drawn = draw(before, [face_at()], labels=["7"])
    assert (drawn.shape, drawn.dtype) == (GREY.shape, np.uint8)
    np.testing.assert_array_equal(before, GREY)
    ys, xs = changed(drawn).nonzero()
    assert (xs.min(), xs.max(), ys.max()) == pytest.approx((200, 440, 340), abs=4)
    assert 70 < ys.min() < 90  # the label above the box
    assert changed(drawn)[100:340, 200:440].mean() < 0.15  # most of the face is seen
    nothing = draw(before, [])
    np.testing.assert_array_equal(nothing, GREY)
    nothing[:] = 0
    np.testing.assert_array_equal(before, GREY)


def test_all_kinds_of_images_are_drawn_on() -> None:
    face = face_at()
    expected = draw(GREY, face)
    for image in (Image.fromarray(GREY), encode(GREY), GREY[..., 0]):
        np.testing.assert_array_equal(draw(image, [face]), expected)
    turned = Image.fromarray(GREY.swapaxes(0, 1))
    turned.getexif()[274] = 6  # a quarter turn clockwise
    stream = io.BytesIO()
    turned.save(stream, "PNG", exif=turned.getexif())
    np.testing.assert_array_equal(draw(stream.getvalue(), [face]), expected)
    assert flaxmark.draw is draw
    with pytest.raises(ImageError):
        draw("no.png", face)


def test_what_is_not_known_is_not_drawn() -> None:
    """A box that is not known is that of the points, and infinite points are missing ones."""
    points = np.where(np.arange(68)[:, None] == 30, np.inf, face_at().landmarks)
    missing = np.where(np.isinf(points), np.nan, points)
    around = np.concatenate([np.nanmin(missing, axis=0), np.nanmax(missing, axis=0)])
    unknown = np.full(4, np.nan)
    expected = draw(GREY, Face(missing, around))
    np.testing.assert_array_equal(draw(GREY, Face(points, unknown)), expected)
    assert draw(GREY, Face(np.full((68, 2), np.nan), unknown)).shape == GREY.shape


@pytest.mark.parametrize("faces", [None, BOX, [{}], GREY])
def test_what_is_not_a_face_is_refused(faces: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        draw(GREY, faces)
    assert caught.value.field == "faces"


def test_sigma_is_drawn_on_request() -> None:
    face = face_at(sigma=np.full(68, 20.0))
    circle = (face.landmarks[8] + (0, 20)).round().astype(int)
    with_sigma, without = draw(GREY, face, sigma=True), draw(GREY, face)
    assert changed(with_sigma)[circle[1], circle[0]]
    assert not changed(without)[circle[1], circle[0]]
    np.testing.assert_array_equal(draw(GREY, face_at(), sigma=True), without)  # there is none


def test_axes_of_the_head_are_drawn_on_request() -> None:
    mean = mean_head(IBUG_68)
    assert mean is not None
    points = (mean[0] @ rotation(40, 0, 0).T)[:, :2] * 200 + (320, 200)
    face = Face(points, np.array([220.0, 100, 420, 340]), markup=IBUG_68)
    left, down, forward = (line[-1].round().astype(int) for line in head_axes(face, 150))
    assert down[1] > points[:, 1].mean() + 140 and left[0] > points[:, 0].mean() + 100
    assert (
        forward[0] > points[:, 0].mean() + 90 and abs(forward[1] - points[:, 1].mean()) < 2
    )  # the nose is at the right
    drawn = draw(GREY, face, pose=True)
    tip = head_axes(face, AXIS * np.ptp(points, axis=0).max() - 3)[1][-1].round().astype(int)
    assert drawn[tip[1], tip[0]].argmax() == 1  # green
    assert head_axes(dataclasses.replace(face, markup=dataclasses.replace(IBUG_68, name="own")), 150) == []
    face = dataclasses.replace(face, landmarks=np.full((68, 2), np.nan))
    np.testing.assert_array_equal(draw(GREY, face, pose=True), draw(GREY, face))


def test_points_without_lines_are_dots() -> None:
    points = np.array([[250.0, 180], [390, 180], [320, 240], [270, 290], [370, 290]])
    schemes = (dataclasses.replace(FIVE_POINTS, name="own", outlines=()), None)  # five points are flaxmark's own
    unknown, five = (changed(draw(GREY, Face(points, BOX, markup=markup))) for markup in schemes)
    assert not changed(draw(GREY, Face(points[:2], BOX)))[180, 320]
    for x, y in points.astype(int):
        assert unknown[y, x]
        assert five[y, x]
    assert not unknown[290, 320]
    assert five[290, 320]  # the mouth
    assert five[210, 285]  # straight from the eye to the nose


@pytest.mark.parametrize("outlines", [(), FIVE_POINTS.outlines])
def test_dots_of_hidden_points_are_hollow(outlines: Any) -> None:
    grey = np.full((960, 1280, 3), 128, np.uint8)
    points = np.array([[300.0, 200], [980, 200], [640, 480], [400, 760], [880, 760]])
    face = Face(points, np.array([300.0, 200, 980, 760]), markup=dataclasses.replace(FIVE_POINTS, outlines=outlines))
    unknown, seen = draw(grey, face), draw(grey, dataclasses.replace(face, visible=np.full(5, 0.5)))
    np.testing.assert_array_equal(seen, unknown)
    drawn = draw(grey, dataclasses.replace(face, visible=np.array([1, 1, 0.49, 1, 0])))
    differing = changed(drawn, seen)
    for x, y, hollow in ((640, 480, True), (880, 760, True), (400, 760, False)):
        assert differing[y, x] == hollow
        assert (drawn[y, x].max() == 0) == hollow  # a dark middle
        assert changed(drawn, grey)[y - 6, x]
        differing[y - 5 : y + 6, x - 5 : x + 6] = False  # the ring around it is that of a dot
    assert not differing.any()


def test_hidden_points_of_a_small_face_have_no_dots() -> None:
    face = face_at(np.array([200.0, 100, 235, 140]))
    np.testing.assert_array_equal(draw(GREY, dataclasses.replace(face, visible=np.zeros(68))), draw(GREY, face))


def test_sizes_suit_the_image_and_the_face() -> None:
    """In an image eight times as large all is eight times as large, and as readable when it is shrunk."""
    small = draw(GREY, [face_at()], labels=["12"])
    large = draw(np.full((8 * 480, 8 * 640, 3), 128, np.uint8), [face_at(8 * BOX)], labels=["12"])
    shrunk = np.asarray(Image.fromarray(large).reduce(8)).astype(int)
    near = np.abs(shrunk - 128).max(axis=-1) > 20
    assert near.sum() == pytest.approx((np.abs(small.astype(int) - 128).max(axis=-1) > 20).sum(), rel=0.5)
    assert np.abs(shrunk[70:98, 200:230] - 128).max() > 120  # the label, black on white
    # Lines of tiny faces are thin: the face is still seen.
    tiny = draw(np.full((4000, 6000, 3), 128, np.uint8), face_at(np.array([3000.0, 2000, 3040, 2040])), labels=())
    assert (tiny[2000:2040, 3000:3040] == 128).all(axis=-1).mean() > 0.3


def test_a_long_line_takes_no_more_memory_than_the_image() -> None:
    """Two points in opposite corners."""
    image = np.zeros((2000, 2000, 3), np.uint8)
    line = dataclasses.replace(FIVE_POINTS, name="line", outlines=((0, 4),))
    points = np.array([[0.0, 0], [400, 100], [300, 300], [100, 400], [1999, 1999]])
    tracemalloc.start()
    drawn = draw(image, Face(points, BOX, markup=line), labels=())
    assert changed(drawn, image)[500, 500]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * image.nbytes


def test_labels_are_inside_the_image_and_off_the_faces() -> None:
    corners = [np.array([x, y, x + 60, y + 60]) for x in (-20.0, 290, 600) for y in (-20.0, 210, 440)]
    faces = [face_at(box, score=0.5) for box in corners]
    plain, labelled = draw(GREY, faces, labels=()), draw(GREY, faces)
    tags = (plain != labelled).any(axis=-1)
    assert tags.sum() > 9 * 100
    for box in corners:
        left, top, right, bottom = np.clip(box.astype(int), 0, [640, 480, 640, 480])
        assert tags[top + 8 : bottom - 8, left + 8 : right - 8].sum() == 0
    one = draw(GREY, face_at(score=None))
    np.testing.assert_array_equal(one, draw(GREY, face_at(), labels=()))  # a single face needs no number
    with pytest.raises(ConfigError) as caught:
        draw(GREY, faces, labels=["1"])
    assert caught.value.field == "labels"


@pytest.mark.parametrize("box", [(9e5, 9e5, 9e5 + 50, 9e5 + 60), (-90.0, -90, -10, -10), (100.0, 100, 100, 100)])
def test_faces_beyond_the_image_and_without_extent(box: tuple[float, ...]) -> None:
    assert draw(GREY, face_at(np.array(box), score=0.5)).shape == GREY.shape
    assert draw(GREY[:9, :9], face_at(np.array(box), score=0.5)).shape == (9, 9, 3)


def test_a_jpeg_is_drawn_as_a_jpeg_of_its_quality(tmp_path: Path) -> None:
    kinds = {"a.jpg": ".jpg", "a.JPEG": ".jpg", "a.jfif": ".jpg", "a.png": ".png", "a.webp": ".png", "a.mov": ".mp4"}
    for name, suffix in kinds.items():
        assert image_suffix(Input(Path(name), name)) == suffix
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(GREY).save(tmp_path / "in.jpg", icc_profile=profile)
    drawn = draw(GREY, face_at())
    save_image(drawn, tmp_path / "out.jpg", like=tmp_path / "in.jpg")
    with Image.open(tmp_path / "out.jpg") as image:
        assert image.format == "JPEG"
        assert image.info["icc_profile"] == profile
        assert np.abs(np.asarray(image).astype(int) - drawn).mean() < 0.5  # lines keep their colours
    Image.fromarray(GREY[..., 0]).save(
        tmp_path / "grey.png", icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    )
    save_image(drawn, tmp_path / "out.png", like=tmp_path / "grey.png")
    with Image.open(tmp_path / "out.png") as image:
        assert "icc_profile" not in image.info
        np.testing.assert_array_equal(np.asarray(image), drawn)
