"""Readable twin of the row of three bodies: the logarithmic-Hamiltonian leapfrog in Cartesian coordinates, plain NumPy.

    drift  dt = h / (T + b),  x += dt v,  t += dt;      kick  dt = h / (U + g),  v += dt A

With B = U - T at the start, b = B and g = 0 where B > 0, else b = 0 and g = -B.
(Mikkola & Tanikawa 1999, doi:10.1046/j.1365-8711.1999.02982.x.)
"""

import numpy as np


def row(H, m, G, mass, position, velocity, out_position, out_velocity, out_time):
    """Overwrite the outputs by the state of k encounters after m substeps of H / m.

    Parameters
    ----------
    H : (k,) fictitious times;  m : number of substeps;  G : gravitational constant
    mass, position, velocity : (k, 3), (k, 3, 3), (k, 3, 3), centre of mass at rest in the origin
    out_position, out_velocity, out_time : (k, 3, 3), (k, 3, 3), (k,)

    """
    m_ = mass.astype(np.longdouble)
    x, v = position.astype(np.longdouble), velocity.astype(np.longdouble)
    h, t = H.astype(np.longdouble) / m, np.zeros(len(mass), np.longdouble)
    binding = _potential(G, m_, x)[0] - _kinetic(m_, v)
    for s in range(m + 1):
        dt = (0.5 * h if s in (0, m) else h) / (_kinetic(m_, v) + np.maximum(binding, 0.0))
        t += dt
        x = x + dt[:, None, None] * v
        if s < m:
            u, acceleration = _potential(G, m_, x)
            v = v + (h / (u + np.maximum(-binding, 0.0)))[:, None, None] * acceleration
    out_position[:], out_velocity[:], out_time[:] = x, v, t
    return 0


def _kinetic(mass, velocity):
    total = mass.sum(axis=1)
    centre = (mass[:, :, None] * velocity).sum(axis=1) / total[:, None]
    return 0.5 * (mass * ((velocity - centre[:, None]) ** 2).sum(axis=2)).sum(axis=1)


def _potential(G, mass, position):
    u, acceleration = np.zeros(len(mass), np.longdouble), np.zeros_like(position)
    for i in range(3):
        for j in range(i):
            d = position[:, i] - position[:, j]
            r = np.sqrt((d**2).sum(axis=1))
            u += G * mass[:, i] * mass[:, j] / r
            pull = G * d / (r**3)[:, None]
            acceleration[:, i] -= mass[:, j, None] * pull
            acceleration[:, j] += mass[:, i, None] * pull
    return u, acceleration
