"""One row of the lanes from and to Cartesian coordinates: the door through which they meet their readable twin."""

import numpy as np
from numba import njit

from .ensemble_cpu import row_of_lanes
from .ensemble_lanes import LANES, lanes_load, lanes_store
from .ensemble_state import put_in, read_out


@njit(cache=True, error_model="numpy")
def row(H, m, G, mass, position, velocity, out_position, out_velocity, out_time):
    """Overwrite the outputs by the state after m substeps of H / m; parameters as in ensemble_row_reference."""
    k = mass.shape[0]
    state = np.ones((12, LANES))
    weight = np.ones((5, LANES))
    who = np.zeros((3, LANES), np.int64)
    h = np.zeros((1, LANES))
    t = np.empty((1, LANES))
    for first in range(0, k, LANES):
        here = min(LANES, k - first)
        for l in range(here):
            put_in(l, first + l, G, mass, position, velocity, state, weight, who, h)
            h[0, l] = H[first + l] / m * G  # in units in which the lanes' masses are G m
        new = row_of_lanes(
            lanes_load(h, 0), m, lanes_load(weight, 0), lanes_load(weight, 1), lanes_load(weight, 2), lanes_load(weight, 3),
            lanes_load(weight, 4),
            lanes_load(state, 0), lanes_load(state, 1), lanes_load(state, 2), lanes_load(state, 3),
            lanes_load(state, 4), lanes_load(state, 5), lanes_load(state, 6), lanes_load(state, 7),
            lanes_load(state, 8), lanes_load(state, 9), lanes_load(state, 10), lanes_load(state, 11),
        )  # fmt: skip
        lanes_store(t, 0, new[0])
        lanes_store(state, 0, new[1])
        lanes_store(state, 1, new[2])
        lanes_store(state, 2, new[3])
        lanes_store(state, 3, new[4])
        lanes_store(state, 4, new[5])
        lanes_store(state, 5, new[6])
        lanes_store(state, 6, new[7])
        lanes_store(state, 7, new[8])
        lanes_store(state, 8, new[9])
        lanes_store(state, 9, new[10])
        lanes_store(state, 10, new[11])
        lanes_store(state, 11, new[12])
        for l in range(here):
            out_time[first + l] = t[0, l]
            read_out(
                l, first + l, t[0, l], mass, position, velocity, state, who, out_position[first + l], out_velocity[first + l]
            )  # fmt: skip
    return 0
