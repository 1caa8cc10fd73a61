"""The machine: cores, devices, files, processes, signals and the terminal."""
