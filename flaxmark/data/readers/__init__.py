"""Annotation files to face entries, one module a format."""
