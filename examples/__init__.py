"""Example jobs, written out by ``askel example``."""
