"""Comparison of several systems on the same faces and boxes: errors, and time per face."""

import dataclasses
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from flaxmark.data.annotated_images import read_annotated
from flaxmark.data.drawn.head.mean_head import poses_of
from flaxmark.data.entries import FaceEntry
from flaxmark.data.images import ImageError
from flaxmark.errors import ConfigError, DataError
from flaxmark.evaluation.metrics import has_normaliser, nme, normalising_distance, point_errors, summarize
from flaxmark.faces.boxes import in_image
from flaxmark.faces.crop import CropDefinition, landmark_box, square_crop, to_crop_units
from flaxmark.faces.markup import IBUG_68
from flaxmark.faces.missing import mean_where, present
from flaxmark.system.progress import Progress
from flaxmark.tools.compared_systems import System

WARM_UP = 2
YAW_RANGES = ((0, 15), (15, 30), (30, 90))  # degrees


@dataclasses.dataclass(frozen=True)
class Result:
    """Result of a system.

    Attributes:
        figures: Metrics of `summarize` over the faces that it has points for; empty where there are none.
        details: NME in percent of each part of the face and of each range of yaw that has faces.
        errors: Inter-ocular NME of each face in percent; NaN where it has no points.
        missing: Files of faces that it has no points for.
        milliseconds: Median time per face at batch size 1; None where it was not measured.
    """

    figures: dict[str, float]
    details: dict[str, float]
    errors: Float[np.ndarray, " n"]
    missing: list[str]
    milliseconds: float | None


def choose_split(entries: Sequence[FaceEntry], wanted: str | None, root: Path) -> tuple[str, list[FaceEntry]]:
    """Name and faces of the wanted split; by default validation, else all test faces, else training faces.

    Raises ConfigError for a split without faces, DataError where there are none at all in `root`, their folder.
    """
    splits = sorted({entry.split for entry in entries})
    if wanted is not None:
        chosen = [entry for entry in entries if entry.split == wanted]
        if not chosen:
            reason = f"has no faces; there are {', '.join(splits) or 'none at all'}"
            raise ConfigError(reason, field="split", value=wanted)
        return wanted, chosen
    tests = [split for split in splits if split.startswith("test")]
    for name, own in (("validation", ["validation"]), ("test", tests), ("train", ["train"])):
        chosen = [entry for entry in entries if entry.split in own]
        if chosen:
            return name, chosen
    raise DataError("has no faces", field="data.dir", value=root)


def compare(
    systems: Mapping[str, System], entries: Sequence[FaceEntry], root: Path, max_megapixels: float, timing_faces: int
) -> tuple[dict[str, Result], list[FaceEntry], list[str]]:
    """Run every system on every face with 68 points, in turn.

    Faces in images larger than `max_megapixels` are left out. The time of the first faces is ignored; that of the next
    `timing_faces` is measured.

    Returns the results by name, the faces that were compared, and one line for each face that was left out.
    """
    predicted: dict[str, list[np.ndarray | None]] = {name: [] for name in systems}
    times: dict[str, list[float]] = {name: [] for name in systems}
    kept: list[FaceEntry] = []
    unreadable: list[str] = []
    progress = Progress(len(entries), 0, 1)
    for entry in entries:
        try:
            image = read_annotated(root, entry, max_megapixels)
        except ImageError as error:
            unreadable.append(str(error))
            continue
        box = landmark_box(entry.landmarks_px)
        if not in_image(box[None], image.shape[1], image.shape[0])[0]:
            unreadable.append(f"{entry.file}: the face lies outside the image")
            continue
        if not has_normaliser(entry.landmarks_px[None])[0]:
            unreadable.append(f"{entry.file}: an outer corner of the eyes is missing, by which errors are measured")
            continue
        for name, system in systems.items():
            start = time.perf_counter()
            predicted[name].append(system(image, box, entry))
            times[name].append(time.perf_counter() - start)
        kept.append(entry)
        progress.step(f"{len(kept):,} of {len(entries):,} faces")
    results = {}
    for name, points in predicted.items():
        measured = times[name][WARM_UP : WARM_UP + timing_faces]
        of_file = name.startswith("json:") or not measured
        results[name] = _result(kept, points, None if of_file else 1e3 * statistics.median(measured))
    return results, kept, unreadable


def _result(entries: Sequence[FaceEntry], predicted: Sequence[np.ndarray | None], milliseconds: float | None) -> Result:
    """Metrics in crop units, as everywhere: errors in a large image count no more than those in a small one."""
    errors = np.full(len(entries), np.nan)
    rows = [row for row, points in enumerate(predicted) if points is not None]
    missing = [entry.file for entry, points in zip(entries, predicted, strict=True) if points is None]
    if not rows:
        return Result({}, {}, errors, missing, milliseconds)
    truth = np.stack([entries[row].landmarks_px for row in rows])
    crops = square_crop(landmark_box(truth), CropDefinition().scale)
    found = to_crop_units(np.stack([np.asarray(predicted[row]) for row in rows]), crops)
    target = to_crop_units(truth, crops)
    losses = mean_where(np.abs(found - target), present(target)[..., None], axis=(1, 2))
    errors[rows] = nme(found, target)
    return Result(summarize(found, target, losses), _details(found, target), errors, missing, milliseconds)


def _details(found: Float[np.ndarray, "n 68 2"], target: Float[np.ndarray, "n 68 2"]) -> dict[str, float]:
    """NME in percent of each part of the face and of each range of yaw."""
    errors = 100 * point_errors(found, target) / normalising_distance(target)[:, None]
    turned = np.abs(poses_of(target, IBUG_68)[:, 0])
    faces = {f"{low} to {high}°": (turned >= low) & (turned < high) for low, high in YAW_RANGES}
    there = present(target)
    details = {
        part: mean_where(errors[:, list(points)], there[:, list(points)])
        for part, points in IBUG_68.parts.items()
        if there[:, list(points)].any()
    }
    details |= {name: mean_where(errors[chosen], there[chosen]) for name, chosen in faces.items() if chosen.any()}
    return {name: float(error) for name, error in details.items()}


COLUMNS = {"nme": "NME", "nme_box": "box", "fr_8": "FR@8", "auc_8": "AUC@8"}


def format_comparison(results: Mapping[str, Result]) -> str:
    """Two Markdown tables: metrics of each system, and NME by part of the face and by yaw.

    NME is inter-ocular; everything but the times is in percent.
    """
    lines = [f"| system | faces | {' | '.join(COLUMNS.values())} | ms per face |", "|---|---:|" + "---:|" * 5]
    for name, result in results.items():
        faces = int(np.isfinite(result.errors).sum())
        figures = [f"{result.figures[key]:.2f}" if result.figures else "-" for key in COLUMNS]
        taken = "-" if result.milliseconds is None else f"{result.milliseconds:.1f}"
        lines.append(f"| {name} | {faces} | {' | '.join(figures)} | {taken} |")
    places = list(dict.fromkeys(place for result in results.values() for place in result.details))
    lines += ["", f"| NME | {' | '.join(places)} |", "|---|" + "---:|" * len(places)]
    for name, result in results.items():
        errors = [f"{result.details[place]:.2f}" if place in result.details else "-" for place in places]
        lines.append(f"| {name} | {' | '.join(errors)} |")
    return "\n".join(lines)


def to_json(results: Mapping[str, Result], entries: Sequence[FaceEntry]) -> dict[str, Any]:
    """Results ready for JSON: `files`, and for each system its metrics, the error of each face and its time.

    An error is null where the system has no points for a face.
    """
    systems = {
        name: {
            "figures": result.figures,
            "details": result.details,
            "nme": [None if np.isnan(error) else round(float(error), 4) for error in result.errors],
            "milliseconds": result.milliseconds,
        }
        for name, result in results.items()
    }
    return {"files": [entry.file for entry in entries], "systems": systems}
