"""Whether sigma grows where points are covered: drawn faces with a patch over one part and without.

python benchmarks/occlusion.py [--workdir runs/x] [--faces 200]
"""

import argparse

import numpy as np

from flaxmark.data.drawn import draw_face
from flaxmark.evaluation.metrics import normalising_distance
from flaxmark.faces.crop import landmark_box
from flaxmark.faces.markup import IBUG_68
from flaxmark.inference.predictor import Predictor

FIRST_SEED = 2_000_000_000  # that of the test faces
# Patches over parts with their neighbours: what is hidden is nowhere else to be seen.
PATCHES = {
    "left eye and brow": [*range(17, 22), *range(36, 42)],
    "nose": list(range(27, 36)),
    "mouth": list(range(48, 68)),
    "chin": list(range(5, 12)),
}


def cover(image: np.ndarray, points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Hide a part behind a rectangle of one colour.

    Args:
        image: uint8 `[height, width, 3]`.
        points: `[n, 2]`: what is to be hidden, pixels.
        rng: Source of the colour.

    Returns:
        A copy.
    """
    covered = image.copy()
    margin = 0.04 * len(image)
    left, top = np.maximum(points.min(axis=0) - margin, 0).astype(int)
    right, bottom = (points.max(axis=0) + margin).astype(int)
    covered[top:bottom, left:right] = rng.integers(0, 256, 3)
    return covered


def main() -> None:
    """Print a table: how sigma and the error of the covered points and of the others change."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", help="run or packed file with sigma; left out: the model that comes with flaxmark")
    parser.add_argument("--faces", type=int, default=200, help="drawn people")
    parsed = parser.parse_args()
    predictor = Predictor(parsed.workdir)
    if predictor.markup != IBUG_68 or not predictor.network.config.model.sigma:
        parser.error(f"--workdir {parsed.workdir}: needs a network with sigma for the points of ibug_68")
    rng = np.random.default_rng(0)
    drawn = [draw_face(FIRST_SEED + index) for index in range(parsed.faces)]
    truth = np.stack([points for _, points in drawn])
    distance = normalising_distance(truth)[:, None]
    boxes = [landmark_box(points) for points in truth]

    def look(images: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        faces = [face for (face,) in predictor.predict_many(images, boxes)]
        sigma = np.stack([np.asarray(face.sigma) for face in faces])
        errors = np.linalg.norm(np.stack([face.landmarks for face in faces]) - truth, axis=-1)
        return 100 * sigma / distance, 100 * errors / distance

    before = look([image for image, _ in drawn])
    print("Medians over the faces, % of the inter-ocular distance, before -> after")
    print("| covered | sigma there | error there | sigma elsewhere | error elsewhere |")
    print("|---|---:|---:|---:|---:|")
    for name, part in PATCHES.items():
        after = look([cover(image, points[part], rng) for image, points in drawn])
        others = np.setdiff1d(np.arange(68), part)
        cells = [
            f"{np.median(old[:, which].mean(axis=1)):.2f} -> {np.median(new[:, which].mean(axis=1)):.2f}"
            for which in (part, others)
            for old, new in zip(before, after, strict=True)
        ]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
