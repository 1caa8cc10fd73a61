"""Output files that are named after the inputs: their paths, and checks before anything slow starts."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from flaxmark.errors import ConfigError
from flaxmark.inference.files.inputs import Input, is_file_name
from flaxmark.inference.files.partial import PartialResults
from flaxmark.inference.files.writers import pts_paths
from flaxmark.system.files import new_folder

DRAWN = (".png", ".jpg", ".jpeg")
JPEG = frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})


def drawing_paths(inputs: Sequence[Input], draw: str | None, overwrite: bool) -> dict[str, Path]:
    """Paths of the drawings by the name of their input, in the folder `draw`, or that file for a single input.

    Empty without `draw` or inputs; else the folder is created. Raises ConfigError if a file exists without `overwrite`,
    is an input, has an unsupported suffix, or belongs to two inputs; StorageError if the folder cannot be written.
    """
    if draw is None or not inputs:
        return {}
    if not draw:
        raise ConfigError("is empty (''); name a folder, or a file for a single image", field="draw")
    place = Path(draw)
    if is_file_name(place):
        paths, folder = {inputs[0].name: _single(inputs, place)}, place.parent
    else:
        paths = {item.name: place / Path(item.name).with_suffix(image_suffix(item)) for item in inputs}
        folder = place
    refuse_same_names(inputs, lambda item: paths[item.name])
    sources = {item.path.resolve() for item in inputs}
    for path in paths.values():
        if path.resolve() in sources:
            raise ConfigError("is an input, and inputs are never replaced; give another name", field="draw", file=path)
        if path.exists() and not overwrite:
            raise ConfigError("exists; give another name or --overwrite", field="draw", file=path)
    new_folder("draw", folder)
    return paths


def image_suffix(item: Input) -> str:
    """Suffix of an image that is made of an input: `.jpg` for JPEG, `.mp4` for videos, `.png` for all others."""
    return ".mp4" if item.is_video else ".jpg" if item.path.suffix.lower() in JPEG else ".png"


def _single(inputs: Sequence[Input], place: Path) -> Path:
    """Check the file for the drawing of a single input."""
    if len(inputs) > 1:
        raise ConfigError(f"is one file for {len(inputs)} inputs; name a folder", field="draw", value=place)
    if place.suffix.lower() not in ((".mp4",) if inputs[0].is_video else DRAWN):
        raise ConfigError("images are drawn as .png or .jpg, videos as .mp4", field="draw", value=place)
    return place


def refuse_same_names(inputs: Sequence[Input], result: Callable[[Input], str | Path]) -> None:
    """Raise ConfigError if results of two inputs would have the same name, because only folder or suffix differ."""
    seen: dict[str | Path, Input] = {}
    for item in inputs:
        other = seen.setdefault(result(item), item)
        if other is not item:
            raise ConfigError(
                f"its results would have the same name as those of {other.path}; give the folder above both, or use "
                "one command for each",
                file=item.path,
            )


def refuse_same_pts(inputs: Sequence[Input]) -> None:
    """Raise ConfigError if a .pts file might belong to two images."""
    refuse_same_names(inputs, lambda item: Path(item.name).with_suffix(""))
    stems = {Path(item.name).with_suffix("").as_posix() for item in inputs}
    for stem in sorted(stems):
        if (base := re.sub(r"_face\d+$", "", stem)) != stem and base in stems:
            raise ConfigError(f"a second face in {base} would have the same file; rename one of them", file=stem)


def refuse_pts_files(inputs: Sequence[Input], results: PartialResults) -> None:
    """Raise ConfigError if a .pts file exists that may not be replaced."""
    for item in inputs:
        for path in pts_paths(results.out, item.name, 1) + pts_paths(results.out, item.name, 2):
            if path.exists() and not results.replaces:
                raise ConfigError("exists; give another folder or --overwrite", field="out", file=path)
