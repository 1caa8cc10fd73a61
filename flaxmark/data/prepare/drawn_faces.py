"""Stored faces drawn by flaxmark.data.drawn; loads neither TensorFlow nor JAX."""

import hashlib
from importlib.util import find_spec
from pathlib import Path

from flaxmark.data.config import DataConfig
from flaxmark.data.records.stored_face import StoredFace, store_face
from flaxmark.errors import ConfigError
from flaxmark.faces.crop import CropDefinition, landmark_box

# No split can grow into the seeds of the next.
FIRST_SEED = {"train": 0, "validation": 1_000_000_000, "test": 2_000_000_000}


def split_seeds(config: DataConfig) -> dict[str, range]:
    """Which seeds the faces of each split have.

    Args:
        config: Gives the numbers of faces.

    Returns:
        Split -> seeds.

    Raises:
        ConfigError: A number is negative, there is nothing to train on, or the crop wants boxes of a source.
    """
    counts = dict.fromkeys(FIRST_SEED, config.drawn_validation) | {"train": config.drawn_train}
    if config.drawn_train < 1:
        raise ConfigError(f"--data.drawn-train {config.drawn_train}: must be at least 1")
    if config.drawn_validation < 0:
        raise ConfigError(f"--data.drawn-validation {config.drawn_validation}: must be at least 0")
    if config.drawn_size < 32:
        raise ConfigError(f"--data.drawn-size {config.drawn_size}: must be at least 32 pixels")
    if config.crop.box != "landmarks":
        raise ConfigError(f"--data.crop.box {config.crop.box}: drawn faces have no boxes but landmarks")
    limit = FIRST_SEED["validation"]
    return {split: range(FIRST_SEED[split], FIRST_SEED[split] + min(n, limit)) for split, n in counts.items() if n}


def drawing_version() -> str:
    """Hash of the drawing's source: what it draws may change with any edit of it."""
    spec = find_spec("flaxmark.data.drawn")
    locations = spec.submodule_search_locations if spec else None
    digest = hashlib.sha256()
    for folder in locations or []:
        for path in sorted(Path(folder).rglob("*.py")):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def drawn_name(seed: int) -> str:
    """What a drawn face is called, in place of a file."""
    return f"drawn/{seed:010d}"


def draw_stored(seed: int, size: int, definition: CropDefinition, markup: str) -> StoredFace:
    """Draw and store one face.

    Args:
        seed: Decides everything.
        size: Side of the image, pixels.
        definition: From landmarks to crop.
        markup: Name of the points.

    Returns:
        The face.
    """
    from flaxmark.data.drawn import convert_landmarks, draw_face  # only workers need it

    image, drawn_px = draw_face(seed, size)
    landmarks_px = convert_landmarks(drawn_px, markup)
    name = drawn_name(seed)
    return store_face(
        image,
        landmarks_px,
        landmark_box(landmarks_px),
        definition,
        subset="drawn",
        photograph=name,
        file=name,
    )
