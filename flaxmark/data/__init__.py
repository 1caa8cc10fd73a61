"""From annotated faces on disk to batches in memory. Importing this package loads neither TensorFlow nor JAX."""

from flaxmark.data import readers
from flaxmark.data.config import DataConfig
from flaxmark.data.data_sets import DATA_SETS, DataSet, register
from flaxmark.data.entries import FaceEntry, Listing, Problem, check_landmarks
from flaxmark.data.prepare import drawn_faces

__all__ = [
    "DATA_SETS", "DataConfig", "DataSet", "FaceEntry", "Listing", "Problem", "check_landmarks", "drawn_faces",
    "readers", "register",
]  # fmt: skip
