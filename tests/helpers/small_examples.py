"""A split of 22 small faces in memory, and a config that changes them in every way."""

import numpy as np
from PIL import Image

from flaxmark.data.config import AugmentConfig, DataConfig
from flaxmark.data.records.examples import Examples
from helpers.images import encode

STRONG = AugmentConfig(30, 0.2, 0.1, True, 0.2, 0.3, 0.3, 1.0, 0.4)
CONFIG = DataConfig(image_size=64, augment=STRONG)


def make_examples(count: int) -> Examples:
    """Images of noise, whose numbers are their first pixels and first landmarks."""
    rng = np.random.default_rng(0)
    encoded = []
    for index in range(count):
        small = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        small[0, 0] = index
        encoded.append(encode(Image.fromarray(small).resize((120, 112), Image.Resampling.BICUBIC), "JPEG", quality=95))
    landmarks = rng.uniform(0.2, 0.8, (count, 68, 2)).astype(np.float32)
    landmarks[:, 0, 0] = np.arange(count)
    seen = rng.choice(np.float32([0, 1, np.nan]), (count, 68))
    names = [str(i) for i in range(count)]
    crops = np.tile(np.float32([20, 20, 80]), (count, 1))
    return Examples(landmarks, crops, np.zeros((count, 4), np.float32), crops, seen, names, names, names, 128, encoded)


EXAMPLES = make_examples(22)
