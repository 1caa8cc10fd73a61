"""TFDS builders: how stored faces are written, and one class for each kind of data set."""

import io
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from flaxmark.data.records.stored_face import StoredFace
from flaxmark.data.tensorflow_setup import tf, tfds

Faces = Mapping[str, Iterable[tuple[int, StoredFace]]]
"""Split -> numbered faces, at least one a split: TFDS fails on empty ones."""


class FaceBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Writes faces that are already cut and encoded, as they come: no more than one is in memory here.

    TFDS keeps 1 GB of them to bring them into its order; beyond that it sorts them on disk.
    """

    VERSION = tfds.core.Version("1.1.0")
    DESCRIPTION = ""
    HOMEPAGE = ""

    def __init__(self, *, faces: Faces | None = None, **kwargs: Any) -> None:
        """Take the faces to write; TFDS passes `kwargs` to every builder: data_dir, config, version."""
        self._faces = dict(faces or {})
        super().__init__(file_format="tfrecord", **kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        """Name and shape of everything that is kept of a face."""
        features = tfds.features.FeaturesDict(
            {
                "number": tfds.features.Scalar(dtype=tf.int64),
                "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
                "landmarks": tfds.features.Tensor(shape=(None, 2), dtype=tf.float32),
                "crop": tfds.features.Tensor(shape=(3,), dtype=tf.float32),
                "box": tfds.features.Tensor(shape=(4,), dtype=tf.float32),
                "source_crop": tfds.features.Tensor(shape=(3,), dtype=tf.float32),
                "subset": tfds.features.Text(),
                "photograph": tfds.features.Text(),
                "file": tfds.features.Text(),
                "visible": tfds.features.Tensor(shape=(None,), dtype=tf.float32),
            }
        )
        return tfds.core.DatasetInfo(
            builder=self, description=self.DESCRIPTION, homepage=self.HOMEPAGE, features=features
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        """One generator a split."""
        return {split: self._generate_examples(items) for split, items in self._faces.items()}

    def _generate_examples(self, faces: Iterable[tuple[int, StoredFace]]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Faces with their number as key."""
        for number, face in faces:
            yield number, {**vars(face), "number": number, "image": io.BytesIO(face.image)}


class Ibug300W(FaceBuilder):
    """300-W from its official layout or from dlib's packaging of it."""

    name = "ibug_300w"  # TFDS would make ibug300_w of the class
    DESCRIPTION = "iBUG 300-W: faces in the wild with 68 landmarks."
    HOMEPAGE = "https://ibug.doc.ic.ac.uk/resources/300-W/"
    BUILDER_CONFIGS: ClassVar = [
        tfds.core.BuilderConfig(name="official", description="The official folders with .pts files."),
        tfds.core.BuilderConfig(name="dlib", description="dlib's packaging: two XML files with boxes."),
    ]


class DrawnFaces(FaceBuilder):
    """Faces drawn by flaxmark.data.drawn."""

    name = "drawn_faces"
    DESCRIPTION = "Drawn faces with 68 exact landmarks."


class OwnFaces(FaceBuilder):
    """Faces of any other data set, with any number of landmarks."""

    name = "own_faces"
    DESCRIPTION = "Faces with landmarks of the user's own."


BUILDERS: dict[str, type[FaceBuilder]] = {kind.name: kind for kind in (Ibug300W, DrawnFaces, OwnFaces)}


def make_builder(name: str, faces: Faces, folder: Path) -> FaceBuilder:
    """Builder that writes faces below a folder; the name is that of a data set's record: `ibug_300w/dlib`."""
    kind, _, config = name.partition("/")
    return BUILDERS[kind](config=config or None, faces=faces, data_dir=folder)
