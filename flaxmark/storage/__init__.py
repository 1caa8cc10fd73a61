"""A run on disk: workdir, checkpoints, metric log, packed networks, remote copies."""
