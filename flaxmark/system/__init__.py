"""The machine: its cores, devices, files, processes, signals and terminal."""
