"""Visible landmarks of drawn faces: the head, hair and things in front of it hide them, and only what they cover."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from flaxmark.data.drawn import FaceParameters, convert_visible, draw_face, portray, portray_face
from flaxmark.data.drawn.visibility import uncovered
from flaxmark.faces.markup import IBUG_68

BALD = FaceParameters(hairstyle="bald")
BROWS, EYES = slice(17, 27), slice(36, 48)


def hidden(p: FaceParameters) -> set[int]:
    return set(np.flatnonzero(~portray(p).visible).tolist())


def pixels(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.round(points).astype(int).T
    return y, x


def without(*points: int) -> np.ndarray:
    visible = np.ones(68, bool)
    visible[list(points)] = False
    return visible


def test_a_plain_frontal_face_is_seen_whole() -> None:
    portrait = portray(FaceParameters())
    assert portrait.visible.shape == (68,) and portrait.visible.dtype == bool
    assert portrait.visible.all()


@pytest.mark.parametrize("size", [64, 128, 320])
def test_the_size_of_the_image_hides_nothing(size: int) -> None:
    assert portray(FaceParameters(yaw=10.0), size).visible.all()


def test_a_portrait_has_the_drawing_and_its_landmarks() -> None:
    for seed in range(5):
        portrait, (image, landmarks) = portray_face(seed, 96), draw_face(seed, 96)
        np.testing.assert_array_equal(portrait.image, image)
        np.testing.assert_array_equal(portrait.landmarks, landmarks)
        np.testing.assert_array_equal(portrait.visible, portray_face(seed, 96).visible)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(ValueError):
        portray_face(-1)


def test_the_nose_hides_the_far_side_of_a_turned_face() -> None:
    # Inner corner of the eye, wing of the nose, corner of the mouth.
    far = hidden(replace(BALD, yaw=55.0))
    assert {42, 35, 54} <= far and far & set(range(9, 17))
    near = {*range(9), *range(17, 22), *range(27, 33), *range(36, 42), 48, 60}
    assert not far & near


def test_most_of_the_far_eye_is_hidden_near_the_profile() -> None:
    assert len(hidden(replace(BALD, yaw=62.0)) & set(range(42, 48))) >= 4


@pytest.mark.parametrize("yaw", [25.0, 40.0, 55.0])
def test_the_mirrored_head_hides_the_mirrored_points(yaw: float) -> None:
    right, left = (portray(replace(BALD, yaw=turn)).visible for turn in (yaw, -yaw))
    np.testing.assert_array_equal(left, right[np.array(IBUG_68.flip_order)])


@pytest.mark.parametrize("yaw, pitch", [(10.0, 25.0), (20.0, 0.0), (-35.0, 5.0), (45.0, -5.0)])
def test_the_outline_of_the_jaw_is_seen(yaw: float, pitch: float) -> None:
    # The nose would hide some of it.
    assert portray(replace(BALD, yaw=yaw, pitch=pitch, nose_height=0.0)).visible[:17].all()


THINGS = [{"occluder": "hand"}, {"occluder": "fist"}, {"occluder": "patch"}, {"strands": 5}, {"collar": -0.4}]


@pytest.mark.parametrize("change", THINGS, ids=str)
def test_things_in_front_hide_what_they_cover(change: dict[str, Any]) -> None:
    count = 0
    for seed in range(6):
        p = replace(BALD, detail_seed=seed)
        bare, covered = portray(p), portray(replace(p, **change))
        changed = (bare.image != covered.image).any(-1)
        y, x = pixels(bare.landmarks)
        around = np.stack([changed[y + i, x + j] for i in range(-4, 5) for j in range(-4, 5)])
        # A pixel may keep its value below a cover of the same colour, half of what is around a hidden point does not.
        assert (around.mean(0)[~covered.visible] > 0.5).all()
        assert covered.visible[~around.any(0)].all()
        # Several thin locks side by side leave gaps.
        assert "strands" in change or not covered.visible[around.all(0)].any()
        count += int((~covered.visible).sum())
    assert 6 <= count <= 200


@pytest.mark.parametrize(("width", "hides"), [(2, False), (10, True)])
def test_a_thin_line_hides_nothing(width: int, hides: bool) -> None:
    points = np.tile([[80.0, 80.0]], (68, 1))
    cover = np.zeros((160, 160), np.float32)
    cover[:, 80 - width // 2 : 80 + width // 2] = 1.0
    assert (uncovered(points, cover, 70.0) != hides).all()


@pytest.mark.parametrize("scale", [10.0, 70.0, 140.0])
def test_what_covers_half_of_the_surroundings_hides(scale: float) -> None:
    points = np.tile([[30.0, 30.0]], (68, 1))
    points[:4] = (0.0, 30.0), (59.0, 59.0), (60.0, 30.0), (30.0, -1.0)  # at the border, and outside
    for opacity, seen in ((0.4, True), (0.6, False)):
        found = uncovered(points, np.full((60, 60), opacity, np.float32), scale)
        assert (found[[0, 1]] == seen).all() and not found[[2, 3]].any() and (found[4:] == seen).all()


def test_dark_glasses_hide_the_eyes_and_clear_ones_do_not() -> None:
    for seed in range(6):
        assert not portray(FaceParameters(glasses="dark", detail_seed=seed)).visible[EYES].any()
    clear = np.array([portray(FaceParameters(glasses="clear", detail_seed=seed)).visible for seed in range(6)])
    assert clear[:, EYES].mean() > 0.8
    assert clear[:, 48:].all() and clear[:, 4:13].all()


def test_hair_hides_brows_and_a_bald_head_does_not() -> None:
    fringe = FaceParameters(hairstyle="fringe", hairline=-0.4)
    brows = np.array([portray(replace(fringe, detail_seed=seed)).visible[BROWS] for seed in range(6)])
    assert (~brows).mean() > 0.2
    assert not any(hidden(replace(BALD, detail_seed=seed)) for seed in range(6))


def test_long_hair_hides_the_jaw_at_the_ears() -> None:
    long = FaceParameters(hairstyle="long", hair_length=1.0, hair_side=0.8)
    points = hidden(long)
    assert {0, 16} <= points and not points & set(range(27, 68))


def test_points_that_are_cut_off_are_hidden() -> None:
    portrait = portray(FaceParameters(margins=(-0.2, 9.0, 9.0, -0.15)))
    black = ~portrait.image[pixels(portrait.landmarks)].any(-1)
    np.testing.assert_array_equal(portrait.visible, ~black)
    assert black[[0, 1, 7, 8, 9]].all() and not black[27:36].any()


def test_points_outside_the_image_are_hidden() -> None:
    portrait = portray(FaceParameters(centre=(0.5, 0.0)))
    np.testing.assert_array_equal(portrait.visible, portrait.landmarks[:, 0] < 159.5)
    assert 10 < portrait.visible.sum() < 58


def test_shadows_hide_nothing() -> None:
    assert portray(FaceParameters(cast=0.8)).visible.all()


def test_the_68_points_keep_their_visibility() -> None:
    visible = without(3, 40)
    np.testing.assert_array_equal(convert_visible(visible, "ibug_68"), visible)


def test_a_centre_is_seen_while_half_of_its_points_are() -> None:
    half, fewer = without(36, 37, 38, 30), without(36, 37, 38, 39, 54)
    five = convert_visible(np.stack([half, fewer]), "five_points")
    assert five.tolist() == [[True, True, False, True, True], [False, True, True, True, False]]


def test_points_between_two_are_seen_with_the_nearer_one() -> None:
    visible = convert_visible(without(0, 36, 4), "wflw_98")
    assert visible.shape == (98,)
    # The jaw has twice as many points. The one between 0 and 1 has half of its weight at 1.
    assert visible[:4].tolist() == [False, True, True, True]
    # The one between 3 and 4 has 9/20 of its weight at 4.
    assert visible[7:10].tolist() == [True, False, True]
    # The left eye begins at 60, its corner 36; the next point along either lid has a quarter of its weight there.
    assert visible[60:68].tolist() == [False, True, True, True, True, True, True, True]


def test_visibility_in_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(ValueError, match="drawn faces have the points"):
        convert_visible(without(), "cofw_29")
