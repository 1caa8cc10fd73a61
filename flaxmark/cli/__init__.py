"""The flaxmark command."""
