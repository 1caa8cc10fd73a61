"""Configs that come with flaxmark; each file defines `get_config()`."""
