"""What the TFDS builders of this package share: how a stored face is written."""

import io
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from flaxmark.data.records.stored_face import StoredFace
from flaxmark.data.tensorflow_setup import tf, tfds


class FaceBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Writes faces that are already cut and encoded, as they come: no more than one is in memory here.

    TFDS keeps 1 GB of them to bring them into its order; beyond that it sorts them on disk.
    """

    VERSION = tfds.core.Version("1.0.0")
    DESCRIPTION = ""
    HOMEPAGE = ""

    def __init__(self, *, faces: Mapping[str, Iterable[tuple[int, StoredFace]]] | None = None, **kwargs: Any) -> None:
        """Take the faces to write.

        Args:
            faces: Split -> numbered faces, at least one a split: TFDS fails on empty ones.
            **kwargs: What TFDS passes to every builder: data_dir, config, version.
        """
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
