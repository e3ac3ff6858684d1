"""What pulls: direct sums, post-Newtonian terms, mergers, regularised dynamics, orbits, strain."""

from __future__ import annotations

from ..integrators import PropagatorEntry, register_propagator
from ..particles import register
from ..particles.lazy import lazily

_K = "askel.nbody._kernels"

register(
    {
        ("acceleration", "reference"): f"{_K}.direct_reference:acceleration",
        ("acceleration", "cpu"): f"{_K}.direct_cpu:acceleration",
        ("acceleration", "cuda"): f"{_K}.direct_cuda:acceleration",
        ("acceleration_compact", "reference"): f"{_K}.direct_compact_reference:acceleration_compact",
        ("acceleration_compact", "cpu"): f"{_K}.direct_compact_cpu:acceleration_compact",
        ("acceleration_compact", "cuda"): f"{_K}.direct_compact_cuda:acceleration_compact",
        ("acceleration_mixed", "cuda"): f"{_K}.direct_mixed_cuda:acceleration_mixed",
        ("acceleration_jerk", "reference"): f"{_K}.direct_reference:acceleration_jerk",
        ("acceleration_jerk", "cpu"): f"{_K}.direct_cpu:acceleration_jerk",
        ("acceleration_jerk", "cuda"): f"{_K}.direct_cuda:acceleration_jerk",
        ("acceleration_tide", "reference"): f"{_K}.direct_tide_reference:acceleration_tide",
        ("acceleration_tide", "cpu"): f"{_K}.direct_tide_cpu:acceleration_tide",
        ("octree", "reference"): f"{_K}.octree_reference:octree",
        ("octree", "cpu"): f"{_K}.octree_cpu:octree",
        ("fmm", "reference"): f"{_K}.fmm_reference:fmm",
        ("fmm", "cpu"): f"{_K}.fmm_cpu:fmm",
        ("fmm", "cuda"): f"{_K}.fmm_cuda:fmm",
        ("fmm_part", "cpu"): f"{_K}.fmm_leaf_cpu:direct_part",
        ("fmm_ranks", "cpu"): f"{_K}.fmm_ranks_cpu:fmm_ranks",
        ("post_newtonian", "reference"): f"{_K}.post_newtonian_reference:accelerations",
        ("chain_row", "reference"): f"{_K}.chain_row_reference:row",
        ("chain_row", "cpu"): f"{_K}.chain_row_cpu:row",
        ("chain_row", "cuda"): f"{_K}.chain_row_cuda:cartesian_row",
        ("chain_advance", "cpu"): f"{_K}.chain_cpu:advance",
        ("chain_advance", "cuda"): f"{_K}.chain_cuda:advance",
        ("chain_read_in", "cpu"): f"{_K}.chain_coordinates:read_in",
        ("chain_read_out", "cpu"): f"{_K}.chain_coordinates:read_out",
        ("chain_energies", "cpu"): f"{_K}.chain_coordinates:energies",
        ("post_newtonian", "cpu"): f"{_K}.post_newtonian_cpu:accelerations",
        ("post_newtonian", "cuda"): f"{_K}.post_newtonian_cuda:accelerations",
        ("ensemble_three", "cpu"): f"{_K}.ensemble_cpu:advance",
        ("ensemble_three", "cuda"): f"{_K}.ensemble_cuda:advance",
        ("ensemble_chain", "cpu"): f"{_K}.ensemble_chain_cpu:advance",
        ("ensemble_post_newtonian", "cpu"): f"{_K}.ensemble_chain_cpu:advance_post_newtonian",
        ("ensemble_relativity_two", "cpu"): f"{_K}.ensemble_relativity_cpu:advance_two",
        ("ensemble_relativity_three", "cpu"): f"{_K}.ensemble_relativity_cpu:advance_three",
        ("ensemble_relativity_two", "cuda"): f"{_K}.ensemble_relativity_cuda:advance_two",
        ("ensemble_relativity_three", "cuda"): f"{_K}.ensemble_relativity_cuda:advance_three",
        ("ensemble_relativity_row", "reference"): f"{_K}.ensemble_relativity_reference:row",
        ("ensemble_relativity_row", "cpu"): f"{_K}.ensemble_relativity_cpu:row",
        ("ensemble_row", "reference"): f"{_K}.ensemble_row_reference:row",
        ("ensemble_row", "cpu"): f"{_K}.ensemble_row_cpu:row",
    }
)

register_propagator(
    PropagatorEntry(
        "chain",
        "askel.nbody.regularised_chain:RegularisedChain",
        "system",
        fixed_step=False,
        summary="algorithmic regularisation of a few to a few hundred bodies, post-Newtonian terms, mergers",
    )
)

register_propagator(
    PropagatorEntry(
        "block-leapfrog",
        "askel.nbody.galaxy:block_leapfrog",
        "interaction",
        fixed_step=True,
        summary="leapfrog with a step of its own for every particle, for large systems; step is the longest one",
    )
)
register_propagator(
    PropagatorEntry(
        "regions",
        "askel.nbody.galaxy:regions",
        "interaction",
        fixed_step=True,
        summary="block-leapfrog, and a regularised chain in spheres around black holes",
    )
)

#: public name -> module, imported when first asked for
_PUBLIC = {
    "DirectGravity": "direct",
    "Ensemble": "ensemble",
    "Evolved": "evolve",
    "ExternalField": "regularised_chain",
    "Fmm": "fmm",
    "Mergers": "mergers",
    "RegularisedChain": "regularised_chain",
    "accelerations": "gravity",
    "evolve": "evolve",
    "evolve_batch": "ensemble",
}

__all__ = [
    "DirectGravity",
    "Ensemble",
    "Evolved",
    "ExternalField",
    "Fmm",
    "Mergers",
    "RegularisedChain",
    "accelerations",
    "evolve",
    "evolve_batch",
]

__getattr__, __dir__ = lazily(__name__, _PUBLIC)
