"""Inputs and outputs of the predict command."""
