"""Tools beside the main path: predicted cost on TPUs and GPUs, comparison of systems, detector fit, web demo."""
