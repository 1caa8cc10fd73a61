"""Files that are called after images: where they go, and what may not be there."""

import re
from collections.abc import Sequence
from pathlib import Path

from flaxmark.errors import ConfigError
from flaxmark.inference.files.inputs import Input, is_file_name
from flaxmark.inference.files.writers import pts_paths
from flaxmark.system.files import new_folder

DRAWN = (".png", ".jpg", ".jpeg")


def drawing_paths(inputs: Sequence[Input], draw: str | None, overwrite: bool) -> dict[str, Path]:
    """Where drawings go, checked before anything slow starts.

    Args:
        inputs: Images and videos.
        draw: A folder, or for a single input a image file or .mp4; None draws nothing.
        overwrite: Files may exist.

    Returns:
        Name of a image -> file; empty without `draw`. Their folder is there.

    Raises:
        ConfigError: A file exists or is an input, cannot be written, or two images would be drawn into one.
    """
    if draw is None:
        return {}
    if not draw:
        raise ConfigError("--draw is empty (''): name a folder, or a file for a single image")
    place = Path(draw)
    if is_file_name(place):
        paths, folder = {inputs[0].name: _single(inputs, place)}, place.parent
    else:
        paths = {item.name: place / Path(item.name).with_suffix(".mp4" if item.is_video else ".png") for item in inputs}
        folder = place
    refuse_same_names(inputs)
    sources = {item.path.resolve() for item in inputs}
    for path in paths.values():
        if path.resolve() in sources:
            raise ConfigError(f"--draw: {path} is an input, which a drawing never replaces; give another name")
        if path.exists() and not overwrite:
            raise ConfigError(f"--draw: {path} exists; give another name or --overwrite")
    new_folder("draw", folder)
    return paths


def _single(inputs: Sequence[Input], place: Path) -> Path:
    """The file that the only input is drawn into."""
    if len(inputs) > 1:
        raise ConfigError(f"--draw {place}: there are {len(inputs)} inputs; name a folder")
    if place.suffix.lower() not in ((".mp4",) if inputs[0].is_video else DRAWN):
        raise ConfigError(f"--draw {place}: images are drawn as .png or .jpg, videos as .mp4")
    return place


def refuse_same_names(inputs: Sequence[Input]) -> None:
    """Demand that results can be called after their images.

    Args:
        inputs: Images.

    Raises:
        ConfigError: Two differ only in their folder or ending.
    """
    seen: dict[Path, Input] = {}
    for item in inputs:
        other = seen.setdefault(Path(item.name).with_suffix(""), item)
        if other is not item:
            raise ConfigError(
                f"{other.path} and {item.path}: what is written of them would have one name; name the folder above "
                "them, or look at them one after the other"
            )


def refuse_pts_files(inputs: Sequence[Input], folder: Path, overwrite: bool) -> None:
    """Look for .pts files that would be in the way, before anything slow starts.

    Args:
        inputs: Images.
        folder: For the files.
        overwrite: Files may exist.

    Raises:
        ConfigError: One exists, two images might have the same, or no folder can be made there.
    """
    refuse_same_names(inputs)
    stems = {Path(item.name).with_suffix("").as_posix() for item in inputs}
    for stem in sorted(stems):
        if (base := re.sub(r"_face\d+$", "", stem)) != stem and base in stems:
            raise ConfigError(f"{base} and {stem}: a second face of the one would have the other's file; rename one")
    for item in inputs:
        for path in pts_paths(folder, item.name, 1) + pts_paths(folder, item.name, 2):
            if path.exists() and not overwrite:
                raise ConfigError(f"--out: {path} exists; give another folder or --overwrite")
    new_folder("out", folder)
