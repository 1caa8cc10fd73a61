"""Prediction: faces with landmarks in images and videos, files of results, and export to other software."""
