"""Stored faces drawn by flaxmark.drawing, in worker processes that load neither TensorFlow nor JAX."""

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path

from flaxmark.config import ConfigError, DataConfig
from flaxmark.data.stored_face import StoredFace, store_face
from flaxmark.geometry import CropDefinition, landmark_box
from flaxmark.progress import Progress

# No split can grow into the seeds of the next.
FIRST_SEED = {"train": 0, "validation": 1_000_000_000, "test": 2_000_000_000}
FEW = 256  # starting processes takes longer than drawing these


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
    spec = find_spec("flaxmark.drawing")
    locations = spec.submodule_search_locations if spec else None
    digest = hashlib.sha256()
    for folder in locations or []:
        for path in sorted(Path(folder).rglob("*.py")):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def draw_splits(seeds: dict[str, range], config: DataConfig) -> dict[str, list[StoredFace]]:
    """Draw all faces.

    Args:
        seeds: Split -> seeds.
        config: Gives the picture's size and the crop.

    Returns:
        Split -> faces, in the order of their seeds.
    """
    total = sum(len(values) for values in seeds.values())
    faces = _draw([seed for values in seeds.values() for seed in values], config)
    progress = Progress(total, 0, 1)
    splits: dict[str, list[StoredFace]] = {}
    done = 0
    for split, values in seeds.items():
        splits[split] = []
        for _ in values:
            splits[split].append(next(faces))
            done += 1
            progress.step(f"drawing {done:,} of {total:,} faces")
    progress.line(f"drew {total:,} faces")
    return splits


def _draw(seeds: list[int], config: DataConfig) -> Iterator[StoredFace]:
    """Draw in this process, or in one for each core where that pays."""
    draw = partial(draw_stored, size=config.drawn_size, definition=config.crop, markup=config.markup.name)
    workers = os.cpu_count() or 1
    if workers == 1 or len(seeds) < FEW:
        yield from map(draw, seeds)
        return
    # Forking would copy the locks of threads that JAX and TensorFlow have started.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(draw, seeds, chunksize=16)


def draw_stored(seed: int, size: int, definition: CropDefinition, markup: str) -> StoredFace:
    """Draw and store one face.

    Args:
        seed: Decides everything.
        size: Side of the picture, pixels.
        definition: From landmarks to crop.
        markup: Name of the points.

    Returns:
        The face.
    """
    from flaxmark.drawing import convert_landmarks, draw_face  # only workers need it

    picture, drawn_px = draw_face(seed, size)
    landmarks_px = convert_landmarks(drawn_px, markup)
    name = f"drawn/{seed:010d}"
    return store_face(
        picture,
        landmarks_px,
        landmark_box(landmarks_px),
        definition,
        subset="drawn",
        photograph=name,
        file=name,
    )
