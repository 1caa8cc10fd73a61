"""Training of one run: its setup, compiled steps, loop and checkpoints."""
