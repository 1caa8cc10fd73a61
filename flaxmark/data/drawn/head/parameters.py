"""Parameters of a drawn face."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FaceParameters:
    """A face; the defaults are a plain, frontal, neutral one.

    Lengths are in face units (the distance from ear to ear is 1), angles in degrees, colours RGB in [0, 1]. Where the
    default is 0, a field is an offset from the mean face or the strength of an effect; where it is 1, a factor.
    """

    # identity
    length: float = 0.0
    breadth: float = 0.0
    """Of the outline relative to everything inside it."""
    jaw: float = 0.0
    chin: float = 0.0
    depth: float = 1.0
    eye_spacing: float = 0.0
    eye_size: float = 0.0
    eye_height: float = 0.0
    eye_slant: float = 0.0
    brow_height: float = 0.0
    brow_arch: float = 0.0
    brow_width: float = 0.02
    brow_length: float = 0.0
    brow_spacing: float = 0.0
    nose_length: float = 0.0
    nose_width: float = 0.0
    nose_height: float = 1.0
    nose_tip: float = 0.5
    """How round and broad the tip is, in [0, 1]."""
    mouth_width: float = 0.0
    mouth_height: float = 0.0
    upper_lip: float = 0.0
    lower_lip: float = 0.0
    mouth_corner: float = 0.0
    cheek: float = 1.0
    asymmetry: float = 0.0
    jitter: float = 0.0
    # expression
    mouth_open: float = 0.0
    smile: float = 0.0
    smirk: float = 0.0
    brow_raise: float = 0.0
    frown: float = 0.0
    closure: tuple[float, float] = (0.0, 0.0)
    """Image's left and right eye: 0 is open, 1 closed."""
    gaze: tuple[float, float] = (0.0, 0.0)
    """To the image's right and down."""
    # pose
    yaw: float = 0.0
    """Positive turns the nose to the image's right."""
    pitch: float = 0.0
    """Positive turns the nose down."""
    roll: float = 0.0
    """Positive turns clockwise in the image."""
    distance: float = 6.0
    """From the camera to the head's centre."""
    zoom: float = 1.0
    """1 makes the longer side of the landmarks' bounding box 1 / 2.2 of the image's."""
    centre: tuple[float, float] = (0.0, 0.0)
    """Shift from the image's centre to the right and down, sides of the image."""
    # colours
    skin: tuple[float, float, float] = (0.85, 0.66, 0.56)
    hair: tuple[float, float, float] = (0.25, 0.16, 0.1)
    iris: tuple[float, float, float] = (0.3, 0.2, 0.12)
    iris_size: float = 0.041
    eye_white: float = 0.88
    lip: float = 0.5
    blush: float = 0.3
    wrinkle: float = 0.2
    blotch: float = 0.3
    shine: float = 0.2
    makeup: float = 0.0
    lash: float = 0.5
    """Darkness of the edge of the upper lid."""
    eye_line: float = 0.3
    """How far the lids' edge and fold run on beyond the outer corners of the eyes, in [0, 1]."""
    mouth_line: float = 0.3
    """How far the line between the lips runs on beyond the corners of the mouth, in [0, 1]."""
    nostril: float = 0.5
    """Height of the nostrils and depth of the groove below the nose, in [0, 1]."""
    brow_tail: float = 0.3
    """How far thin hairs go on beyond the outer ends of the brows, in [0, 1]."""
    brow_density: float = 0.8
    brow_tone: float = 0.8
    beard: float = 0.0
    moustache: float = 0.0
    overhang: float = 0.0
    """How far the moustache covers the upper lip between the corners of the mouth, in [0, 1]."""
    beard_line: float = 0.3
    beard_length: float = 0.0
    """How far the beard covers the flesh below the chin, in [0, 1]."""
    # things on the head
    hairstyle: str = "short"
    """bald, buzz, short, fringe or long."""
    hair_thickness: float = 0.08
    hairline: float = -0.45
    hair_side: float = 1.3
    hair_length: float = 0.1
    parting: float = 0.0
    strands: int = 0
    """Number of locks that fall across the face."""
    neck_width: float = 0.33
    """Radius."""
    under_chin: float = 0.3
    """How far the flesh below the chin comes forward, in [0, 1]: 1 is a double chin."""
    neck_shade: float = 0.75
    collar: float = 0.16
    hat: str = ""
    """beanie, cap, or empty for none."""
    glasses: str = ""
    """clear, dark, or empty for none."""
    occluder: str = ""
    """hand, fist, patch, or empty for none."""
    # light and camera
    light: tuple[float, float, float] = (0.3, -0.5, 0.8)
    """Direction to the light: x to the image's right, y down, z to the camera."""
    light_colour: tuple[float, float, float] = (1.0, 1.0, 1.0)
    ambient: float = 0.5
    """Strength of the light from everywhere."""
    harsh: float = 0.3
    """Contrast between light and shade, in [0, 1]."""
    exposure: float = 0.55
    """Mean brightness of the face, display scale."""
    cast: float = 0.0
    """Strength of a shadow on the whole image, in [0, 1]."""
    margins: tuple[float, float, float, float] = (9.0, 9.0, 9.0, 9.0)
    """Left, top, right and bottom distance from the landmarks to where the image turns black, extents of the face."""
    plain: bool = True
    """Grey background, even skin, and no effects of the camera."""
    detail_seed: int = 0
    """Seed of everything that is random in the drawing itself."""
