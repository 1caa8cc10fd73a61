"""Metrics, figures of a network, and the report of a run."""
