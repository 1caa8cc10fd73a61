"""Videos: frames, tracks and smoothing."""
