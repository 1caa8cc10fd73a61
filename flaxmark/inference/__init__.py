"""From images to faces with landmarks."""
