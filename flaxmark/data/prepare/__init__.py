"""From a data set to prepared faces: done once for each set and crop."""
