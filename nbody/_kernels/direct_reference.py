"""Gravity of all pairs, plain NumPy, one particle at a time: the readable twin of `direct_cpu`.

a_i = G sum_j w_ij m_j r_ij / s_ij^3,   phi_i = -G sum_j w_ij m_j / s_ij,   s_ij^2 = |r_ij|^2 + e_ij^2,   r_ij = x_j - x_i
da_i/dt = G sum_j w_ij m_j [v_ij / s_ij^3 - 3 (r_ij . v_ij) r_ij / s_ij^5]

Legend
    softening    (n) the larger of two is the e_ij of a pair
    special      (n) bool; a pair with a special particle has e_ij = 0 and w_ij = 1
    weight       w_ij of a pair of ordinary particles
    acceleration, jerk (n, 3) and potential (n) are overwritten

Returns a status: STATUS_OK, or STATUS_NOT_FINITE when a result is not finite (two particles in one place).
"""

import numpy as np

STATUS_OK = 0
STATUS_NOT_FINITE = 1


def acceleration(mass, position, softening, special, weight, G, acceleration, potential):
    """Overwrite accelerations and potentials."""
    for i in range(len(mass)):
        r, s2, m = _pairs_of(i, mass, position, softening, special, weight)
        m_s = G * m / np.sqrt(s2)
        acceleration[i] = (m_s / s2) @ r
        potential[i] = -m_s.sum()
    return _status(acceleration, potential)


def acceleration_jerk(mass, position, velocity, softening, special, weight, G, acceleration, jerk, potential):
    """Overwrite accelerations, their time derivatives and potentials."""
    for i in range(len(mass)):
        r, s2, m = _pairs_of(i, mass, position, softening, special, weight)
        v = np.delete(velocity, i, axis=0) - velocity[i]
        m_s = G * m / np.sqrt(s2)
        along = 3.0 * (r * v).sum(axis=1) / s2
        acceleration[i] = (m_s / s2) @ r
        jerk[i] = (m_s / s2) @ (v - along[:, None] * r)
        potential[i] = -m_s.sum()
    return _status(acceleration, potential)


def _pairs_of(i, mass, position, softening, special, weight):
    """Return r_ij (n-1, 3), s_ij^2 (n-1) and w_ij m_j (n-1) of all j but i."""
    r = np.delete(position, i, axis=0) - position[i]
    ordinary = ~(np.delete(special, i) | special[i])
    e = np.where(ordinary, np.maximum(np.delete(softening, i), softening[i]), 0.0)
    m = np.where(ordinary, weight, 1.0) * np.delete(mass, i)
    return r, (r * r).sum(axis=1) + e * e, m


def _status(acceleration, potential):
    finite = np.isfinite(acceleration).all() and np.isfinite(potential).all()
    return STATUS_OK if finite else STATUS_NOT_FINITE
