"""Readers of annotations, one module for each format. Each registers its data set when it is imported here."""

# isort: off  -- the order of the choices in help texts
from flaxmark.data.readers import ibug_300w
from flaxmark.data.readers import dlib
from flaxmark.data.readers import pts
from flaxmark.data.readers import csv_files
from flaxmark.data.readers import coco

# isort: on
__all__ = ["coco", "csv_files", "dlib", "ibug_300w", "pts"]
