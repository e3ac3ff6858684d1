r"""Distribution functions by Eddington's inversion, in the potential of everything that is there.

    f(Q) = 1/(sqrt(8) pi^2) d/dQ int_0^Q (d rho_Q/d Psi) d Psi/sqrt(Q - Psi),     rho_Q = (1 + r^2/r_a^2) rho
    Q = Psi(r) - v^2/2 - (r v_t)^2/(2 r_a^2),     beta(r) = 1 - sigma_t^2/(2 sigma_r^2) = r^2/(r^2 + r_a^2)

| symbol | what |
|---|---|
| Psi = -Phi | potential of all components and the central black hole, G = 1 |
| rho | density of one component |
| r_a | anisotropy radius of Osipkov and Merritt; infinite: isotropic, Q = E |
| v_t, sigma_t | tangential velocity; sigma_t^2 is the sum over both tangential directions |

How: with D(r) = d rho_Q/d Psi = -rho_Q' r^2/M and Q = Psi(r_Q), integration by parts gives

    sqrt(8) pi^2 f = int_{r_Q}^{R} (-D'(r)) dr/sqrt(Psi(r_Q) - Psi(r)) + D(R)/sqrt(Psi(r_Q) - Psi(R))

which needs no inverse of Psi(r). The difference of potentials under the root is the integral of M/r^2 between the two radii,
taken on the same nodes, so that nothing cancels however deep the black hole makes the potential; radii run as
ln r = ln r_Q + L (1 - cos theta)/2, which removes the root's singularity and that of an edge. f is linear in 1/r_a^2 and
found in two parts, f = f_0 + f_1/r_a^2, which is how the smallest r_a with f >= 0 is known without a search.

References: Eddington 1916, doi:10.1093/mnras/76.7.572; Osipkov 1979, SvAL 5, 42; Merritt 1985, doi:10.1086/113810;
Binney & Tremaine 2008, Galactic Dynamics, section 4.3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.interpolate import CubicSpline, PchipInterpolator

from ...particles.errors import InputError
from .profile import INNERMOST, OUTERMOST, Array, Profile

#: Energies at which f is known, panels of theta for each, and nodes in a panel.
_ENERGIES, _PANELS, _ORDER = 800, 16, 16
#: Where an infinite model ends for the integral, in radii of its table; the boundary term D(R) stands for the rest.
_BEYOND = 1e4
#: f below minus this share of the integral of absolute values is negative by more than round-off.
_ROUND_OFF = 1e-6


@dataclass(frozen=True)
class Potential:
    """The potential of several profiles about one centre, and of a mass at the centre, G = 1.

    Attributes
    ----------
    profiles : the spherical models
    central_mass : mass of the central black hole, or of both of a pair

    """

    profiles: tuple[Profile, ...]
    central_mass: float = 0.0

    def enclosed_mass(self, r: ArrayLike) -> Array:
        """Return the mass inside r, the central one included."""
        return self.central_mass + np.sum([p.enclosed_mass(r) for p in self.profiles], axis=0)

    def density(self, r: ArrayLike) -> Array:
        """Return the density of all profiles."""
        return np.sum([p.density(r) for p in self.profiles], axis=0)

    def depth(self, r: ArrayLike) -> Array:
        """Return Psi = -Phi, positive."""
        return self.central_mass / np.asarray(r, np.float64) - np.sum([p.potential(r) for p in self.profiles], axis=0)


@dataclass(frozen=True)
class DistributionFunction:
    """The phase-space density of one component, tabulated over energy; made by ``invert``.

    Attributes
    ----------
    profile, potential : what it is of, and where
    anisotropy_radius : r_a; infinite where velocities are isotropic
    radius : (k,) rising; the table's radii r_Q
    energy : (k,) Q = Psi(r_Q), falling; (velocity unit)^2 for G = 1
    isotropic, radial : (k,) f_0 and f_1, mass/(length velocity)^3, and that times length^2
    noise : (k,) the sizes below which f_0 and f_1 are zero to round-off, summed

    """

    profile: Profile
    potential: Potential
    anisotropy_radius: float
    radius: Array
    energy: Array
    isotropic: Array
    radial: Array
    noise: tuple[Array, Array]

    @property
    def values(self) -> Array:
        """The table (k,) of f(Q) itself."""
        return self.isotropic + self.radial / self.anisotropy_radius**2

    @property
    def smallest_anisotropy_radius(self) -> float:
        """The smallest r_a for which f is nowhere negative; infinite where the isotropic f already is negative."""
        if (self.isotropic < -self.noise[0]).any():
            return math.inf
        falls = self.radial < -self.noise[1]
        with np.errstate(divide="ignore"):
            ratio = -self.radial[falls] / np.maximum(self.isotropic[falls], 0.0)
        return float(np.sqrt(ratio.max(initial=0.0)))

    @cached_property
    def _logarithm(self) -> Any:
        zero = self.noise[0] + self.noise[1] / self.anisotropy_radius**2
        values = np.maximum(self.values, zero)
        spline = CubicSpline if (self.values > zero).all() else PchipInterpolator  # no ringing where f touches zero
        return spline(np.log(self.energy[::-1]), np.log(values[::-1]))

    @cached_property
    def _tail(self) -> tuple[float, float]:
        """Return the potential at the edge of the model and the exponent of f ~ (Q - edge)^p at the end of the table."""
        edge = 0.0 if math.isinf(self.profile.extent) else float(self.potential.depth(self.profile.extent))
        f, above = self.values[-2:], self.energy[-2:] - edge
        rising = (f > 0.0).all() and (above > 0.0).all() and f[0] > f[1]
        return edge, math.log(f[0] / f[1]) / math.log(above[0] / above[1]) if rising else 1.0

    def __call__(self, energy: ArrayLike) -> Array:
        """Return f(Q); below the table's energies a power law that ends at the edge, above them the last value."""
        Q = np.asarray(energy, np.float64)
        low, high = self.energy[-1], self.energy[0]
        edge, exponent = self._tail
        table = np.exp(self._logarithm(np.log(np.clip(Q, low, high))))
        return table * np.clip((Q - edge) / (low - edge), 0.0, 1.0) ** exponent


def invert(profile: Profile, potential: Potential, anisotropy_radius: float = math.inf) -> DistributionFunction:
    """Return the distribution function of a component; accuracy 1e-8 for closed forms, 1e-6 for tabulated models.

    Raises
    ------
    InputError : no distribution of velocities has this density: f < 0, with the smallest anisotropy radius that would do

    """
    if not anisotropy_radius > 0.0:
        raise InputError(f"anisotropy_radius is {anisotropy_radius:g}; it must be above zero, or infinite for isotropy")
    radius = _radii(profile)
    end = min(profile.extent, _BEYOND * radius[-1])
    parts = _integrals(profile, potential, radius, end)
    scale = 1.0 / (math.sqrt(8.0) * math.pi**2)
    table = DistributionFunction(
        profile, potential, float(anisotropy_radius), radius, potential.depth(radius),
        parts[0] * scale, parts[1] * scale, (parts[2] * scale * _ROUND_OFF, parts[3] * scale * _ROUND_OFF),
    )  # fmt: skip
    _refuse_negative(table)
    return table


def _radii(profile: Profile) -> Array:
    """Return the radii of the table: even in ln r inside, and closing in on the end."""
    first, last = profile.radius_enclosing([INNERMOST, 1.0 - OUTERMOST])
    first, last = math.log(min(first, 1e-3 * profile.scale)), math.log(last)
    s = np.linspace(0.0, 1.0, _ENERGIES)
    return np.exp(first + (last - first) * (1.0 - (1.0 - s) ** 2))


def _integrals(profile: Profile, potential: Potential, radius: Array, end: float) -> tuple[Array, Array, Array, Array]:
    """Return the two parts of sqrt(8) pi^2 f at every radius, and the integrals of their absolute values."""
    nodes, weights = np.polynomial.legendre.leggauss(_ORDER)
    width = math.pi / _PANELS
    theta = (width * (np.arange(_PANELS)[:, None] + 0.5 * (1.0 + nodes))).ravel()
    span = np.log(end / radius)[:, None]
    r = radius[:, None] * np.exp(0.5 * span * (1.0 - np.cos(theta)))
    mass = potential.enclosed_mass(r)
    measure = 0.5 * span * np.sin(theta) * r  # dr/d theta
    difference, whole = _running_integral(measure * mass / r**2, width)
    root = measure * np.tile(weights, _PANELS) * 0.5 * width / np.sqrt(difference)
    edge = np.array([end])
    found = []
    for density, first, second in _augmented(profile, r):
        slope = second * r**2 / mass + first * (2.0 * r / mass - 4.0 * np.pi * potential.density(r) * r**4 / mass**2)
        found.append((density, slope))
    results, sizes = [], []
    for (_, slope), (_, at_edge, _) in zip(found, _augmented(profile, edge), strict=True):
        last = -at_edge * edge**2 / potential.enclosed_mass(edge) / np.sqrt(whole)
        results.append(np.sum(slope * root, axis=1) + last)
        sizes.append(np.sum(np.abs(slope * root), axis=1) + np.abs(last))
    return results[0], results[1], sizes[0], sizes[1]


def _augmented(profile: Profile, r: Array) -> Sequence[tuple[Array, Array, Array]]:
    """Return (value, first, second derivative) of rho, and of r^2 rho."""
    rho, (first, second) = profile.density(r), profile.density_derivatives(r)
    return (
        (rho, first, second),
        (r * r * rho, r * (r * first + 2.0 * rho), r * r * second + 4.0 * r * first + 2.0 * rho),
    )


def _running_integral(values: Array, width: float) -> tuple[Array, Array]:
    """Return the integral from the start to every node (k, nodes), and over everything (k,)."""
    nodes, weights = np.polynomial.legendre.leggauss(_ORDER)
    legendre = np.polynomial.legendre
    # a row of the inverse gives coefficients; integrating Legendre polynomials from -1 gives values at the nodes
    coefficients = np.linalg.inv(legendre.legvander(nodes, _ORDER - 1))
    primitive = np.array([legendre.legval(nodes, legendre.legint(row, lbnd=-1)) for row in np.eye(_ORDER)]).T
    inside = primitive @ coefficients
    panels = values.reshape(len(values), _PANELS, _ORDER) * (0.5 * width)
    whole = panels @ weights
    before = np.cumsum(whole, axis=1) - whole
    return (panels @ inside.T + before[..., None]).reshape(values.shape), whole.sum(axis=1)


def _refuse_negative(table: DistributionFunction) -> None:
    name = type(table.profile).__name__
    if (table.isotropic < -table.noise[0]).any():
        why = "around a black hole the density must rise faster than r^-1/2" if table.potential.central_mass else (
            "its density is too flat for the potential it lies in"
        )  # fmt: skip
        raise InputError(f"{name}: no distribution of velocities is in equilibrium, f(E) < 0; {why}")
    smallest = table.smallest_anisotropy_radius
    if table.anisotropy_radius < smallest:
        raise InputError(
            f"{name}: anisotropy_radius is {table.anisotropy_radius:g}, too small, f(Q) < 0; "
            f"the smallest possible one is {smallest:.4g}"
        )
