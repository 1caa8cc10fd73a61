"""Tools beside the main path: predicted cost, comparison, detector fit, web demo."""
