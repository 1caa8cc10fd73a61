"""Export of a trained network to other software."""
