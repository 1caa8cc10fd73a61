"""Videos: frames, tracking and smoothing."""
