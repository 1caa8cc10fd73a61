"""One run: setup, steps, loop."""
