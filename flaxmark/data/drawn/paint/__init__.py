"""Paint: curves, textures, light and the z-buffer."""
