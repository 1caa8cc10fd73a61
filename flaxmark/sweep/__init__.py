"""Training a grid of networks, losses and seeds, and the report of its results."""
