"""Files of upright crops: one for each face of an image."""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from flaxmark.errors import ConfigError
from flaxmark.inference.face import ALIGNED_SIZES, Face
from flaxmark.inference.files.drawing_paths import image_suffix, refuse_same_names
from flaxmark.inference.files.image_files import save_image
from flaxmark.inference.files.inputs import Input
from flaxmark.system.files import new_folder


class AlignedFiles:
    """Writes `photo_face1.jpg`, `photo_face2.jpg` .. into a folder.

    Every name ends with a number, so that no face of one image has the name of another image's.

    Attributes:
        folder: The folder.
        count: Number of files written.
    """

    def __init__(self, inputs: Sequence[Input], folder: str, size: int, overwrite: bool) -> None:
        """Check all names, and create the folder.

        Videos among images, such as Live Photos, give no crops. Raises ConfigError for videos alone, a size out of
        range, a file that exists without `overwrite` or is an input, or one that two inputs would have; StorageError
        where the folder cannot be written.
        """
        self.folder, self._size, self._overwrite, self.count = Path(folder), size, overwrite, 0
        self._sources = {item.path.resolve() for item in inputs}
        if not folder:
            raise ConfigError("is empty (''); name a folder", field="aligned")
        if not ALIGNED_SIZES[0] <= size <= ALIGNED_SIZES[1]:
            raise ConfigError(f"must lie in {list(ALIGNED_SIZES)}", field="aligned_size", value=size)
        images = [item for item in inputs if not item.is_video]
        if inputs and not images:
            reason = f"{inputs[0].path} is a video; crops are cut out of images"
            raise ConfigError(reason, field="aligned", value=folder)
        if len(images) < len(inputs):
            print(f"no upright crops of the videos ({len(inputs) - len(images)})", file=sys.stderr)
        refuse_same_names(images, lambda item: self._path(item, 1))
        for item in images:
            self._check(self._path(item, 1))
        new_folder("aligned", folder)

    def write(self, item: Input, image: UInt8[np.ndarray, "height width 3"], faces: Sequence[Face]) -> None:
        """Write the faces of an image; ConfigError if a file exists."""
        for number, face in enumerate(faces, 1):
            path = self._path(item, number)
            self._check(path)
            path.parent.mkdir(parents=True, exist_ok=True)
            save_image(face.aligned(image, self._size), path, like=item.path)
            self.count += 1

    def _path(self, item: Input, number: int) -> Path:
        name = Path(item.name)
        return self.folder / name.with_name(f"{name.stem}_face{number}{image_suffix(item)}")

    def _check(self, path: Path) -> None:
        if path.resolve() in self._sources:
            raise ConfigError("is an input, and inputs are never replaced", field="aligned", file=path)
        if path.exists() and not self._overwrite:
            raise ConfigError("exists; give another folder or --overwrite", field="aligned", file=path)
