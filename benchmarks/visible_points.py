"""How well hidden points are told from seen ones: on drawn faces, and on photographs judged by eye.

hidden_points.csv lists faces of 300-W and the part of each that something hides. For each cause the mean of
`Face.visible` is given for that part, for the other parts of the same faces (but the jaw), and for the same part of
other faces.

python benchmarks/visible_points.py --data.dir 300W --data.train-list train.txt [--workdir RUN] \
    [--out runs/visible_points]
"""

import csv
import dataclasses
import itertools
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from flaxmark.cli.flags import Model, parse_flags
from flaxmark.cli.main import run_main
from flaxmark.config import DataConfig
from flaxmark.data.annotated_images import read_annotated
from flaxmark.data.drawn import portray_face
from flaxmark.data.entries import FaceEntry
from flaxmark.data.prepare.sources import FolderSource, find_data_dir
from flaxmark.errors import ConfigError, DataError
from flaxmark.evaluation.metrics import visible_auc
from flaxmark.evaluation.plots import save_figure, subplots
from flaxmark.faces.crop import landmark_box
from flaxmark.faces.markup import IBUG_68
from flaxmark.inference.predictor import Predictor
from flaxmark.system.files import new_folder

SEED = 800_000
"""Of the first drawn face; training draws others."""

JUDGED = Path(__file__).with_name("hidden_points.csv")
OTHERS = 200
PARTS = {name: list(points) for name, points in IBUG_68.parts.items() if name != "jaw"}


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Model and faces."""

    data: DataConfig = DataConfig()
    workdir: Model = None
    """Run of flaxmark train, or file of flaxmark pack; default: the model that comes with flaxmark."""
    drawn: int = 600
    """Number of drawn faces."""
    out: str = "runs/visible_points"
    """Output folder."""
    debug: bool = False
    """Show a traceback when something fails."""


@dataclasses.dataclass(frozen=True)
class Found:
    """Predicted landmarks `[68, 2]` in pixels and their visibility `[68]`."""

    landmarks: np.ndarray
    visible: np.ndarray


def find(predictor: Predictor, images: Iterable[np.ndarray], points: Iterable[np.ndarray]) -> list[Found]:
    """Predictions for one face in each image, given its true landmarks for the box."""
    found = []
    for (face,) in predictor.predict_many(images, [landmark_box(own)[None] for own in points]):
        if face.visible is None:
            raise ConfigError("the model does not predict which points are seen", field="workdir")
        found.append(Found(face.landmarks, face.visible.astype(np.float64)))
    return found


def find_in(predictor: Predictor, root: Path, entries: Sequence[FaceEntry]) -> list[Found]:
    """Predictions for annotated photographs."""
    images = (read_annotated(root, entry, predictor.max_megapixels) for entry in entries)
    return find(predictor, images, [entry.landmarks_px for entry in entries])


def report_drawn(predictor: Predictor, count: int) -> None:
    """Print the area under the ROC, and how often points are seen that are believed to be."""
    portraits = [portray_face(SEED + number) for number in range(count)]
    images, points = ([getattr(own, name) for own in portraits] for name in ("image", "landmarks"))
    believed = np.stack([face.visible for face in find(predictor, images, points)])
    visible = np.stack([portrait.visible for portrait in portraits])
    share = 100 * (1 - visible.mean())
    area = visible_auc(believed, visible.astype(np.float64))
    print(f"drawn faces: area under the ROC {area:.1f} %; {share:.1f} % of the points are hidden")
    for low, high in itertools.pairwise(np.linspace(0, 1, 6)):
        among = (believed >= low) & (believed < high + (high == 1))
        seen = f"{100 * visible[among].mean():.0f} % seen" if among.any() else "none"
        print(f"  visible {low:.1f} to {high:.1f}: {among.sum():,} points, {seen}")


def of_parts(face: Found, but: set[str]) -> list[float]:
    """Mean visibility of each part of a face, but of some."""
    return [float(face.visible[points].mean()) for name, points in PARTS.items() if name not in but]


def report_causes(judged: Sequence[tuple[str, str, str]], faces: dict[str, Found], others: Sequence[Found]) -> None:
    """Print the mean visibility of hidden parts beside that of parts that are not."""
    hidden: dict[str, set[str]] = defaultdict(set)
    for file, part, _ in judged:
        hidden[file].add(part)
    for part, cause in dict.fromkeys((part, cause) for _, part, cause in judged):
        files = [file for file, *why in judged if why == [part, cause]]
        there = [float(faces[file].visible[PARTS[part]].mean()) for file in files]
        beside = [of_parts(faces[file], hidden[file]) for file in files]
        elsewhere = [float(face.visible[PARTS[part]].mean()) for face in others]
        lowest = sum(value < min(rest) for value, rest in zip(there, beside, strict=True))
        print(
            f"{cause}: {part} visible {np.mean(there):.2f}, other parts {np.mean(np.concatenate(beside)):.2f}, "
            f"{part} of {len(others)} other faces {np.mean(elsewhere):.2f}; "
            f"the least visible part on {lowest} of {len(files)} faces"
        )


def plot(root: Path, entries: Sequence[FaceEntry], faces: dict[str, Found], megapixels: float, path: Path) -> None:
    """Plot the judged faces, their points coloured by visibility."""
    figure, axes = subplots(-(-len(entries) // 6), 6, figsize=(15, 2.6 * -(-len(entries) // 6)), layout="constrained")
    for axis in axes.flat:
        axis.axis("off")
    for axis, entry in zip(axes.flat, entries, strict=False):
        face, image = faces[entry.file], read_annotated(root, entry, megapixels)
        low, high = entry.landmarks_px.min(axis=0), entry.landmarks_px.max(axis=0)
        margin = 0.15 * (high - low).max()
        axis.imshow(image)
        shown = axis.scatter(*face.landmarks.T, c=face.visible, s=9, cmap="RdYlGn", vmin=0, vmax=1)
        axis.set(xlim=(low[0] - margin, high[0] + margin), ylim=(high[1] + margin, low[1] - margin))
    figure.colorbar(shown, ax=axes, shrink=0.5, label="Face.visible")
    save_figure(figure, path)


def main(arguments: list[str]) -> None:
    """Print what is measured and write hidden.png."""
    parsed = parse_flags(Arguments, arguments, __doc__, Arguments())
    if parsed.drawn < 1:
        raise ConfigError("must be at least 1", field="drawn", value=parsed.drawn)
    predictor = Predictor(parsed.workdir, min_score=0)
    if predictor.markup != IBUG_68:
        raise ConfigError(f"predicts {predictor.markup.name}, not 68 points", field="workdir", value=parsed.workdir)
    root, source = find_data_dir(parsed.data), FolderSource(parsed.data)
    entries = {entry.file: entry for entry in source.items}
    with JUDGED.open(newline="", encoding="utf-8") as stream:
        judged = [(row["file"], row["part"], row["cause"]) for row in csv.DictReader(stream)]
    named = list(dict.fromkeys(file for file, _, _ in judged))
    lacking = [file for file in named if file not in entries]
    train = [source.items[i] for i in source.division.splits.get("train", ())]
    rest = [entry for entry in train if entry.file not in named]
    if not rest:
        raise DataError("has no training faces but those judged", field="data.dir", file=root)
    if lacking:
        reason = f"has no faces {', '.join(lacking)}, which {JUDGED.name} names"
        raise DataError(reason, field="data.dir", file=root)
    out = new_folder("out", parsed.out)
    own = [entries[file] for file in named]
    faces = dict(zip(named, find_in(predictor, root, own), strict=True))
    report_drawn(predictor, parsed.drawn)
    report_causes(judged, faces, find_in(predictor, root, rest[:: -(-len(rest) // OTHERS)]))
    plot(root, own, faces, predictor.max_megapixels, out / "hidden.png")
    print(f"wrote {out}/hidden.png")


if __name__ == "__main__":
    run_main(main, sys.argv[1:])
