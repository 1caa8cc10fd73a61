"""Report of a sweep: tables, plots and faces of all cells, as Markdown and as one self-contained HTML page."""
