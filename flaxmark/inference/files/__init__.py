"""What the predict command reads and writes."""
