"""Evaluation: metrics, predictions on a split, and the report of a run."""
