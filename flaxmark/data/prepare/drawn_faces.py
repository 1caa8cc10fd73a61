"""The data set of faces drawn by flaxmark.data.drawn. Runs in worker processes: loads neither TensorFlow nor JAX."""

import functools
import hashlib
import itertools
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from flaxmark.data.config import DataConfig
from flaxmark.data.data_sets import DataSet, register
from flaxmark.data.entries import Problem
from flaxmark.data.prepare.sources import Division, hash_values, stored_settings
from flaxmark.data.records.stored_face import StoredFace, store_face
from flaxmark.faces.crop import CropDefinition, landmark_box
from flaxmark.faces.markup_files import MARKUPS, is_built_in
from flaxmark.schema import require

# So far apart that no split reaches the seeds of the next.
FIRST_SEED = {"train": 0, "validation": 1_000_000_000, "test": 2_000_000_000}


def split_seeds(config: DataConfig) -> dict[str, range]:
    """Seeds of the faces of each split; ConfigError where there is nothing to train on or a setting cannot work."""
    counts = dict.fromkeys(FIRST_SEED, config.drawn_validation) | {"train": config.drawn_train}
    for field, least in (("drawn_train", 1), ("drawn_validation", 0), ("drawn_size", 32)):
        value = getattr(config, field)
        require(value >= least, f"data.{field}", value, f"must be at least {least}")
    box = config.crop.box
    require(box == "landmarks", "data.crop.box", box, "must be landmarks: drawn faces have no other boxes")
    limit = FIRST_SEED["validation"]
    return {split: range(FIRST_SEED[split], FIRST_SEED[split] + min(n, limit)) for split, n in counts.items() if n}


def drawing_version() -> str:
    """Hash of the source code that draws: any edit may change the faces."""
    spec = find_spec("flaxmark.data.drawn")
    locations = spec.submodule_search_locations if spec else None
    digest = hashlib.sha256()
    for folder in locations or []:
        for path in sorted(Path(folder).rglob("*.py")):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def drawn_name(seed: int) -> str:
    """Name of a drawn face, in place of a file."""
    return f"drawn/{seed:010d}"


def draw_stored(seed: int, size: int, definition: CropDefinition, markup: str) -> StoredFace:
    """Draw and store the face of a seed in an image of `size` pixels; `markup` is the name of a landmark scheme."""
    from flaxmark.data.drawn import convert_landmarks, convert_visible, portray_face  # only workers need it

    drawn = portray_face(seed, size)
    landmarks_px = convert_landmarks(drawn.landmarks, markup)
    name = drawn_name(seed)
    return store_face(
        drawn.image,
        landmarks_px,
        landmark_box(landmarks_px),
        definition,
        subset="drawn",
        photograph=name,
        file=name,
        visible=convert_visible(drawn.visible, markup),
    )


class DrawnSource:
    """Faces that flaxmark draws."""

    def __init__(self, config: DataConfig) -> None:
        """Choose the seeds; ConfigError where a number of faces or the crop cannot work."""
        self._config = config
        self._seeds = split_seeds(config)
        self.problems: list[Problem] = []
        self.found: dict[str, tuple[int, int | None]] = {
            split: (len(seeds), len(seeds)) for split, seeds in self._seeds.items()
        }
        self.items: Sequence[Any] = [seed for seeds in self._seeds.values() for seed in seeds]
        self.fingerprint = hash_values(stored_settings(config), config.drawn_size, self.found, drawing_version())
        self.chosen = self.fingerprint

    def check_images(self) -> None:
        """Nothing to check: drawn faces fit."""

    @property
    def make(self) -> Callable[[Any], StoredFace | Problem]:
        """Draw, cut and encode."""
        config = self._config
        return partial(draw_stored, size=config.drawn_size, definition=config.crop, markup=config.markup.name)

    @functools.cached_property
    def stored(self) -> Division:
        """Splits of consecutive numbers."""
        numbered = enumerate(self.items)
        chosen = {split: itertools.islice(numbered, len(seeds)) for split, seeds in self._seeds.items()}
        return Division({split: {n: drawn_name(seed) for n, seed in faces} for split, faces in chosen.items()}, [])

    @property
    def division(self) -> Division:
        """The same splits: no lists choose."""
        return self.stored


def _check(config: DataConfig) -> None:
    """Only the landmark schemes that come with flaxmark can be drawn."""
    name = config.markup.name
    require(is_built_in(config.markup), "data.markup", name, f"must be one of {', '.join(MARKUPS)}")


register(
    DataSet(
        "drawn_faces",
        title="drawn, needs no files",
        terms="free",
        check=_check,
        source=DrawnSource,
        builder="drawn_faces",
    )
)
