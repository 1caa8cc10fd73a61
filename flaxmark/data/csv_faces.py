"""TFDS builder of faces annotated in CSV files."""

from flaxmark.data.builder import FaceBuilder


class CsvFaces(FaceBuilder):
    """Faces with 68 landmarks, a line of a CSV file each."""

    name = "csv_faces"
    DESCRIPTION = "Faces with 68 landmarks listed in CSV files."
