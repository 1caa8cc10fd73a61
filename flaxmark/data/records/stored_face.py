"""One stored face: an encoded region with margin, and its numbers."""

import dataclasses
import io

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from flaxmark.faces.crop import CropDefinition, cut_region, square_crop, to_crop_units

JPEG_QUALITY = 95


@dataclasses.dataclass(frozen=True)
class StoredFace:
    """A prepared face."""

    image: bytes
    """JPEG of the region around the crop."""
    landmarks: Float[np.ndarray, "num_points 2"]
    """float32, crop units."""
    crop: Float[np.ndarray, "3"]
    """float32: left, top, side in pixels of `image`."""
    box: Float[np.ndarray, "4"]
    """float32: left, top, right, bottom in pixels of the original image."""
    source_crop: Float[np.ndarray, "3"]
    """float32: the crop in pixels of the original image."""
    subset: str
    """What metrics are reported for."""
    photograph: str
    """Identifier that faces share which must stay on one side of a split."""
    file: str
    """The original image, relative to the data set's folder."""
    visible: Float[np.ndarray, " num_points"]
    """float32: 1 for a point that is seen, 0 for a hidden one, NaN where that is not known."""


def store_face(
    image: UInt8[np.ndarray, "height width 3"],
    landmarks_px: Float[np.ndarray, "num_points 2"],
    box: Float[np.ndarray, "4"],
    definition: CropDefinition,
    *,
    subset: str,
    photograph: str,
    file: str,
    visible: Float[np.ndarray, " num_points"] | None = None,
) -> StoredFace:
    """Cut a face out of its image around `box` (pixels) and encode it; ValueError for a crop outside the image.

    `visible` is 1 for points that are seen, 0 for hidden ones, and NaN where that is not known, as without it.
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
        visible=np.full(len(landmarks_px), np.nan, np.float32) if visible is None else visible.astype(np.float32),
    )
