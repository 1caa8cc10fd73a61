"""Every choice of a run as frozen, typed data."""
