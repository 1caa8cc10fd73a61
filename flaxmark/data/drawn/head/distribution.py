"""Random faces: the distribution of the parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from flaxmark.data.drawn.head.parameters import FaceParameters

# RGB in [0, 1]; neighbours are blended.
SKINS = (
    (0.97, 0.85, 0.78),
    (0.93, 0.76, 0.66),
    (0.86, 0.66, 0.53),
    (0.74, 0.53, 0.4),
    (0.55, 0.37, 0.27),
    (0.36, 0.23, 0.17),
)
HAIRS = (
    (0.05, 0.04, 0.04),
    (0.16, 0.1, 0.07),
    (0.33, 0.21, 0.13),
    (0.62, 0.47, 0.29),
    (0.8, 0.68, 0.46),
    (0.45, 0.2, 0.1),
    (0.75, 0.74, 0.72),
)
IRISES = ((0.2, 0.12, 0.07), (0.32, 0.2, 0.1), (0.35, 0.47, 0.6), (0.4, 0.45, 0.3), (0.45, 0.5, 0.52))


def _colour(
    rng: np.random.Generator, palette: tuple[tuple[float, ...], ...], position: float, spread: float
) -> tuple[float, float, float]:
    """RGB between two neighbours of a palette, with random variation.

    `position` is the place in the palette, in [0, len - 1]; `spread` is the standard deviation of the variation.
    """
    table = np.array(palette)
    low = min(int(position), len(table) - 2)
    blend = table[low] + (position - low) * (table[low + 1] - table[low])
    red, green, blue = np.clip(
        blend * (1 + spread * rng.standard_normal()) + spread * 0.4 * rng.standard_normal(3), 0.02, 1.0
    )
    return float(red), float(green), float(blue)


def _identity(n: Callable[[], float], p: FaceParameters) -> FaceParameters:
    """A copy with a random shape of the person; `n` gives numbers of the standard normal distribution."""
    wide = n()  # noses and mouths are wide together, in long faces
    return replace(
        p,
        length=-0.045 + 0.048 * n() + 0.025 * wide,
        breadth=0.045 * n(),
        jaw=0.07 * n(),
        chin=0.25 * n(),
        depth=1.22 + 0.07 * n(),
        eye_spacing=-0.003 + 0.009 * n(),
        eye_size=0.02 + 0.09 * n(),
        eye_height=0.14 + 0.16 * n(),
        eye_slant=0.05 * n(),
        brow_height=0.016 * n(),
        brow_arch=0.012 * n(),
        brow_width=float(np.clip(0.027 + 0.009 * n(), 0.008, 0.05)),
        brow_length=0.09 * n(),
        brow_spacing=0.018 * n(),
        nose_length=0.07 * n(),
        nose_width=0.11 * n() + 0.06 * wide,
        nose_height=float(np.clip(0.88 + 0.17 * n(), 0.45, 1.4)),
        nose_tip=float(np.clip(0.5 + 0.25 * n(), 0, 1)),
        mouth_width=0.065 * n() + 0.05 * wide,
        mouth_height=0.002 + 0.015 * n(),
        upper_lip=0.3 * n(),
        lower_lip=0.27 * n(),
        mouth_corner=0.02 * n(),
        cheek=1.0 + 0.4 * n(),
        asymmetry=0.035 * n(),
        jitter=0.006,
    )


def _expression(rng: np.random.Generator, p: FaceParameters) -> FaceParameters:
    """A copy with a random expression."""
    kind = rng.choice(5, p=[0.3, 0.42, 0.12, 0.08, 0.08])
    smile = [
        0.25 * rng.random(),
        0.5 + 0.75 * rng.random(),
        0.2 * rng.random(),
        -0.8 * rng.random(),
        0.5 + 0.5 * rng.random(),
    ][kind]
    opening = [0.0, 0.02 + 0.08 * rng.random(), 0.03 + 0.24 * rng.random() ** 1.5, 0.02 * rng.random(), 0.0][kind]
    closed = rng.random()
    both = (
        1.0
        if closed < 0.05
        else 0.45 * rng.random() + 0.15 * (smile > 0.5)
        if closed < 0.35
        else 0.1 * rng.standard_normal() + 0.15 * (smile > 0.5)
    )
    return replace(
        p,
        mouth_open=opening,
        smile=smile,
        smirk=0.25 * rng.standard_normal() * (rng.random() < 0.4),
        brow_raise=0.018 * rng.standard_normal() + 0.03 * (opening > 0.12) * rng.random(),
        frown=0.012 * rng.standard_normal(),
        closure=(both, both if rng.random() < 0.95 else 1.0),
        gaze=(0.3 * rng.standard_normal(), 0.18 * rng.standard_normal()),
    )


def _pose(rng: np.random.Generator, p: FaceParameters) -> FaceParameters:
    """A copy with a random pose, distance and place in the image."""
    yaw = rng.standard_normal() * (13 if rng.random() < 0.55 else 27)
    return replace(
        p,
        yaw=float(np.clip(yaw, -75, 75)),
        pitch=float(np.clip(2 + 10 * rng.standard_normal(), -27, 27)),
        roll=float(np.clip(7 * rng.standard_normal() - 1, -27, 27)),
        distance=float(np.exp(rng.uniform(np.log(4), np.log(25)))),
        zoom=rng.uniform(0.9, 1.1),
        centre=(0.02 * rng.standard_normal(), 0.02 * rng.standard_normal()),
    )


def _colouring(rng: np.random.Generator, p: FaceParameters) -> FaceParameters:
    """A copy with random colours of skin, hair and eyes, hairstyle and beard."""
    tone = 5 * rng.beta(1.1, 1.6)
    dark = tone > 3
    hair = rng.uniform(0, 1.3) if dark else np.float64(rng.choice([rng.uniform(0, 4), 5.0, 5.95], p=[0.78, 0.08, 0.14]))
    man = rng.random() < 0.5
    bearded = man and rng.random() < 0.5
    return replace(
        p,
        skin=_colour(rng, SKINS, tone, 0.06),
        hair=_colour(rng, HAIRS, hair, 0.08),
        iris=_colour(rng, IRISES, rng.uniform(0, 1) if dark else rng.uniform(0, 4), 0.1),
        iris_size=rng.uniform(0.036, 0.045),
        eye_white=rng.uniform(0.5, 0.95),
        lip=rng.uniform(0.1, 1.0) if man else rng.uniform(0.3, 1.6),
        blush=rng.uniform(0, 1.2),
        wrinkle=rng.beta(1, 2.5),
        blotch=rng.beta(1.5, 2.5),
        shine=rng.beta(1.2, 2.2),
        makeup=0.0 if man else rng.beta(1, 1.5),
        lash=rng.random(),
        eye_line=rng.beta(1.2, 1.5),
        mouth_line=rng.beta(1.2, 1.5),
        nostril=rng.random(),
        brow_tail=rng.beta(1.2, 1.5),
        brow_density=rng.uniform(0.3, 1.0),
        brow_tone=rng.uniform(0.5, 1.3),
        beard=rng.beta(1, 1.2) if bearded else 0.0,
        moustache=rng.beta(1, 1.2) if bearded or (man and rng.random() < 0.1) else 0.0,
        overhang=rng.beta(1, 1.5),
        beard_line=rng.uniform(0.15, 0.45),
        beard_length=rng.random(),
        hairstyle=str(
            rng.choice(
                ["bald", "buzz", "short", "fringe", "long"],
                p=[0.1, 0.15, 0.55, 0.08, 0.12] if man else [0.0, 0.02, 0.2, 0.23, 0.55],
            )
        ),
        hairline=rng.uniform(-0.56, -0.36),
        hair_thickness=rng.uniform(0.04, 0.17) + 0.15 * (rng.random() < 0.06),
        hair_side=rng.uniform(0.95, 1.5),
        hair_length=rng.uniform(0.3, 1.2),
        parting=0.5 * rng.standard_normal(),
        strands=0 if rng.random() < 0.75 else int(rng.integers(1, 7)),
        neck_width=rng.uniform(0.31, 0.42) if man else rng.uniform(0.27, 0.37),
        under_chin=rng.beta(1, 1.3),
        neck_shade=rng.uniform(0.0, 0.85),
        collar=0.16 if rng.random() < 0.55 else rng.uniform(-0.06, 0.12),
    )


def sample_parameters(rng: np.random.Generator) -> FaceParameters:
    """Sample the parameters of a random face; the same state of `rng` gives the same face."""
    p = FaceParameters(plain=False, detail_seed=int(rng.integers(2**31)))
    p = _colouring(rng, _pose(rng, _expression(rng, _identity(rng.standard_normal, p))))
    azimuth, elevation = rng.uniform(-1.5, 1.5), rng.uniform(-0.3, 1.2)
    if rng.random() < 0.2:  # a flash beside the lens
        azimuth, elevation = 0.15 * azimuth, 0.2 * elevation
    light = (np.sin(azimuth) * np.cos(elevation), -np.sin(elevation), np.cos(azimuth) * np.cos(elevation))
    margins = np.where(rng.random(4) < 0.06, rng.uniform(0, 0.3, 4), 9.0).tolist()
    return replace(
        p,
        hat=str(rng.choice(["", "beanie", "cap"], p=[0.9, 0.05, 0.05])),
        glasses=str(rng.choice(["", "clear", "dark"], p=[0.78, 0.17, 0.05])),
        occluder=str(rng.choice(["", "hand", "fist", "patch"], p=[0.8, 0.06, 0.07, 0.07])),
        light=(float(light[0]), float(light[1]), float(light[2])),
        light_colour=_colour(rng, ((1.0, 0.84, 0.66), (1.0, 1.0, 1.0), (0.88, 0.96, 1.1)), rng.uniform(0, 2), 0.05),
        ambient=rng.uniform(0.15, 0.8),
        harsh=rng.random(),
        exposure=float(np.clip(0.58 + 0.14 * rng.standard_normal(), 0.22, 0.9)),
        cast=0.0 if rng.random() < 0.7 else rng.uniform(0.2, 0.8),
        margins=(margins[0], margins[1], margins[2], margins[3]),
    )


def mean_person() -> FaceParameters:
    """The mean of the distribution of people, with a neutral expression."""
    return replace(_identity(lambda: 0.0, FaceParameters()), jitter=0.0)
