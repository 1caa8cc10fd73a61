"""TFDS builder of iBUG 300-W."""

from typing import ClassVar

from flaxmark.data.records.builder import FaceBuilder
from flaxmark.data.tensorflow_setup import tfds


class Ibug300W(FaceBuilder):
    """300-W from its official layout or from dlib's packaging of it."""

    name = "ibug_300w"  # TFDS would make ibug300_w of the class
    DESCRIPTION = "iBUG 300-W: faces in the wild with 68 landmarks."
    HOMEPAGE = "https://ibug.doc.ic.ac.uk/resources/300-W/"
    BUILDER_CONFIGS: ClassVar = [
        tfds.core.BuilderConfig(name="official", description="The official folders with .pts files."),
        tfds.core.BuilderConfig(name="dlib", description="dlib's packaging: two XML files with boxes."),
    ]
