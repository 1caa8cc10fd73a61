"""300-W in its official layout: eight folders of images, each image with a .pts file beside it."""

import dataclasses
import functools
import re
from pathlib import Path, PurePosixPath

from flaxmark.data.data_sets import DataSet, register
from flaxmark.data.entries import LEAVES_FOLDER, NO_IMAGE, FaceEntry, Listing, Problem, divide, inside
from flaxmark.data.images import SUFFIXES
from flaxmark.data.readers.pts import read_face
from flaxmark.faces.markup import IBUG_68

TERMS = "research only, no commercial use, no redistribution"
MIRRORED = "mirrored twins, left out"
COPIES = Path(__file__).with_name("copies_300w.txt")

NO_300W = """\
300-W is not part of flaxmark. Download it from https://ibug.doc.ic.ac.uk/resources/300-W/ (research only) as
    afw/*.jpg  helen/trainset/*.jpg  helen/testset/*.jpg  lfpw/trainset/*.png  lfpw/testset/*.png
    ibug/*.jpg  300W/01_Indoor/*.png  300W/02_Outdoor/*.png
with a .pts file beside each image; any part of it will do. Name that folder with --data.dir, or call it 300w and set
the environment variable FLAXMARK_DATA to its parent folder.
To train without it, on faces that flaxmark draws: --data.name drawn_faces"""


@dataclasses.dataclass(frozen=True)
class Subset:
    """One folder of 300-W."""

    name: str
    """What metrics call it."""
    split: str
    expected: int
    """The official number of faces."""


# Sagonas et al., "300 faces in-the-wild challenge: database and results", 2016; the division in common use.
SUBSETS_300W = {
    "afw": Subset("afw", "train", 337),
    "helen/trainset": Subset("helen/trainset", "train", 2000),
    "lfpw/trainset": Subset("lfpw/trainset", "train", 811),
    "helen/testset": Subset("common", "test_common", 330),
    "lfpw/testset": Subset("common", "test_common", 224),
    "ibug": Subset("challenging", "test_challenging", 135),
    "300W/01_Indoor": Subset("indoor", "test_private", 300),
    "300W/02_Outdoor": Subset("outdoor", "test_private", 300),
}


def photograph_300w(file: str) -> str:
    """Photograph that a face of 300-W was cut from: `afw/134212_2.jpg` is face 2 of `afw/134212`.

    HELEN numbers its photographs across training and test folders, LFPW starts anew in each. A photograph that the data
    set is known to have under several names has the first of them.
    """
    name = _named_photograph(file)
    return _copies().get(name, name)


def known_copies(first: str, second: str) -> bool:
    """Whether two files of 300-W are known to show the same photograph, though their names differ."""
    same = photograph_300w(first) == photograph_300w(second)
    return same and _named_photograph(first) != _named_photograph(second)


@functools.cache
def _copies() -> dict[str, str]:
    """Each name of a photograph with several -> the first of its names."""
    lines = COPIES.read_text(encoding="utf-8").splitlines()
    groups = [line.split() for line in lines if not line.startswith("#")]
    return {name: names[0] for names in groups for name in names}


def _named_photograph(file: str) -> str:
    """Photograph of a face by the file's name alone."""
    path = PurePosixPath(file)
    stem = re.sub(r"(?<=\d) ?_\d{1,2}$", "", path.stem)
    folder = "helen" if path.parts[0] == "helen" else path.parent.as_posix()
    return f"{folder}/{stem}"


def read_official(root: Path) -> Listing:
    """List the faces of the official folders below `root`; any of them may be missing."""
    entries: list[FaceEntry] = []
    problems: list[Problem] = []
    found: dict[str, tuple[int, int | None]] = {}
    mirrored = 0
    for folder, subset in SUBSETS_300W.items():
        faces, wrong, twins = _read_folder(root, folder, subset)
        entries += faces
        problems += wrong
        mirrored += twins
        found[folder] = (len(faces), subset.expected)
    if mirrored:
        found[MIRRORED] = (mirrored, None)
    return Listing(entries, problems, found)


def _read_folder(root: Path, folder: str, subset: Subset) -> tuple[list[FaceEntry], list[Problem], int]:
    """Faces, problems and number of mirrored twins (which are left out) of one official folder."""
    directory = root / folder
    if not directory.is_dir():
        return [], [], 0
    if inside(root, folder) is None:
        return [], [Problem(folder, LEAVES_FOLDER, "the folder is a link out of the data set")], 0
    names = sorted(p.name for p in directory.iterdir() if not p.name.startswith("."))
    images = [n for n in names if PurePosixPath(n).suffix.lower() in SUFFIXES]
    points = {PurePosixPath(n).stem for n in names if n.lower().endswith(".pts")}
    twins = [n for n in images if PurePosixPath(n).stem.endswith("_mirror")]
    files = [f"{folder}/{name}" for name in images if name not in twins]
    entries, problems = divide(
        read_face(root, file, subset.name, subset.split, photograph_300w(file), IBUG_68.num_points) for file in files
    )
    orphans = sorted(points - {PurePosixPath(n).stem for n in images})
    problems += [Problem(f"{folder}/{stem}.pts", NO_IMAGE, "no image of this name") for stem in orphans]
    return entries, problems, len(twins)


register(
    DataSet(
        "ibug_300w",
        title="300-W in its official layout",
        viewer_space=False,
        read=lambda config, root: read_official(root),
        terms=TERMS,
        num_points=IBUG_68.num_points,
        location=("FLAXMARK_DATA", "300w"),
        instructions=NO_300W,
        builder="ibug_300w/official",
    )
)
