"""Tables and plots of benchmarks/drawn_to_real.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float
from shape_errors import RATIOS, constants, correlation, habits, learnt, modes, sideways

from flaxmark.data.annotated_images import read_annotated
from flaxmark.data.drawn.head.mean_head import poses_of
from flaxmark.evaluation.metrics import nme, normalising_distance, point_errors
from flaxmark.evaluation.plots import PREDICTION, TRUTH, plot_faces, save_figure, subplots
from flaxmark.faces.crop import CropDefinition, cut_region, landmark_box, square_crop, to_crop_units
from flaxmark.faces.crop_sampler import crop_image
from flaxmark.faces.markup import IBUG_68
from flaxmark.system.files import write_text

if TYPE_CHECKING:
    from drawn_to_real import Faces, LondonFaces

GROUPS = {
    "outer eye corners": (36,), "inner eye corners": (39,), "outer ends of brows": (17,), "inner ends of brows": (21,),
    "mouth corners": (48,), "inner mouth corners": (60,), "upper lip": (51,), "inner upper lip": (62,),
    "inner lower lip": (66,), "lower lip": (57,), "nose base": (33,), "nostrils": (31,), "jaw": (2, 3, 4, 5, 6),
    "chin": (8,),
}  # fmt: skip
"""Points of the image's left half and of the middle."""

NEAR_FRONTAL = 15
"""Largest yaw of faces whose ratios are compared, degrees."""

LARGEST_TURN = 45
"""Largest yaw of faces from which habits are measured, degrees."""

TURNS, SIZES = ((0, 15), (15, 30), (30, 90)), ((0, 60), (60, 100), (100, 500))
MODES = 12
WORST = 18


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown table, the first column left-aligned."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def error_table(columns: Mapping[str, Faces]) -> str:
    """NME by part, turn and size of faces."""
    ranges = [f"turned {low} to {high} degrees" for low, high in TURNS]
    ranges += [f"eyes {low} to {high} pixels apart" for low, high in SIZES]
    rows: dict[str, list[str]] = {name: [] for name in ("all", *IBUG_68.parts, *ranges)}
    for faces in columns.values():
        distance = normalising_distance(faces.true)
        points = 100 * point_errors(faces.predicted, faces.true) / distance[:, None]
        turned = np.abs(poses_of(faces.true, IBUG_68)[:, 0])
        rows["all"].append(f"{points.mean():.2f}")
        for part, own in IBUG_68.parts.items():
            rows[part].append(f"{points[:, list(own)].mean():.2f}")
        chosen = [(turned >= low) & (turned < high) for low, high in TURNS]
        chosen += [(distance >= low) & (distance < high) for low, high in SIZES]
        for name, among in zip(ranges, chosen, strict=True):
            rows[name].append(f"{points[among].mean():.2f} ({among.sum():,})" if among.any() else "")
    return table(["NME, % (faces)", *columns], [[name, *cells] for name, cells in rows.items()])


def constants_table(columns: Mapping[str, Faces]) -> str:
    """What to add to predictions on average, percent of the distance of the outer eye corners."""
    means = [100 * constants(*faces.shapes) for faces in columns.values()]
    rows = []
    for name, points in GROUPS.items():
        own = [mean[list(points)].mean(axis=0) for mean in means]
        rows.append([name, *(f"{x:+.1f}, {y:+.1f}" for x, y in own)])
    rows.append(["the whole face, sideways", *(f"{100 * sideways(*faces.shapes):+.1f}" for faces in columns.values())])
    return table(["to the middle, down", *columns], rows)


def near_frontal(faces: Faces) -> Bool[np.ndarray, " n"]:
    """Which faces have ratios that can be compared."""
    return np.asarray(np.abs(poses_of(faces.true, IBUG_68)[:, 0]) < NEAR_FRONTAL)


def correlations(faces: Faces, among: Bool[np.ndarray, " n"]) -> list[str]:
    """Correlations of predicted with true ratios, of some of the faces."""
    found, true = (shapes[among] for shapes in faces.shapes)
    return [f"{correlation(ratio(found), ratio(true)):.2f}" for ratio in RATIOS.values()]


def ratio_table(columns: Mapping[str, Faces]) -> str:
    """Means of ratios, and correlations of predicted with true ones, for near-frontal faces."""
    means, same = [], []
    for faces in columns.values():
        among = near_frontal(faces)
        found, true = (shapes[among] for shapes in faces.shapes)
        means.append([f"{ratio(found).mean():.3f}, {ratio(true).mean():.3f}" for ratio in RATIOS.values()])
        same.append(correlations(faces, among))
    header = ["", *(f"{name}: predicted, true" for name in columns), *(f"correlation, {name}" for name in columns)]
    return table(header, list(zip(RATIOS, *means, *same, strict=True)))


def sigma_table(columns: Mapping[str, Faces]) -> str:
    """The correlations for faces with a small and with a large sigma, with a caption; empty for networks without."""
    header, cells = ["correlation (faces)"], []
    for name, faces in columns.items():
        if faces.sigma is None:
            return ""
        among = near_frontal(faces)
        small = faces.sigma <= np.median(faces.sigma[among])
        for half, own in (("small", among & small), ("large", among & ~small)):
            header.append(f"{name}, {half} sigma ({own.sum():,})")
            cells.append(correlations(faces, own))
    caption = "The same for the half of these faces whose points have the smaller sigma on average, and the other one:"
    return f"{caption}\n\n{table(header, list(zip(RATIOS, *cells, strict=True)))}"


def pose_table(columns: Mapping[str, Faces]) -> str:
    """How the pose of the predicted points depends on that of the true ones, and differs from it."""
    rows: dict[str, list[str]] = {name: [] for name in ("yaw", "pitch", "roll")}
    for faces in columns.values():
        found, true = (poses_of(points, IBUG_68) for points in (faces.predicted, faces.true))
        for name, own, other in zip(rows, found.T, true.T, strict=True):
            slope = np.polyfit(other, own, 1)[0]
            rows[name].append(f"{slope:.2f}, {np.abs(own - other).mean():.1f}")
    return table(["slope, mean error in degrees", *columns], [[name, *cells] for name, cells in rows.items()])


def habit_table(faces: Faces) -> str:
    """What to add to the tables of drawn/head/annotation.py, in their order."""
    # The turn of the predicted face: by it a network that has learnt other labels would move them.
    yaw, pitch, _ = poses_of(faces.predicted, IBUG_68).T
    among = np.abs(yaw) < LARGEST_TURN  # False where the turn is not known
    found, true = (shapes[among] for shapes in faces.shapes)
    numbers = np.round(100 * habits(found, true, yaw[among], pitch[among]), 1) + 0.0  # never -0.0
    parts: dict[str, Sequence[int]] = {
        "JAW": range(9), "BROW": range(17, 22), "BRIDGE": range(27, 31), "NOSTRIL": range(31, 34),
        "EYE": range(36, 42), "LIPS": (48, 49, 50, 51, 59, 58, 57), "INNER": (60, 61, 62, 67, 66),
    }  # fmt: skip
    rows = [
        f"{name} {' '.join('({:.1f}, {:.1f}, {:.1f}, {:.1f}, {:.1f})'.format(*row) for row in numbers[list(own)])}"
        for name, own in parts.items()
    ]
    return "\n".join(["```", *rows, "```"])


def mode_table(photographs: Faces, drawn: Faces) -> str:
    """R2 of the principal components of each kind of face."""
    rows = []
    for name, faces in (("photographs", photographs), ("drawn faces", drawn)):
        found, true = faces.shapes
        explained = learnt(found, true, *modes(true, MODES))
        rows.append([name, *(f"{value:.2f}" for value in explained)])
    return table(["R2 of mode", *map(str, range(1, MODES + 1))], rows)


def group_table(people: LondonFaces) -> str:
    """Mean error of each group of people with its standard error."""
    rows = [["all", str(len(people.errors)), _with_error(people.errors)]]
    for kind in range(len(people.groups[0])):
        for name in sorted({groups[kind] for groups in people.groups}):
            own = people.errors[[groups[kind] == name for groups in people.groups]]
            rows.append([name or "not given", str(len(own)), _with_error(own)])
    return table(["group", "people", "error, %"], rows)


def _with_error(values: Float[np.ndarray, " n"]) -> str:
    spread = f" +- {values.std(ddof=1) / np.sqrt(len(values)):.2f}" if len(values) > 1 else ""
    return f"{values.mean():.2f}{spread}"


def plot_constants(faces: Faces, path: Path) -> None:
    """Plot the mean true face, and arrows from where its points are predicted."""
    found, true = faces.shapes
    mean, move = true.mean(axis=0), constants(found, true)
    figure, axes = subplots(1, 1, figsize=(7, 7), layout="constrained")
    for line in IBUG_68.outlines:
        axes.plot(*mean[list(line)].T, color=TRUTH, lw=0.8, marker="o", ms=2)
    start = mean - 3 * move
    axes.quiver(*start.T, *(3 * move).T, angles="xy", scale_units="xy", scale=1, width=0.004, color=PREDICTION)
    axes.set(aspect="equal", title="From the predicted to the true points on average, three times as long")
    axes.invert_yaxis()
    axes.axis("off")
    save_figure(figure, path)


def plot_worst(faces: Faces, root: Path, max_megapixels: float, path: Path) -> None:
    """Plot the faces with the largest errors."""
    errors = nme(faces.predicted, faces.true)
    rows = np.argsort(-errors)[:WORST]
    crops = square_crop(np.stack([landmark_box(faces.true[row]) for row in rows]), 1.5)
    images = []
    for row, crop in zip(rows, crops, strict=True):
        photograph = read_annotated(root, faces.entries[row], max_megapixels)
        images.append(np.asarray(crop_image(cut_region(photograph, crop, CropDefinition()), 160)))
    true, found = (to_crop_units(points[rows], crops) for points in (faces.true, faces.predicted))
    captions = [f"{errors[row]:.1f} %" for row in rows]
    plot_faces(images, true, found, IBUG_68, captions, "Validation faces with the largest errors", path)


def write_report(
    out: Path,
    validation: Faces,
    many: Faces,
    drawn: Faces,
    asymmetry: tuple[float, float],
    people: LondonFaces | None,
    root: Path,
    max_megapixels: float,
) -> str:
    """Write the report and its plots; returns its text."""
    columns = {"validation": validation, "training faces": many, "drawn": drawn}
    error = nme(validation.predicted, validation.true).mean()
    parts = [
        f"NME of {len(validation.true):,} validation faces: **{error:.2f} %**",
        error_table(columns),
        f"Mirror images of drawn faces are predicted {asymmetry[0]:.2f} % of the distance of the outer eye corners "
        f"apart, and {asymmetry[1]:.2f} % in the mean over all faces.",
        "What to add to predictions on average, % of the distance of the outer eye corners:",
        constants_table(columns),
        "The same for each point of the image's left half and the middle, training faces: right, down and forward on "
        "the head, and right and down once more times the sine of its turn, to whichever side; to be added to the "
        "habits of annotators in flaxmark/data/drawn/head/annotation.py:",
        habit_table(many),
        "Head pose of predicted points against that of true ones:",
        pose_table(columns),
        f"Ratios, faces turned by less than {NEAR_FRONTAL} degrees; correlations of predicted with true ones:",
        ratio_table(columns),
        sigma_table(columns),
        mode_table(many, drawn),
    ]
    if people is not None:
        parts += ["Error by group of people over the labelled points, with its standard error:", group_table(people)]
    text = "\n".join(f"{part.rstrip()}\n" for part in parts)
    write_text(out / "report.md", text)
    plot_constants(many, out / "constants.png")
    plot_worst(validation, root, max_megapixels, out / "worst.png")
    return text
