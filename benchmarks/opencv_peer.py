"""Peers of the input pipeline: the same transforms in OpenCV, run by PyTorch's DataLoader or by Grain."""

import math
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from flaxmark.config import AugmentConfig, DataConfig
from flaxmark.data.prepare.prepare import Examples
from flaxmark.faces.markup import IBUG_68


class OpenCvFaces:
    """A map-style data set, as PyTorch and Grain both accept it."""

    def __init__(self, examples: Examples, config: DataConfig) -> None:
        """Keep the encoded faces of a split."""
        cv2.setNumThreads(0)  # the loaders have their own workers
        self._examples, self._config = examples, config

    def __len__(self) -> int:
        """Number of faces."""
        return len(self._examples)

    def __getitem__(self, index: int) -> tuple[Float[np.ndarray, "size size 3"], Float[np.ndarray, "68 2"]]:
        """An augmented image and its landmarks in crop units."""
        random = np.random.default_rng(int(index))
        encoded = np.frombuffer(self._examples.encoded(index), np.uint8)
        pixels = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB))
        matrix, shift = draw_affine(self._config.augment, random)
        image = warp(pixels, self._examples.crops[index], matrix, shift, self._config.image_size)
        image = change_pixels(image.astype(np.float32) / 255, self._config.augment, random)
        landmarks = (self._examples.landmarks[index] - 0.5 - shift) @ np.linalg.inv(matrix).T + 0.5
        if np.linalg.det(matrix) < 0:
            landmarks = landmarks[np.array(IBUG_68.flip_order)]
        return self._config.normalize(image), landmarks.astype(np.float32)


def draw_affine(
    config: AugmentConfig, random: np.random.Generator
) -> tuple[Float[np.ndarray, "2 2"], Float[np.ndarray, " 2"]]:
    """Random affine map, as `flaxmark.data.input.augment.draw_affine` makes it."""
    draws = random.uniform(-1, 1, 5)
    angle, zoom = math.radians(draws[0] * config.rotation), 1 + draws[1] * config.scale
    mirror = -1.0 if config.flip and draws[4] < 0 else 1.0
    cos, sin = math.cos(angle) / zoom, math.sin(angle) / zoom
    return np.array([[cos * mirror, -sin], [sin * mirror, cos]]), draws[2:4] * config.shift


def warp(
    pixels: UInt8[np.ndarray, "height width 3"],
    crop: Float[np.ndarray, " 3"],
    matrix: Float[np.ndarray, "2 2"],
    shift: Float[np.ndarray, " 2"],
    size: int,
) -> UInt8[np.ndarray, "size size 3"]:
    """Crop and warp as `flaxmark.faces.crop_sampler.sample_crop`, with the same number of samples per pixel."""
    left, top, side = (float(v) for v in crop)
    count = max(1, math.ceil(side * math.sqrt(abs(np.linalg.det(matrix))) / size - 0.5 - 1e-4))
    samples = size * count
    offset = (matrix @ np.full(2, 0.5 / samples - 0.5) + 0.5 + shift) * side + [left, top] - 0.5
    transform = np.column_stack([matrix * side / samples, offset])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    image = cv2.warpAffine(pixels, transform, (samples, samples), flags=flags)
    return image if count == 1 else cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)


def change_pixels(
    image: Float[np.ndarray, "size size 3"], config: AugmentConfig, random: np.random.Generator
) -> Float[np.ndarray, "size size 3"]:
    """Colour changes of `flaxmark.data.input.augment.AUGMENTATIONS`, one after another."""
    size = image.shape[0]
    if config.blur and random.random() < 0.5:
        sigma = random.random() * config.blur / 100 * size
        image = cv2.GaussianBlur(image, (0, 0), sigma + 1e-3)
    draws = random.uniform(-1, 1, 3).astype(np.float32)
    grey = image.mean(axis=-1, keepdims=True)
    image = grey + (image - grey) * (1 + draws[0] * config.saturation)
    mean = image.mean()
    image = mean + (image - mean) * (1 + draws[1] * config.contrast) + draws[2] * config.brightness
    if config.occlusion and random.random() < 0.5:
        width, height = (random.random(2) * config.occlusion * size).astype(int)
        left, top = (random.random(2) * (size - np.array([width, height]))).astype(int)
        image[top : top + height, left : left + width] = random.random(3)
    return image


def torch_batches(faces: OpenCvFaces, batch: int, workers: int, pin_memory: bool = False) -> Iterator[Any]:
    """Endless batches of PyTorch's DataLoader with worker processes.

    Epochs follow each other without a gap: a loader that started anew for each would have nothing ready.
    """
    from torch.utils.data import DataLoader

    loader = DataLoader(
        faces,
        batch_sampler=shuffled(len(faces), batch),
        num_workers=workers,
        persistent_workers=True,
        pin_memory=pin_memory,
    )
    return iter(loader)


def shuffled(count: int, batch: int) -> Iterator[list[int]]:
    """Endless indices of shuffled batches, epoch after epoch; the remainder is dropped."""
    random = np.random.default_rng(0)
    while True:
        order = random.permutation(count)
        yield from (order[first : first + batch].tolist() for first in range(0, count - batch + 1, batch))


def grain_batches(faces: OpenCvFaces, batch: int, workers: int) -> Iterator[Any]:
    """Endless batches of Grain with worker threads."""
    import grain

    dataset = grain.MapDataset.range(len(faces)).shuffle(seed=0).repeat().map(faces.__getitem__).batch(batch)
    options = grain.ReadOptions(num_threads=workers, prefetch_buffer_size=2 * batch)
    return iter(dataset.to_iter_dataset(options))
