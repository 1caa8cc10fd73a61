"""The report of a sweep: tables, plots and faces of all its cells, as Markdown and as one HTML page."""
