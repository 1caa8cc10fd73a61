"""The head: its parameters and their distribution, its surface, its pose and its landmarks."""
