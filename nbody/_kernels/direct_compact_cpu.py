"""Gravity of all pairs with a softening law of finite radius, numba; `direct_compact_reference` is the readable twin."""

from numba import njit, prange

from .direct_cpu import THREADS_FROM, _status
from .softening_cpu import factors


@njit(cache=True, error_model="numpy")
def _row(i, mass, position, softening, special, weight, law, G, acceleration, potential):
    ax = ay = az = phi = 0.0
    for j in range(len(mass)):
        if j != i:
            dx, dy, dz = (
                position[j, 0] - position[i, 0], position[j, 1] - position[i, 1], position[j, 2] - position[i, 2],
            )  # fmt: skip
            newton = special[i] or special[j]
            h = 0.0 if newton else max(softening[i], softening[j])
            w, g = factors(law, dx * dx + dy * dy + dz * dz, h)
            m = mass[j] if newton else weight * mass[j]
            ax += m * w * dx
            ay += m * w * dy
            az += m * w * dz
            phi += m * g
    acceleration[i, 0], acceleration[i, 1], acceleration[i, 2], potential[i] = G * ax, G * ay, G * az, -G * phi


@njit(cache=True, error_model="numpy")
def _serial(mass, position, softening, special, weight, law, G, acceleration, potential):
    for i in range(len(mass)):
        _row(i, mass, position, softening, special, weight, law, G, acceleration, potential)
    return _status(acceleration, potential)


@njit(cache=True, error_model="numpy", parallel=True)
def _threaded(mass, position, softening, special, weight, law, G, acceleration, potential):
    for i in prange(len(mass)):
        _row(i, mass, position, softening, special, weight, law, G, acceleration, potential)
    return _status(acceleration, potential)


def acceleration_compact(mass, position, softening, special, weight, law, G, acceleration, potential):
    """Overwrite accelerations and potentials."""
    compute = _serial if len(mass) < THREADS_FROM else _threaded
    return compute(mass, position, softening, special, weight, law, G, acceleration, potential)
