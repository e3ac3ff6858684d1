"""What pulls: direct sums, post-Newtonian terms, mergers, regularised dynamics, orbits, strain."""

from ..particles import register

_K = "askel.nbody._kernels"

register(
    {
        ("acceleration", "reference"): f"{_K}.direct_reference:acceleration",
        ("acceleration", "cpu"): f"{_K}.direct_cpu:acceleration",
        ("acceleration_jerk", "reference"): f"{_K}.direct_reference:acceleration_jerk",
        ("acceleration_jerk", "cpu"): f"{_K}.direct_cpu:acceleration_jerk",
        ("post_newtonian", "reference"): f"{_K}.post_newtonian_reference:accelerations",
        ("chain_advance", "cpu"): f"{_K}.chain_cpu:advance",
        ("chain_read_in", "cpu"): f"{_K}.chain_cpu:read_in",
        ("chain_read_out", "cpu"): f"{_K}.chain_cpu:read_out",
        ("chain_energies", "cpu"): f"{_K}.chain_cpu:energies",
        ("post_newtonian", "cpu"): f"{_K}.post_newtonian_cpu:accelerations",
    }
)
