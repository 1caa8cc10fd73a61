"""A trained network for other software."""
