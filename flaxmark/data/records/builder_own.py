"""TFDS builder of the user's own faces."""

from flaxmark.data.records.builder import FaceBuilder


class OwnFaces(FaceBuilder):
    """Faces with any number of landmarks, from .pts files, CSV or COCO keypoints."""

    name = "own_faces"
    DESCRIPTION = "Faces with landmarks of the user's own."
