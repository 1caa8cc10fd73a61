"""From prepared faces to batches for a compiled step."""
