"""Prepared faces on disk, as TFDS records with an index."""
