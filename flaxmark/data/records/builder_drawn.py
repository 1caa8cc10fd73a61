"""TFDS builder of the embedded data set."""

from flaxmark.data.records.builder import FaceBuilder


class DrawnFaces(FaceBuilder):
    """Faces drawn by flaxmark.data.drawn."""

    name = "drawn_faces"
    DESCRIPTION = "Drawn faces with 68 exact landmarks."
