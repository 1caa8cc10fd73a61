"""The data sets that flaxmark knows: one record each, made by the module that reads it; loads no TensorFlow or JAX."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from flaxmark.data.entries import Listing
from flaxmark.errors import ConfigError
from flaxmark.schema import EXTENSION_HINT

if TYPE_CHECKING:
    from flaxmark.data.config import DataConfig
    from flaxmark.data.prepare.sources import Source


@dataclasses.dataclass(frozen=True)
class DataSet:
    """Everything that flaxmark has to know about a data set; `register` makes it a choice of `--data.name`.

    Example:
        A file that `FLAXMARK_EXTENSIONS` names, for faces in a format of your own:

        >>> def read(config: DataConfig, root: Path) -> Listing:
        ...     entries = [FaceEntry("a.jpg", points, None, subset="mine", photograph="a", split="train")]
        ...     return Listing(entries, problems=[], found={"mine": (1, None)})
        >>> register(DataSet("mine", title="my own faces", read=read))
    """

    name: str
    """The value of `--data.name`."""
    title: str
    """A few words for help texts."""
    read: Callable[["DataConfig", Path], Listing] | None = None
    """From the config and the data set's existing folder to all faces in it; a face that cannot be used becomes a
    `Problem`. May raise DataError where nothing can be read; any other exception is turned into one. None: the faces
    are in no folder but come from `source`."""
    terms: str = "unknown"
    """Terms of use; they are kept with every network that is trained on the faces and with its predictions."""
    num_points: int | None = None
    """How many landmarks each face has; None: as many as `data.markup` has."""
    names_photographs: bool = True
    """Whether `FaceEntry.photograph` identifies a photograph. Where it identifies a person instead, only identical
    files count as the same photograph on both sides of a split."""
    lists_hold_faces: bool = False
    """Whether `data.train_list` and the other lists are files of annotated faces, which `read` reads itself; otherwise
    they are lists of file names that choose from the faces that `read` returns."""
    location: tuple[str, str] | None = None
    """Where the data set is searched without `data.dir`: an environment variable that names a folder, and the name of a
    subfolder of it."""
    viewer_space: bool = True
    """Whether annotations mean the image as viewers show it, turned by its EXIF orientation, where `data.orientation`
    is auto and an annotation does not give the size of its image. False: the stored pixels, as tools that ignore the
    orientation show them (imglab)."""
    instructions: str = ""
    """How to get the data set; the end of the message where it is missing."""
    check: Callable[["DataConfig"], None] | None = None
    """Further checks of the config; raises ConfigError."""
    source: Callable[["DataConfig"], "Source"] | None = None
    """For faces that are not in a folder: from the config to where they come from."""
    builder: str = "own_faces"
    """Name of the TFDS builder that writes the records, in `flaxmark.data.records.builders`, and after a slash its
    config."""

    @property
    def in_folder(self) -> bool:
        """Whether the faces are files in a folder."""
        return self.read is not None


DATA_SETS: dict[str, DataSet] = {}
"""Name -> data set, in the order in which they were registered."""


def register(data_set: DataSet) -> DataSet:
    """Make a data set a choice of `--data.name`.

    Args:
        data_set: Its record. Registering the same name again from the same function replaces it.

    Returns:
        The same record.

    Raises:
        ConfigError: Another data set has this name, or it has neither `read` nor `source`.
    """
    other = DATA_SETS.get(data_set.name, data_set)
    if _origin(other) != _origin(data_set):
        raise ConfigError(f"the name {data_set.name!r} is taken by the data set of {_origin(other)}", field="data.name")
    if data_set.read is None and data_set.source is None:
        raise ConfigError(f"the data set {data_set.name!r} needs a function that reads it", field="data.name")
    DATA_SETS[data_set.name] = data_set
    return data_set


def find_data_set(name: str) -> DataSet:
    """A registered data set by its name; ConfigError lists the choices where there is none."""
    if name not in DATA_SETS:
        raise ConfigError(f"must be one of {', '.join(DATA_SETS)}; {EXTENSION_HINT}", field="data.name", value=name)
    return DATA_SETS[name]


def _origin(data_set: DataSet) -> str:
    """The module and function that give a data set's faces."""
    function = data_set.read or data_set.source
    return f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', function)}"
