"""Askel: N-body dynamics from black holes to molecules."""

__version__ = "0.1.0"
