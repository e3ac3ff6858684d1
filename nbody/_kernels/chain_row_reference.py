"""One row of the regularised leapfrog in plain NumPy: the readable twin of the chain.

The logarithmic Hamiltonian (Mikkola & Tanikawa 1999, doi:10.1046/j.1365-8711.1999.02982.x) with B = U - T along the orbit:

    drift   dt = h / (T + B),   x += dt v
    kick    dt = h / U,         v += dt (F + f(w)),  B -= dt sum m w.f(w)

Velocity-dependent f (post-Newtonian terms) is evaluated with the auxiliary velocity w, which is kicked by halves with f(v) before
and after; spins turn about their angular velocities by the same pattern. Everything is Cartesian and in extended
precision: what the fast chain does with tree coordinates and double-double sums, this does with plain sums.
"""

import numpy as np

from .post_newtonian_reference import accelerations as post_newtonian


def newton(G, mass, x):
    """Return accelerations (n, 3) and U = sum G m_i m_j / r_ij."""
    d = x[None, :, :] - x[:, None, :]
    r = np.sqrt(np.sum(d * d, axis=-1))
    np.fill_diagonal(r, np.inf)
    pull = G * np.sum(mass[None, :, None] * d / r[:, :, None] ** 3, axis=1)
    return pull, G * np.sum(mass[:, None] * mass[None, :] / r) / 2


def perturbation(terms, G, c, mass, x, v, spin):
    """Return post-Newtonian accelerations (n, 3) and angular velocities of the spins (n, 3), all pairs acting."""
    n = len(mass)
    f, turn = np.zeros((n, 3)), np.zeros((n, 3))
    if terms:
        acts = ~np.eye(n, dtype=bool)
        separation = np.asarray(x[:, None, :] - x[None, :, :], float)
        post_newtonian(
            terms,
            G,
            c,
            np.asarray(mass, float),
            acts,
            separation,
            np.asarray(v, float),
            np.asarray(spin, float),
            f,
            turn,
        )
    return f.astype(x.dtype), turn.astype(x.dtype)


def rotated(spin, turn, dt):
    """Return spins (n, 3) turned by the angles |turn| dt about turn (Rodrigues' formula)."""
    rate = np.linalg.norm(np.asarray(turn, float), axis=1).astype(spin.dtype)[:, None]
    axis = np.divide(turn, rate, out=np.zeros_like(turn), where=rate > 0)
    angle = rate * dt
    along = np.sum(axis * spin, axis=1, keepdims=True)
    return spin * np.cos(angle) + np.cross(axis, spin) * np.sin(angle) + axis * along * (1 - np.cos(angle))


def row(H, m, G, c, terms, mass, position, velocity, spin, out_position, out_velocity, out_spin, out_time):
    """Overwrite the outputs by the state after m substeps of H / m, all pairs of bodies acting; return 0.

    Parameters
    ----------
    H : fictitious time, energy x time; m : substeps; terms : post-Newtonian bit mask
    mass : (n); position, velocity, spin : (n, 3)
    out_time : (1,), time done

    """
    x, v, s = (np.array(a, np.longdouble) for a in (position, velocity, spin))
    mass = np.asarray(mass, np.longdouble)
    centre = mass @ v / mass.sum()

    def kinetic(v):
        u = v - mass @ v / mass.sum()
        return np.sum(mass[:, None] * u * u) / 2

    binding = newton(G, mass, x)[1] - kinetic(v)
    w, q, t, h = v.copy(), s.copy(), np.longdouble(0.0), np.longdouble(H) / m
    for k in range(m + 1):
        dt = (h / 2 if k in (0, m) else h) / (kinetic(v) + binding)
        x = x + dt * v
        t += dt
        if k == m:
            break
        pull, u = newton(G, mass, x)
        dt = h / u
        f, turn = perturbation(terms, G, c, mass, x, v - centre, s)
        w, q = w + dt / 2 * (pull + f), rotated(q, turn, dt / 2)
        f, turn = perturbation(terms, G, c, mass, x, w - centre, q)
        v, s = v + dt * (pull + f), rotated(s, turn, dt)
        binding -= dt * np.sum(mass[:, None] * (w - mass @ w / mass.sum()) * f)
        f, turn = perturbation(terms, G, c, mass, x, v - centre, s)
        w, q = w + dt / 2 * (pull + f), rotated(q, turn, dt / 2)
    out_position[:], out_velocity[:], out_spin[:], out_time[0] = x, v, s, t
    return 0
