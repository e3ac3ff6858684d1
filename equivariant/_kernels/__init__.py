"""Kernels of the network: arrays and numbers in, a status code out; one file per operation and backend."""
