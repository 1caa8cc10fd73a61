"""Faces on disk to batches in memory; the only place with TensorFlow."""
