"""One face as it is kept: an encoded region with margin, and everything said about it in numbers."""

import dataclasses
import io

import numpy as np
from PIL import Image

from flaxmark.faces.crop import CropDefinition, cut_region, square_crop, to_crop_units

JPEG_QUALITY = 95


@dataclasses.dataclass(frozen=True)
class StoredFace:
    """A prepared face.

    Attributes:
        image: JPEG of the region around the crop.
        landmarks: float32 `[num_points, 2]`, crop units.
        crop: float32 `[3]`: left, top, side in pixels of `image`.
        box: float32 `[4]`: left, top, right, bottom in pixels of the original image.
        source_crop: float32 `[3]`: the crop in pixels of the original image.
        subset: What metrics are reported for.
        photograph: Shared by faces that must stay on one side of a split.
        file: The original image, relative to the data set's folder.
    """

    image: bytes
    landmarks: np.ndarray
    crop: np.ndarray
    box: np.ndarray
    source_crop: np.ndarray
    subset: str
    photograph: str
    file: str


def store_face(
    image: np.ndarray,
    landmarks_px: np.ndarray,
    box: np.ndarray,
    definition: CropDefinition,
    *,
    subset: str,
    photograph: str,
    file: str,
) -> StoredFace:
    """Cut a face out of its image and encode it.

    Args:
        image: uint8 `[height, width, 3]`.
        landmarks_px: float64 `[num_points, 2]`, pixels.
        box: `[4]`, what the crop is made from, pixels.
        definition: From box to crop.
        subset: Passed on.
        photograph: Passed on.
        file: Passed on.

    Returns:
        The face.

    Raises:
        ValueError: The crop does not touch the image.
    """
    source_crop = square_crop(box, definition.scale)
    region = cut_region(image, source_crop, definition)
    encoded = io.BytesIO()
    Image.fromarray(region.pixels).save(encoded, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return StoredFace(
        image=encoded.getvalue(),
        landmarks=to_crop_units(landmarks_px, source_crop).astype(np.float32),
        crop=region.crop.astype(np.float32),
        box=np.asarray(box, np.float32),
        source_crop=source_crop.astype(np.float32),
        subset=subset,
        photograph=photograph,
        file=file,
    )
