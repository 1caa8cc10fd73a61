"""Whether sigma grows where points are hidden: drawn faces with and without a patch over one part.

python benchmarks/occlusion.py [--workdir runs/x] [--faces 200]
"""

import argparse

import numpy as np
from jaxtyping import Float, UInt8

from flaxmark.data.drawn import draw_face
from flaxmark.evaluation.metrics import normalising_distance
from flaxmark.faces.crop import landmark_box
from flaxmark.faces.markup import IBUG_68
from flaxmark.inference.predictor import Predictor

FIRST_SEED = 2_000_000_000
"""Seed of the first drawn test face."""

# A patch covers a part and its neighbourhood, so that no part of it remains visible.
PATCHES = {
    "left eye and brow": [*range(17, 22), *range(36, 42)],
    "nose": list(range(27, 36)),
    "mouth": list(range(48, 68)),
    "chin": list(range(5, 12)),
}


def cover(
    image: UInt8[np.ndarray, "height width 3"], points: Float[np.ndarray, "n 2"], rng: np.random.Generator
) -> UInt8[np.ndarray, "height width 3"]:
    """A copy with the points (pixels) hidden behind a rectangle of a random colour."""
    covered = image.copy()
    margin = 0.04 * len(image)
    left, top = np.maximum(points.min(axis=0) - margin, 0).astype(int)
    right, bottom = (points.max(axis=0) + margin).astype(int)
    covered[top:bottom, left:right] = rng.integers(0, 256, 3)
    return covered


def main() -> None:
    """Print a table of sigma and error before and after, for the hidden points and the others."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", help="run or packed file with sigma; default: the model that comes with flaxmark")
    parser.add_argument("--faces", type=int, default=200, help="number of drawn faces")
    parsed = parser.parse_args()
    predictor = Predictor(parsed.workdir)
    if predictor.markup != IBUG_68 or not predictor.network.config.model.sigma:
        parser.error(f"--workdir {parsed.workdir}: must be a network with sigma and the landmark scheme ibug_68")
    rng = np.random.default_rng(0)
    drawn = [draw_face(FIRST_SEED + index) for index in range(parsed.faces)]
    truth = np.stack([points for _, points in drawn])
    distance = normalising_distance(truth)[:, None]
    boxes = [landmark_box(points) for points in truth]

    def predict(images: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        faces = [face for (face,) in predictor.predict_many(images, boxes)]
        sigma = np.stack([np.asarray(face.sigma) for face in faces])
        errors = np.linalg.norm(np.stack([face.landmarks for face in faces]) - truth, axis=-1)
        return 100 * sigma / distance, 100 * errors / distance

    before = predict([image for image, _ in drawn])
    print("Medians over the faces, % of the inter-ocular distance, before -> after")
    print("| hidden | sigma there | error there | sigma elsewhere | error elsewhere |")
    print("|---|---:|---:|---:|---:|")
    for name, part in PATCHES.items():
        after = predict([cover(image, points[part], rng) for image, points in drawn])
        others = np.setdiff1d(np.arange(68), part)
        cells = [
            f"{np.median(old[:, which].mean(axis=1)):.2f} -> {np.median(new[:, which].mean(axis=1)):.2f}"
            for which in (part, others)
            for old, new in zip(before, after, strict=True)
        ]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
