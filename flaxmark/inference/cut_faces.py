"""Faces cut out of an image, before the network has run on them."""

import dataclasses

import numpy as np
from jaxtyping import Float, UInt8

from flaxmark.faces.crop import CropDefinition, cut_region, sampled_side


@dataclasses.dataclass(frozen=True)
class CutFaces:
    """The faces of one image."""

    regions: UInt8[np.ndarray, "n side side 3"]
    region_crops: Float[np.ndarray, "n 3"]  # pixels of the regions
    crops: Float[np.ndarray, "n 3"]  # pixels of the image
    boxes: Float[np.ndarray, "n 4"]
    scores: list[float | None]
    detected: bool  # and dropped if their score is low
    size: tuple[int, int]  # width and height of the image
    searched: UInt8[np.ndarray, "height width 3"] | None  # the copy of it in which turned faces may be searched


def cut_regions(
    image: UInt8[np.ndarray, "height width 3"], crops: Float[np.ndarray, "n 3"], definition: CropDefinition
) -> tuple[UInt8[np.ndarray, "n side side 3"], Float[np.ndarray, "n 3"]]:
    """Cut the pixels of crops out of an image into squares of one size; with the crops in their pixels."""
    side = sampled_side(definition)
    regions, region_crops = np.zeros((len(crops), side, side, 3), np.uint8), np.empty((len(crops), 3), np.float32)
    for row, crop in enumerate(crops):
        region = cut_region(image, crop, definition, margin=False)
        rows, columns = region.pixels.shape[:2]
        regions[row, :rows, :columns], region_crops[row] = region.pixels, region.crop
    return regions, region_crops
