"""What a model that has seen drawn faces only misreads on photographs, beside what it reads on drawn faces.

Writes report.md, constants.png (what to add to each point on average) and worst.png into --out. With --data.dir the
validation faces of 300-W measure the error, and its training faces everything that needs many faces; --london is the
folder of the Face Research Lab London Set with a points.csv, for the error by group of people: file, left, top, right,
bottom, x36, y36, x45, y45 and further labelled points in pixels from 0, age, gender, ethnicity.

python benchmarks/drawn_to_real.py --data.dir 300W --data.train-list train.txt --data.validation-list val.txt \
    [--workdir RUN] [--london FOLDER] [--out runs/drawn_to_real]
"""

import csv
import dataclasses
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from drawn_to_real_report import MODES, write_report
from jaxtyping import Float
from shape_errors import in_face_frame, mirror

from flaxmark.cli.flags import Model, parse_flags
from flaxmark.cli.main import run_main
from flaxmark.config import DataConfig
from flaxmark.data.annotated_images import read_annotated
from flaxmark.data.drawn import draw_face
from flaxmark.data.entries import FaceEntry
from flaxmark.data.images import read_image
from flaxmark.data.prepare.sources import FolderSource, find_data_dir
from flaxmark.errors import ConfigError, DataError
from flaxmark.evaluation.metrics import normalising_distance
from flaxmark.faces.crop import landmark_box
from flaxmark.faces.markup import IBUG_68
from flaxmark.inference.face import Face
from flaxmark.inference.predictor import Predictor
from flaxmark.system.files import new_folder

COLUMNS = ("left", "top", "right", "bottom", "file", "x36", "y36", "x45", "y45", "age", "gender", "ethnicity")
"""Of points.csv, those that are needed."""

DRAWN_SEED = 700_000
"""Of the first drawn face; training draws others."""


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Model and faces."""

    data: DataConfig = DataConfig()
    workdir: Model = None
    """Run of flaxmark train, or file of flaxmark pack; default: the model that comes with flaxmark."""
    london: str | None = None
    """Folder with points.csv of the Face Research Lab London Set."""
    drawn: int = 500
    """Number of drawn faces."""
    faces: int = 1000
    """Maximum number of training faces, evenly subsampled."""
    out: str = "runs/drawn_to_real"
    """Output folder."""
    debug: bool = False
    """Show a traceback when something fails."""


@dataclasses.dataclass(frozen=True)
class Faces:
    """Predicted and true landmarks of faces, pixels, and their entries in a data set, if they have any.

    `sigma` is the expected error of the points, relative to the distance of the outer eye corners; None without.
    """

    entries: Sequence[FaceEntry]
    predicted: Float[np.ndarray, "n 68 2"]
    true: Float[np.ndarray, "n 68 2"]
    sigma: Float[np.ndarray, " n"] | None

    @property
    def shapes(self) -> tuple[Float[np.ndarray, "n 68 2"], Float[np.ndarray, "n 68 2"]]:
        """Both in the face's own frame."""
        return in_face_frame(self.predicted, self.true), in_face_frame(self.true, self.true)


@dataclasses.dataclass(frozen=True)
class LondonFaces:
    """Errors of people in percent of the distance of the outer eye corners, and the groups they belong to."""

    errors: Float[np.ndarray, " n"]
    groups: list[tuple[str, str, str]]


def predict(predictor: Predictor, images: Iterable[np.ndarray], boxes: Sequence[np.ndarray]) -> np.ndarray:
    """Landmarks `[n, 68, 2]` of one face in each image, given its box."""
    return np.stack([face.landmarks for face in predict_faces(predictor, images, boxes)])


def predict_faces(predictor: Predictor, images: Iterable[np.ndarray], boxes: Sequence[np.ndarray]) -> list[Face]:
    """One face in each image, given its box."""
    return [faces[0] for faces in predictor.predict_many(images, [box[None] for box in boxes])]


def with_truth(found: Sequence[Face], true: Float[np.ndarray, "n 68 2"], entries: Sequence[FaceEntry] = ()) -> Faces:
    """Predicted faces and their true landmarks."""
    sigmas = [face.sigma for face in found if face.sigma is not None]
    sigma = np.stack(sigmas).mean(axis=1) / normalising_distance(true) if sigmas else None
    return Faces(entries, np.stack([face.landmarks for face in found]), true, sigma)


def photographs(predictor: Predictor, entries: Sequence[FaceEntry], root: Path) -> Faces:
    """Predictions for annotated photographs, from their true boxes."""
    true = np.stack([entry.landmarks_px for entry in entries])
    images = (read_annotated(root, entry, predictor.max_megapixels) for entry in entries)
    boxes = [landmark_box(points) for points in true]
    return with_truth(predict_faces(predictor, images, boxes), true, entries)


def drawn_faces(predictor: Predictor, count: int) -> tuple[Faces, tuple[float, float]]:
    """Predictions for drawn faces, and how far those for their mirror images are from mirrored ones.

    That distance, in percent of the distance of the outer eye corners, is given as the mean over all points and faces,
    and as that of each point's mean over the faces, in which what is random cancels.
    """
    drawn = [draw_face(DRAWN_SEED + number) for number in range(count)]
    images, true = [image for image, _ in drawn], np.stack([points for _, points in drawn])
    faces = with_truth(predict_faces(predictor, images, [landmark_box(points) for points in true]), true)
    turn = np.array([len(images[0]) - 1, 0.0])
    other = mirror(true) + turn
    mirrored = predict(predictor, (image[:, ::-1] for image in images), [landmark_box(points) for points in other])
    gaps = 100 * (mirror(faces.predicted) + turn - mirrored) / normalising_distance(true)[:, None, None]
    each, on_average = (float(np.linalg.norm(own, axis=-1).mean()) for own in (gaps, gaps.mean(axis=0)))
    return faces, (each, on_average)


def read_london(folder: Path) -> list[dict[str, str]]:
    """Rows of points.csv; DataError where it has none, or lacks a column."""
    path = folder / "points.csv"
    if not path.is_file():
        raise DataError("has no points.csv", field="london", file=folder)
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    lacking = [name for name in COLUMNS if not rows or name not in rows[0]]
    if lacking:
        raise DataError(f"has no rows with {', '.join(lacking)}", field="london", file=path)
    return rows


def london_faces(predictor: Predictor, folder: Path, rows: Sequence[Mapping[str, str]]) -> LondonFaces:
    """Errors over the points that are labelled."""
    points = [int(name[1:]) for name in rows[0] if name[0] == "x" and name[1:].isdigit()]
    true = np.array([[(float(row[f"x{p}"]), float(row[f"y{p}"])) for p in points] for row in rows])
    boxes = [np.array([float(row[edge]) for edge in COLUMNS[:4]]) for row in rows]
    images = (read_image(folder / row["file"], predictor.max_megapixels) for row in rows)
    found = predict(predictor, images, boxes)[:, points]
    distance = np.linalg.norm(true[:, points.index(36)] - true[:, points.index(45)], axis=-1)
    errors = 100 * np.linalg.norm(found - true, axis=-1).mean(axis=1) / distance
    return LondonFaces(errors, [(row["gender"], row["ethnicity"], _age_group(row["age"])) for row in rows])


def _age_group(age: str) -> str:
    return "age not given" if not age.isdigit() else "under 30" if int(age) < 30 else "30 and older"


def main(arguments: list[str]) -> None:
    """Predict everything and write the report."""
    parsed = parse_flags(Arguments, arguments, __doc__, Arguments())
    for name in ("drawn", "faces"):
        if getattr(parsed, name) < MODES:
            raise ConfigError(f"must be at least {MODES}", field=name, value=getattr(parsed, name))
    london = None if parsed.london is None else (Path(parsed.london), read_london(Path(parsed.london)))
    root = find_data_dir(parsed.data)
    source = FolderSource(parsed.data)
    splits = source.division.splits
    train, held_out = ([source.items[i] for i in splits.get(split, ())] for split in ("train", "validation"))
    if not train or not held_out:
        raise DataError("has no training or no validation faces", field="data.dir", value=root)
    predictor = Predictor(parsed.workdir, min_score=0)
    if predictor.markup != IBUG_68:
        raise ConfigError(f"predicts {predictor.markup.name}, not 68 points", field="workdir", value=parsed.workdir)
    out = new_folder("out", parsed.out)
    validation = photographs(predictor, held_out, root)
    many = photographs(predictor, train[:: -(-len(train) // parsed.faces)], root)
    drawn, asymmetry = drawn_faces(predictor, parsed.drawn)
    people = None if london is None else london_faces(predictor, *london)
    print(write_report(out, validation, many, drawn, asymmetry, people, root, parsed.data.max_megapixels))
    print(f"\nwrote {out}/report.md, constants.png, worst.png")


if __name__ == "__main__":
    run_main(main, sys.argv[1:])
