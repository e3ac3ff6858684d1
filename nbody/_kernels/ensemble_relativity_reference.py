"""Readable twin of the rows with post-Newtonian terms: the leapfrog in Cartesian coordinates, plain NumPy, one by one.

    drift  dt = h / (T + b + d),  x += dt v,  t += dt
    kick   dt = h / (U + g),      w += dt/2 (F + f(v));  v += dt (F + f(w)),  d -= dt sum m w.f(w);  w += dt/2 (F + f(v))

With B = U - T at the start, b = B and g = 0 where B > 0, else b = 0 and g = -B; w starts as v, d at zero. Velocities in f are
relative to the centre of mass at the start, those in T and in the sum for d to the present one.
(Hellstrom & Mikkola 2010, doi:10.1007/s10569-009-9248-8.)
"""

import numpy as np

from .chain_row_reference import newton
from .post_newtonian_reference import accelerations


def row(H, m, G, light, terms, mass, position, velocity, hole, out_position, out_velocity, out_work, out_time):
    """Overwrite the outputs by the state of k encounters of n bodies after m substeps of H / m; return 0.

    Parameters
    ----------
    H : (k,) fictitious times;  m : number of substeps;  G, light : gravitational constant, speed of light
    terms : bits of the terms, none of spins
    mass, position, velocity : (k, n), (k, n, 3), (k, n, 3)
    hole : (k, n) 1 for black holes; terms act in pairs with one
    out_position, out_velocity, out_work, out_time : (k, n, 3), (k, n, 3), (k,), (k,)

    """
    for k in range(len(mass)):
        state = _one(H[k] / m, m, G, light, terms, mass[k], position[k], velocity[k], hole[k] == 1)
        out_position[k], out_velocity[k], out_work[k], out_time[k] = state
    return 0


def _one(h, m, G, light, terms, mass, x, v, hole):
    drift = mass @ v / mass.sum()
    binding = newton(G, mass, x)[1] - _kinetic(mass, v)
    w, work, t = v, 0.0, 0.0
    for s in range(m + 1):
        dt = (0.5 * h if s in (0, m) else h) / (_kinetic(mass, v) + max(binding, 0.0) + work)
        x, t = x + dt * v, t + dt
        if s < m:
            pull, u = newton(G, mass, x)
            dt = h / (u + max(-binding, 0.0))
            w = w + 0.5 * dt * (pull + _terms(G, light, terms, mass, x, v - drift, hole))
            f = _terms(G, light, terms, mass, x, w - drift, hole)
            v = v + dt * (pull + f)
            work -= dt * np.sum(mass[:, None] * (w - mass @ w / mass.sum()) * f)
            w = w + 0.5 * dt * (pull + _terms(G, light, terms, mass, x, v - drift, hole))
    return x, v, work, t


def _kinetic(mass, v):
    return 0.5 * np.sum(mass[:, None] * (v - mass @ v / mass.sum()) ** 2)


def _terms(G, light, terms, mass, x, v, hole):
    """Return post-Newtonian accelerations (n, 3)."""
    n = len(mass)
    f, turn = np.zeros((n, 3)), np.zeros((n, 3))
    acts = (hole[:, None] | hole[None, :]) & ~np.eye(n, dtype=bool)
    accelerations(terms, G, light, mass, acts, x[:, None] - x[None], v, np.zeros((n, 3)), f, turn)
    return f
