"""Kernels of the decomposition."""
