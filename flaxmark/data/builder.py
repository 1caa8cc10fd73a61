"""What the TFDS builders of this package share: how a stored face is written."""

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flaxmark.data.stored_face import StoredFace
from flaxmark.data.tensorflow_setup import tf, tfds


class FaceBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Writes faces that are already cut and encoded; only splits that have faces."""

    VERSION = tfds.core.Version("1.0.0")
    DESCRIPTION = ""
    HOMEPAGE = ""

    def __init__(self, *, faces: Mapping[str, Sequence[StoredFace]] | None = None, **kwargs: Any) -> None:
        """Take the faces to write.

        Args:
            faces: Split -> faces.
            **kwargs: What TFDS passes to every builder: data_dir, config, version.
        """
        self._faces = {split: items for split, items in (faces or {}).items() if items}
        super().__init__(file_format="tfrecord", **kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        """Name and shape of everything that is kept of a face."""
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
                "landmarks": tfds.features.Tensor(shape=(None, 2), dtype=tf.float32),
                "crop": tfds.features.Tensor(shape=(3,), dtype=tf.float32),
                "box": tfds.features.Tensor(shape=(4,), dtype=tf.float32),
                "source_crop": tfds.features.Tensor(shape=(3,), dtype=tf.float32),
                "subset": tfds.features.Text(),
                "photograph": tfds.features.Text(),
                "file": tfds.features.Text(),
            }
        )
        return tfds.core.DatasetInfo(
            builder=self, description=self.DESCRIPTION, homepage=self.HOMEPAGE, features=features
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        """One generator a split; TFDS fails on empty ones."""
        return {split: self._generate_examples(items) for split, items in self._faces.items()}

    def _generate_examples(self, faces: Sequence[StoredFace]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Faces with their position as key."""
        for key, face in enumerate(faces):
            yield key, {**vars(face), "image": io.BytesIO(face.image)}
