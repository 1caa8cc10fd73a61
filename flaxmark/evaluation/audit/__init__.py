"""Audit of a data set: errors in its annotations and images, found before training."""
