"""From a data set to prepared faces: once for each set and crop."""
