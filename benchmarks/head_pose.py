"""Error of the head pose on drawn faces by how far they are turned, from predicted and from true landmarks.

python benchmarks/head_pose.py [--workdir RUN] [--faces 600]
"""

import dataclasses
import sys

import numpy as np

from flaxmark.cli.flags import Model, parse_flags
from flaxmark.cli.main import run_main
from flaxmark.data.drawn import FaceParameters, convert_landmarks, draw, sample_parameters
from flaxmark.data.drawn.head.mean_head import poses_of
from flaxmark.errors import ConfigError
from flaxmark.faces.crop import landmark_box
from flaxmark.faces.markup_files import is_built_in
from flaxmark.inference.predictor import Predictor

SEED = 900_000
"""Of the first face; training draws others."""

TURNS = ((0, 15), (15, 30), (30, 45), (45, 60), (0, 60))
"""Ranges of yaw without its sign, degrees."""


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Model and number of faces."""

    workdir: Model = None
    """Run of flaxmark train, or file of flaxmark pack; default: the model that comes with flaxmark."""
    faces: int = 600
    """Number of drawn faces, their yaw evenly spread over -60 to 60 degrees."""
    debug: bool = False
    """Show a traceback when something fails."""


def turned_person(number: int, count: int) -> FaceParameters:
    """A random face of `count`, which look evenly from one side to the other."""
    yaw = -60 + 120 * (number + 0.5) / count
    return dataclasses.replace(sample_parameters(np.random.default_rng(SEED + number)), yaw=yaw)


def main(arguments: list[str]) -> None:
    """Print the mean errors of yaw, pitch and roll in degrees."""
    parsed = parse_flags(Arguments, arguments, __doc__, Arguments())
    if parsed.faces < 1:
        raise ConfigError("must be at least 1", field="faces", value=parsed.faces)
    predictor = Predictor(parsed.workdir, min_score=0)
    markup = predictor.markup
    if not is_built_in(markup):
        raise ConfigError(f"its landmark scheme {markup.name} has no mean head", field="workdir", value=parsed.workdir)
    people = [turned_person(number, parsed.faces) for number in range(parsed.faces)]
    drawn = [draw(person) for person in people]
    known = np.stack([convert_landmarks(landmarks, markup.name) for _, landmarks in drawn])
    boxes = [landmark_box(points)[None] for points in known]
    found = np.stack([faces[0].landmarks for faces in predictor.predict_many((image for image, _ in drawn), boxes)])
    true = np.array([(person.yaw, person.pitch, person.roll) for person in people])
    turned = np.abs(true[:, 0])
    print("| yaw | faces | predicted landmarks: yaw | pitch | roll | mean | true landmarks: mean |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    errors = [np.abs((poses_of(points, markup) - true + 180) % 360 - 180) for points in (found, known)]
    for low, high in TURNS:
        among = (turned >= low) & (turned <= high)
        if among.any():
            predicted, own = (np.nanmean(error[among], axis=0) for error in errors)
            cells = " | ".join(f"{value:.2f}" for value in (*predicted, predicted.mean(), own.mean()))
            print(f"| {low} to {high} degrees | {among.sum():,} | {cells} |")
    if unknown := int(np.isnan(errors[0]).any(axis=1).sum()):
        print(f"\n{unknown:,} of {parsed.faces:,} predictions form no face and have no pose; they do not count.")


if __name__ == "__main__":
    run_main(main, sys.argv[1:])
