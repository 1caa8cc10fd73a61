"""What a run leaves on disk: workdir, checkpoints, metric log, packed networks, remote copies."""
