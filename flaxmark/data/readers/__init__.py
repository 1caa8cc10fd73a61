"""Readers of annotations, one module for each format. Each registers its data set when it is imported here."""

from flaxmark.data.readers import coco, csv_files, dlib, ibug_300w, pts

__all__ = ["coco", "csv_files", "dlib", "ibug_300w", "pts"]
