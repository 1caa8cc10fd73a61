"""Painting: curves, textures, light and the z-buffer."""
