"""Jitter and lag of landmarks in a video, with and without smoothing.

The videos are drawn, so that the true points are known: a face at rest before a noisy camera, and one that turns and
moves.

python benchmarks/video.py --workdir runs/x
"""

import argparse
import dataclasses
import functools
import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from flaxmark.data.drawn import draw, sample_parameters
from flaxmark.evaluation.metrics import normalising_distance
from flaxmark.faces.markup import IBUG_68
from flaxmark.inference.predictor import Predictor
from flaxmark.inference.video.smoothing import OneEuroConfig
from flaxmark.inference.video.tracking import TrackConfig, Tracker

SIZE, RATE = 320, 30
Frame = UInt8[np.ndarray, "height width 3"]
Points = Float[np.ndarray, "frames points 2"]
Sequence = tuple[list[Frame], Points]
"""Frames, and their true points in pixels."""


def main() -> None:
    """Print a table of the jitter at rest and the lag in motion for each setting."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", required=True, help="run of flaxmark train, or file of flaxmark pack")
    parser.add_argument("--faces", type=int, default=3, help="number of drawn faces")
    parser.add_argument("--frames", type=int, default=90, help="frames per sequence")
    parser.add_argument("--beta", type=float, nargs="+", default=[2, 5, 10, 20, 40], help="beta of the One Euro filter")
    parser.add_argument("--min-cutoff", type=float, nargs="+", default=[1.0], help="min_cutoff of the filter, Hz")
    parser.add_argument("--noise", type=float, default=5.0, help="standard deviation of the camera noise, grey levels")
    parser.add_argument("--shake", type=float, default=0.0, help="maximum shift of the face at rest, pixels")
    parsed = parser.parse_args()
    predictor: Any = Predictor(parsed.workdir)
    if predictor.markup != IBUG_68:
        parser.error(f"--workdir {parsed.workdir}: its landmark scheme is {predictor.markup.name}; it must be ibug_68")
    predictor = Memory(predictor)
    kinds = {
        "still": functools.partial(still, noise=parsed.noise, shake=parsed.shake),
        "moving": functools.partial(moving, noise=parsed.noise),
    }
    sequences = {kind: [make(seed, parsed.frames) for seed in range(parsed.faces)] for kind, make in kinds.items()}
    settings: list[OneEuroConfig | None] = [None]
    settings += [OneEuroConfig(cutoff, beta) for cutoff in parsed.min_cutoff for beta in parsed.beta]
    print("| min_cutoff [Hz] | beta | jitter at rest [% of inter-ocular] | lag in motion [ms] | error in motion [%] |")
    print("|---|---|---:|---:|---:|")
    for setting in settings:
        config = TrackConfig(smoothing=setting)
        rest = np.mean([jitter(follow(predictor, config, s[0]), s[1]) for s in sequences["still"]])
        paths = [(follow(predictor, config, s[0]), s[1]) for s in sequences["moving"]]
        late = np.mean([lag(found, truth) for found, truth in paths])
        error = np.mean([relative(found, truth).mean() for found, truth in paths])
        name = "none | " if setting is None else f"{setting.min_cutoff:g} | {setting.beta:g}"
        print(f"| {name} | {rest:.3f} | {late:.1f} | {error:.2f} |", flush=True)


class Memory:
    """A predictor that computes each result once, because smoothing does not change where faces are searched."""

    def __init__(self, predictor: Predictor) -> None:
        """Start with no results."""
        self._predictor = predictor
        self._seen: dict[tuple[int, bytes], Any] = {}

    def detect(self, image: np.ndarray) -> Any:
        """As `Predictor.detect`."""
        return self._once((id(image), b""), lambda: self._predictor.detect(image))

    def predict(self, image: np.ndarray, boxes: np.ndarray) -> Any:
        """As `Predictor.predict`."""
        return self._once((id(image), boxes.tobytes()), lambda: self._predictor.predict(image, boxes))

    def _once(self, key: tuple[int, bytes], look: Callable[[], Any]) -> Any:
        if key not in self._seen:
            self._seen[key] = look()
        return self._seen[key]


def still(seed: int, frames: int, noise: float, shake: float) -> Sequence:
    """Frames of a face at rest, each with new noise and compression and a shift of parts of a pixel."""
    rng = np.random.default_rng(seed)
    person = sample_parameters(np.random.default_rng(900_000 + seed))
    images, points = [], []
    for _ in range(frames):
        x, y = np.array(person.centre) + rng.uniform(-shake, shake, 2) / SIZE
        image, truth = draw(dataclasses.replace(person, centre=(x, y)), SIZE)
        images.append(camera(image, rng, noise))
        points.append(truth)
    return images, np.stack(points)


def moving(seed: int, frames: int, noise: float) -> Sequence:
    """Frames of a head that turns to both sides within two seconds and sways."""
    rng = np.random.default_rng(seed)
    person = dataclasses.replace(sample_parameters(np.random.default_rng(900_000 + seed)), yaw=0.0, occluder="")
    images, points = [], []
    for frame in range(frames):
        phase = 2 * np.pi * frame / RATE / 2
        pose = {"yaw": 25 * np.sin(phase), "centre": (0.08 * np.sin(phase + 1), 0.03 * np.sin(2 * phase))}
        image, truth = draw(dataclasses.replace(person, **pose), SIZE)
        images.append(camera(image, rng, noise))
        points.append(truth)
    return images, np.stack(points)


def camera(image: Frame, rng: np.random.Generator, noise: float) -> Frame:
    """Add sensor noise and JPEG compression."""
    noisy = np.clip(image + rng.normal(0, noise, image.shape), 0, 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noisy).save(stream, "JPEG", quality=85)
    return np.asarray(Image.open(stream))


def follow(predictor: Any, config: TrackConfig, images: list[Frame]) -> Points:
    """Points of the largest face in every frame."""
    tracker = Tracker(predictor, config)

    def found() -> Iterator[np.ndarray]:
        last = np.full((IBUG_68.num_points, 2), np.nan)
        for number, image in enumerate(images):
            faces = [face.face for face in tracker.update(image, number / RATE)]
            if faces:
                last = max(faces, key=lambda face: float(np.ptp(face.box.reshape(2, 2), axis=0).max())).landmarks
            yield last

    return np.stack(list(found()))


def relative(found: Points, truth: Points) -> Float[np.ndarray, "frames points"]:
    """Distance of each point from the true one, per cent of the inter-ocular distance."""
    return np.asarray(100 * np.linalg.norm(found - truth, axis=-1) / normalising_distance(truth)[:, None])


def jitter(found: Points, truth: Points) -> float:
    """Root mean square change of the error from frame to frame, per cent of the inter-ocular distance."""
    settled = slice(RATE // 2, None)
    steps = np.diff((found - truth)[settled], axis=0)
    return float(100 * np.sqrt(np.square(steps).sum(axis=-1).mean()) / normalising_distance(truth).mean())


def lag(found: Points, truth: Points) -> float:
    """Delay of the true path that brings it nearest to the path found, milliseconds."""
    times, settled = np.arange(len(truth)), slice(RATE // 2, None)

    def distance(delay: float) -> float:
        past = np.stack([np.interp(times - delay, times, path) for path in truth.reshape(len(truth), -1).T], axis=-1)
        gap = (found.reshape(len(truth), -1) - past)[settled]
        return float(np.square(gap - gap.mean(axis=0)).mean())  # a constant error is not lag

    delays = np.arange(-2, 4, 0.02)
    return float(delays[np.argmin([distance(delay) for delay in delays])] * 1000 / RATE)


if __name__ == "__main__":
    main()
