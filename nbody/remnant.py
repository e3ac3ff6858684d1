"""Mass, spin and recoil velocity of the black hole left by a merger, from published fits to numerical relativity.

Definitions (G = c = 1 inside the fits; q, chi refer to the two holes, L to their orbit)

    eta = m1 m2/m^2        dm = (m1 - m2)/m        S~ = (S1 + S2)/m^2        D~ = (S2/m2 - S1/m1)/m
    S0~ = S~ + dm D~/2     chi_i = c S_i/(G m_i^2)

    mass = m (1 - E_rad)   spin = (G/c) mass^2 chi_f J/|J|,  J = mu r x v + S1 + S2

| fit | mass and spin | recoil |
|---|---|---|
| `zlochower-lousto-2015` | precessing, arXiv:1503.07536 (corrected version) | same paper: hang-up, cross, masses |
| `jimenez-forteza-2017` | aligned, arXiv:1611.00332; in-plane spin in quadrature | hang-up kick, arXiv:1201.1923 |

The recoil along L depends on the orbital phase at merger, which no post-Newtonian orbit knows: the fits take it from
the separation at the moment the merger is called, so that only its *distribution* over many mergers is meaningful.
For the same reason the in-plane recoil is laid along the separation (Zlochower & Lousto give its magnitude only).

References
----------
    Zlochower & Lousto 2015, Phys. Rev. D 92, 024022, doi:10.1103/PhysRevD.92.024022, arXiv:1503.07536;
    Healy, Lousto & Zlochower 2014, Phys. Rev. D 90, 104004, arXiv:1406.7295, table XI (coefficients L of the spin);
    Jimenez-Forteza et al. 2017, Phys. Rev. D 95, 064024, doi:10.1103/PhysRevD.95.064024, arXiv:1611.00332;
    Lousto, Zlochower, Dotti & Volonteri 2012, Phys. Rev. D 85, 084015, arXiv:1201.1923 (hang-up kick);
    Bardeen, Press & Teukolsky 1972, ApJ 178, 347 (innermost stable circular orbit).

"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..particles.errors import InputError

Vector = npt.NDArray[np.float64]

SPEED_OF_LIGHT_KM_S = 299792.458  # recoil fits are published in km/s


@dataclass(frozen=True, slots=True)
class Remnant:
    """What two merged black holes leave behind.

    Attributes
    ----------
    mass : float, in the units of the progenitors' masses
    spin : (3,) float64, angular momentum, in the frame that the progenitors were given in
    kick : (3,) float64, recoil velocity relative to the centre of mass of the pair, same frame
    fit : name of the fit that was used

    """

    mass: float
    spin: Vector
    kick: Vector
    fit: str


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two holes in units G = c = 1, m = 1: what every fit is a function of."""

    m1: float
    m2: float
    spin1: Vector  # S_1 / m^2
    spin2: Vector
    along: Vector  # unit vector of the orbital angular momentum
    towards: Vector  # unit vector from hole 2 to hole 1

    @property
    def eta(self) -> float:
        return self.m1 * self.m2

    @property
    def dm(self) -> float:
        return self.m1 - self.m2

    @property
    def across(self) -> Vector:
        return np.cross(self.along, self.towards)

    def split(self, vector: Vector) -> tuple[float, float]:
        """Components along and across the orbital angular momentum."""
        parallel = float(vector @ self.along)
        return parallel, float(np.linalg.norm(vector - parallel * self.along))


def merger_remnant(
    mass: npt.ArrayLike,
    position: npt.ArrayLike,
    velocity: npt.ArrayLike,
    spin: npt.ArrayLike,
    *,
    G: float,
    c: float,
    fit: str = "zlochower-lousto-2015",
) -> Remnant:
    """Mass, spin and recoil of the remnant of two black holes; equations and references in the module's docstring.

    | symbol | argument | shape | unit |
    |---|---|---|---|
    | m_i | mass | (2,) | mass, positive |
    | x_i | position | (2, 3) | length |
    | v_i | velocity | (2, 3) | velocity |
    | S_i | spin | (2, 3) | angular momentum, abs S_i <= G m_i^2/c |
    | G, c | G, c | float | the system's units |
    | | fit | str | a name of `FITS` |

    The result does not depend on the order of the two holes, and rotates with the frame. A head-on pair (no orbital
    angular momentum) is outside all fits: masses and spins are added and there is no recoil.

    Raises InputError for shapes, non-positive masses, coinciding positions, spins above the Kerr limit, unknown fits.
    """
    if fit not in FITS:
        raise InputError(f"unknown remnant fit {fit!r}; known are: {', '.join(FITS)}")
    arrays = [np.asarray(values, dtype=np.float64) for values in (mass, position, velocity, spin)]
    _check(*arrays, G=G, c=c)
    m, x, v, s = arrays
    total = float(m[0] + m[1])
    separation = x[0] - x[1]
    orbital = m[0] * m[1] / total * np.cross(separation, v[0] - v[1])
    if not np.any(orbital):
        return Remnant(total, s[0] + s[1], np.zeros(3), fit)
    pair = _Pair(
        m1=float(m[0] / total),
        m2=float(m[1] / total),
        spin1=s[0] * c / (G * total**2),
        spin2=s[1] * c / (G * total**2),
        along=orbital / np.linalg.norm(orbital),
        towards=separation / np.linalg.norm(separation),
    )
    radiated, chi, kick = FITS[fit](pair)
    final_mass = total * (1 - radiated)
    angular_momentum = orbital + s[0] + s[1]
    direction = angular_momentum / np.linalg.norm(angular_momentum)
    final_spin = G / c * final_mass**2 * chi * direction
    return Remnant(final_mass, final_spin, kick * (c / SPEED_OF_LIGHT_KM_S), fit)


def _check(m: Vector, x: Vector, v: Vector, s: Vector, *, G: float, c: float) -> None:
    if m.shape != (2,) or x.shape != (2, 3) or v.shape != (2, 3) or s.shape != (2, 3):
        raise InputError(
            "a merger needs mass (2,) and position, velocity, spin (2, 3);"
            f" got {m.shape}, {x.shape}, {v.shape}, {s.shape}"
        )
    if not all(np.all(np.isfinite(values)) for values in (m, x, v, s)):
        raise InputError("a merger needs finite masses, positions, velocities and spins")
    if np.any(m <= 0):
        raise InputError(f"a merger needs two positive masses; got {m[0]:g} and {m[1]:g}")
    if np.all(x[0] == x[1]):
        raise InputError("the two holes are in one place: their separation gives the frame of the remnant")
    chi = c * np.linalg.norm(s, axis=1) / (G * m**2)
    if np.any(chi > 1 + 1e-6):  # round-off of a maximal spin that was integrated
        raise InputError(f"black-hole spins must not exceed G m^2/c; got chi = {chi[0]:.4g} and {chi[1]:.4g}")


def kerr_isco(chi: float) -> tuple[float, float]:
    """Energy and angular momentum (per mass, and per mass and G M/c) on the innermost stable circular orbit of Kerr.

    `chi` in [-1, 1] is the hole's spin; negative: the orbit is retrograde. Bardeen, Press & Teukolsky 1972.
    """
    z1 = 1 + (1 - chi**2) ** (1 / 3) * ((1 + chi) ** (1 / 3) + (1 - chi) ** (1 / 3))
    z2 = math.sqrt(3 * chi**2 + z1**2)
    radius = 3 + z2 - math.copysign(math.sqrt(max(0.0, (3 - z1) * (3 + z1 + 2 * z2))), chi)
    energy = math.sqrt(1 - 2 / (3 * radius))
    return energy, 2 / math.sqrt(3 * radius) * (3 * math.sqrt(radius) - 2 * chi)


# Zlochower & Lousto 2015. Two listings of the coefficients made by others independently agree on all of the spin's
# (one has more digits; these are used) and on those of the energy's hang-up and in-plane parts.
def _zlochower_lousto_energy(pair: _Pair) -> float:
    """Eqs. (32) to (34): radiated fraction of the mass.

    The term with dm, D~ and S~ in the plane is taken as dm times their scalar product: it equals the product of the
    lengths where the heavier hole's spin dominates, and is the form that does not depend on the labels.
    """
    eta, dm = pair.eta, pair.dm
    total, delta = pair.spin1 + pair.spin2, pair.spin2 / pair.m2 - pair.spin1 / pair.m1
    (s, s_perp), (d, d_perp) = pair.split(total), pair.split(delta)
    s0 = s + 0.5 * dm * d
    hangup = 0.0025829 - 0.0773079 / (2 * s0 - 1.693959)
    aligned = (
        hangup - 0.024 * dm * d + 0.000743 * d**2 - 0.055 * dm * d * s - 0.019 * dm**2 * s - 0.119 * dm * d * s**2
        + 0.005 * dm * d**3 + 0.000124 * d**4 + 0.035 * dm**4 + 0.022 * dm**3 * d
    )  # fmt: skip
    in_plane = (
        s_perp**2 * (0.0356 + 0.096 * s + 0.1217 * s**2)
        + d_perp**2 * (0.0043 + 0.0050 * s - 0.009 * s**2)
        + 0.59 * dm**2 * s_perp**2 * s - 0.51 * dm**2 * d_perp**2 * s
        + 0.056 * dm * (float(delta @ total) - d * s) - 0.073 * d**2 * d_perp**2
    )  # fmt: skip
    isco_energy, _ = kerr_isco(s)
    return (4 * eta) ** 2 * (aligned + in_plane) + dm**6 * eta * (1 - isco_energy)


def _zlochower_lousto_spin(pair: _Pair) -> float:
    """Eqs. (35) and (36): dimensionless spin.

    The orbit that the dm^6 term refers to is taken around the remnant (chi = `aligned` itself, by iteration), as in
    Healy et al. 2014, whose coefficients these are: without spins at 1:4 this gives 0.472 and simulations 0.4716,
    while the orbit around a hole of spin S~, as eq. (35) is usually read, gives 0.476.
    """
    eta, dm = pair.eta, pair.dm
    total, delta = pair.spin1 + pair.spin2, pair.spin2 / pair.m2 - pair.spin1 / pair.m1
    (s, s_perp), (d, d_perp) = pair.split(total), pair.split(delta)
    without_isco = (4 * eta) ** 2 * (
        0.686710 + 0.613247 * s - 0.145427 * dm * d - 0.115689 * s**2 - 0.005254 * d**2 + 0.801838 * dm**2
        - 0.073839 * d * s * dm + 0.004759 * s * d**2 - 0.078377 * s**3 + 1.585809 * s * dm**2
        - 0.003050 * d * s**2 * dm - 0.002968 * d**3 * dm + 0.004364 * d**4 - 0.047204 * s**4
        - 0.053099 * d**2 * s**2 + 0.953458 * dm**4 - 0.067998 * d * dm**3 + 0.001629 * d**2 * dm**2
        - 0.066693 * s**2 * dm**2
    ) + s * (1 + 8 * eta) * dm**4  # fmt: skip
    aligned = s
    for _ in range(60):  # contracts by eta dm^6 dL/dchi, at most 0.1 except for a spin near 1
        aligned = without_isco + eta * dm**6 * kerr_isco(max(-1.0, min(1.0, aligned)))[1]
    in_plane = (4 * eta) ** 2 * (
        s_perp**2 * (0.8401 - 0.3277 * s - 0.6088 * s**2)
        + d_perp**2 * (-0.0209 - 0.0381 * s + 0.0429 * s**2)
        + dm**2 * s_perp**2 * (3.00684 - 7.32272 * s)
        + dm**2 * d_perp**2 * (-2.00948 + 5.08985 * s)
        - 2.80392 * d**2 * d_perp**2 + 5.13991 * d**2 * s_perp**2
    ) + dm**6 * (1 + 12 * eta) * s_perp**2  # fmt: skip
    return min(1.0, math.sqrt(max(0.0, aligned**2 + in_plane)))


def _zlochower_lousto_kick(pair: _Pair) -> Vector:
    """Eqs. (37) and (39), km/s; the prefactor of (37) is (4 eta)^2 (misprinted 4 eta^2 in the paper)."""
    eta, dm = pair.eta, pair.dm
    total, delta = pair.spin1 + pair.spin2, pair.spin2 / pair.m2 - pair.spin1 / pair.m1
    half = total + 0.5 * dm * delta
    s0, d = float(half @ pair.along), float(delta @ pair.along)
    angle = math.radians(-59)
    turned = math.cos(angle) * pair.towards + math.sin(angle) * pair.across
    parallel = (4 * eta) ** 2 * (
        float(delta @ pair.towards) * (3678 - 2475 * dm**2 + 4962 * s0 + 7170 * s0**2 + 12050 * s0**3)
        + float(half @ turned) * (d * (4315 - 1262 * dm**2 + 15970 * s0) - 2256 * dm - 2231 * dm * s0)
    )
    from_mass = 1.2e4 * eta**2 * dm * (1 - 0.93 * eta)
    squared = from_mass**2 + (4 * eta) ** 4 * (
        2.106e5 * d**2 + 4.967e5 * d * dm - 2.116e5 * d**3 * dm - 5.037e5 * d**2 * dm**2 - 1.269e5 * d * dm**3
        - 3.384e5 * d**2 * s0 - 6.440e5 * dm**2 * s0 + 2.138e6 * d**2 * s0**2 - 4.905e6 * d * dm * s0**2
        - 1.100e6 * dm**2 * s0**2 - 1.024e7 * d**2 * s0**3
    )  # fmt: skip
    # The fit is for the magnitude. Its sign here is that of its linear part: it changes with the labels as the
    # separation does, so the recoil of a pair does not depend on which hole is called the first.
    linear = from_mass + (4 * eta) ** 2 * math.sqrt(2.106e5) * d
    perpendicular = math.copysign(math.sqrt(max(0.0, squared)), linear)
    return parallel * pair.along + perpendicular * pair.towards


def _zlochower_lousto(pair: _Pair) -> tuple[float, float, Vector]:
    return _zlochower_lousto_energy(pair), _zlochower_lousto_spin(pair), _zlochower_lousto_kick(pair)


def _jimenez_forteza_energy(eta: float, dm: float, s: float, difference: float) -> float:
    """Eq. (28) of arXiv:1611.00332v2: radiated fraction of the mass; s effective spin, difference chi_1 - chi_2."""

    def shape(f0: float, f1: float) -> float:
        return f0 + f1 * eta + (16 - 16 * f0 - 4 * f1) * eta**2

    without_spin = (1 - 2 * math.sqrt(2) / 3) * eta + 0.5609904135313374 * eta**2 - 0.84667563764404 * eta**3
    without_spin += 3.145145224278187 * eta**4
    numerator = (
        1
        - 0.346 * 0.2091189048177395 * s * shape(1.8083565298668276, 15.738082204419655)
        - 0.211 * 0.19709136361080587 * s**2 * shape(4.271313308472851, 0.0)
        - 0.128 * 0.1588185739358418 * s**3 * shape(31.08987570280556, -243.6299258830685)
    )
    denominator = 1 - 0.212 * 2.9852925538232014 * s * shape(1.5673498395263061, -0.5808669012986468)
    return (
        without_spin * numerator / denominator
        - 0.09803730445895877 * dm * eta**2 * (1 - 3.2283713377939134 * eta) * difference
        - 0.01978238971523653 * s * dm * eta * (1 - 4.91667749015812 * eta) * difference
        + 0.01118530335431078 * eta**3 * difference**2
    )


def _jimenez_forteza_momentum(eta: float, dm: float, s: float, difference: float) -> float:
    """Eq. (16) of arXiv:1611.00332v2: the final spin less the aligned spins of the holes."""

    def shape(f1: float, f2: float) -> float:
        return f1 * eta + f2 * eta**2 + (64 - 16 * f1 - 4 * f2) * eta**3

    without_spin = 2 * math.sqrt(3) * eta + 5.24 * 3.8326341618708577 * eta**2 - 1.3 * 9.487364155598392 * eta**3
    without_spin /= 1 + 2.88 * 2.5134875145648374 * eta
    numerator = (
        -0.194 * 1.0009563702914628 * s * shape(4.409160174224525, 0.5118334706832706)
        + 0.0851 * 0.7877509372255369 * s**2 * shape(8.77367320110712, -32.060648277652994)
        + 0.00954 * 0.6540138407185817 * s**3 * shape(22.830033250479833, -153.83722669033995)
    )
    f0, f1 = 1.8804718791591157, -4.770246856212403
    denominator = 1 - 0.579 * 0.8396665722805308 * s * (f0 + f1 * eta + (64 - 64 * f0 - 16 * f1) * eta**3)
    return (
        without_spin + numerator / denominator
        + 0.3223660562764661 * dm * eta**2 * (1 + 9.332575956437443 * eta) * difference
        + 2.3170397514509933 * s * dm * eta**3 * (1 - 3.2624649875884852 * eta) * difference
        - 0.059808322561702126 * eta**3 * difference**2
    )  # fmt: skip


def _hangup_kick(pair: _Pair) -> Vector:
    """Recoil of arXiv:1201.1923, km/s, written so that it does not depend on the order of the holes.

    v = v_m n + v_perp (cos xi n + sin xi L x n) + v_par L, published for hole 2 the heavier; both v_m ~ -dm and
    v_perp ~ D~ change sign with the labels, as n (from hole 2 to hole 1) does.
    """
    eta, dm = pair.eta, pair.dm
    delta = pair.spin2 / pair.m2 - pair.spin1 / pair.m1
    hangup = 2 * float((pair.spin1 + pair.spin2) @ pair.along)
    angle = math.radians(145)
    from_mass = 1.2e4 * eta**2 * dm * (1 - 0.93 * eta)
    from_spin = 6.9e3 * eta**2 * float(delta @ pair.along)
    series = 3677.76 + 2481.21 * hangup + 1792.45 * hangup**2 + 1506.52 * hangup**3
    return (
        (from_spin * math.cos(angle) - from_mass) * pair.towards
        + from_spin * math.sin(angle) * pair.across
        + 16 * eta**2 * series * float(delta @ pair.towards) * pair.along
    )


def _jimenez_forteza(pair: _Pair) -> tuple[float, float, Vector]:
    """The fit takes aligned spins; the in-plane part of S1 + S2 is added to the final spin in quadrature."""
    aligned1, aligned2 = float(pair.spin1 @ pair.along), float(pair.spin2 @ pair.along)
    difference = aligned1 / pair.m1**2 - aligned2 / pair.m2**2
    effective = (aligned1 + aligned2) / (pair.m1**2 + pair.m2**2)
    radiated = _jimenez_forteza_energy(pair.eta, pair.dm, effective, difference)
    aligned = _jimenez_forteza_momentum(pair.eta, pair.dm, effective, difference) + aligned1 + aligned2
    _, in_plane = pair.split(pair.spin1 + pair.spin2)
    return radiated, min(1.0, math.hypot(aligned, in_plane)), _hangup_kick(pair)


FITS: dict[str, Callable[[_Pair], tuple[float, float, Vector]]] = {
    "zlochower-lousto-2015": _zlochower_lousto,
    "jimenez-forteza-2017": _jimenez_forteza,
}
