"""From prepared faces to the batches that a compiled step takes."""
