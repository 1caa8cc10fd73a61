"""Configs that come with flaxmark; each file has a `get_config()`."""
