r"""Encounters drawn from distributions: binary-single, binary-binary, two bodies, triples; each from its number and the seed.

The target (the first part) and the projectile (the second) start on the hyperbola of their centres of mass

    a_h = G M / v^2,   e_h = sqrt(1 + b^2 v^4 / (G M)^2),   r_0 = separation at the start, incoming

in the plane z = 0, with isotropic orientations of their own orbits and even phases. The centre of mass rests in the origin.

| symbol | name | unit |
|---|---|---|
| v | `velocity` at infinity | velocity, or v_c if scaled |
| b | `impact_parameter` | length, or semi-major axes if scaled |
| r_0 | `separation` | length, or semi-major axes if scaled |
| v_c | critical velocity: total energy zero, v_c^2 = 2 \|E_bound\| / mu, mu the reduced mass of the parts | velocity |

"Scaled" lengths are in units of the sum of the semi-major axes of both parts (Hut & Bahcall 1983, doi:10.1086/160956).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..particles import InputError
from ..particles.noise import Purpose, uniform
from .scattering_distributions import Distribution, FloatArray, fixed
from .scattering_orbits import mean_to_eccentric, orbit_state, rotations

IntArray = NDArray[np.int64]

#: Columns of noise for each parameter's stream; a part has 64 streams.
_STREAMS_OF_A_PART = 64
_ENCOUNTER_STREAM = 1024


@dataclass(frozen=True, slots=True)
class Body:
    """One body: mass, radius and dimensionless spin c S / (G m^2) as distributions; spins point anywhere."""

    mass: Distribution
    radius: Distribution = field(default_factory=lambda: fixed(0.0))
    spin: Distribution = field(default_factory=lambda: fixed(0.0))
    black_hole: bool = False


@dataclass(frozen=True, slots=True)
class Orbit:
    """Semi-major axis and eccentricity of an orbit; its inclination to the inner one ("sine": isotropic) for outer orbits."""

    semi_major_axis: Distribution
    eccentricity: Distribution = field(default_factory=lambda: fixed(0.0))
    inclination: Distribution = field(default_factory=lambda: Distribution("sine"))


@dataclass(frozen=True, slots=True)
class Part:
    """What comes in one piece: one body, a binary (one orbit) or a triple (two: inner, outer), bodies in this order."""

    bodies: tuple[Body, ...]
    orbits: tuple[Orbit, ...] = ()

    def __post_init__(self) -> None:
        """Check the numbers."""
        if not 1 <= len(self.bodies) <= 3 or len(self.orbits) != len(self.bodies) - 1:
            raise InputError(
                f"a part of {len(self.bodies)} bodies with {len(self.orbits)} orbits; expected 1 to 3, and one orbit less"
            )


@dataclass(frozen=True, slots=True)
class Approach:
    """How the second part comes to the first one.

    Attributes
    ----------
    velocity : at infinity
    impact_parameter : or None
    periastron : None, or the largest periastron of the hyperbola: b is even over the area inside
    separation : at the start; None: where tides are 1e-5 of binding forces, and five times b
    scaled : see the module

    """

    velocity: Distribution
    impact_parameter: Distribution | None = None
    periastron: float | None = None
    separation: float | None = None
    scaled: bool = False

    def __post_init__(self) -> None:
        """Check that there is one way to b."""
        if (self.impact_parameter is None) == (self.periastron is None):
            raise InputError("an encounter needs one of impact_parameter and periastron")
        for name in ("periastron", "separation"):
            value = getattr(self, name)
            if value is not None and not value > 0.0:
                raise InputError(f"{name} is {value:g}; expected a positive number")


@dataclass(frozen=True, slots=True)
class Sample:
    """Encounters at their start.

    Attributes
    ----------
    mass, radius : (k, n);  position, velocity, spin : (k, n, 3);  black_hole : (n,) bool
    drawn : name -> (k,) what was drawn, and what follows: v_c, b_max

    """

    mass: FloatArray
    position: FloatArray
    velocity: FloatArray
    radius: FloatArray
    spin: FloatArray
    black_hole: NDArray[np.bool_]
    drawn: Mapping[str, FloatArray]


@dataclass(frozen=True, slots=True)
class Scattering:
    """An experiment: parts, how they meet, and the seed.

    Attributes
    ----------
    parts : one (a triple, or a binary, left alone) or two
    approach : of the second part to the first; None with one part
    seed : 0 ... 2^64 - 1
    G, c : constants in the units used; c None without a speed of light

    Raises InputError for parts and approach that do not belong together, or spins without c.

    """

    parts: tuple[Part, ...]
    approach: Approach | None
    seed: int = 0
    G: float = 1.0
    c: float | None = None

    def __post_init__(self) -> None:
        """Check what belongs together."""
        if len(self.parts) not in (1, 2) or (len(self.parts) == 2) != (self.approach is not None):
            raise InputError(f"{len(self.parts)} parts; expected two and an approach, or one and none")
        if self.n < 2:
            raise InputError("one body alone; expected at least two")
        if self.c is None and any(b.spin != fixed(0.0) for p in self.parts for b in p.bodies):
            raise InputError("dimensionless spins need a speed of light; give speed_of_light, or units with a scale")

    @property
    def n(self) -> int:
        """Number of bodies."""
        return sum(len(part.bodies) for part in self.parts)

    @property
    def kind(self) -> str:
        """What meets what, such as "binary-single"."""
        return "-".join(("single", "binary", "triple")[len(part.orbits)] for part in self.parts)

    @property
    def initial_tops(self) -> IntArray:
        """(n,) the first body of the part that each body starts in."""
        sizes = [len(part.bodies) for part in self.parts]
        return np.repeat(np.cumsum([0, *sizes[:-1]]), sizes)

    def sample(self, encounter: IntArray) -> Sample:
        """Return encounters by their numbers (k,).

        Raises
        ------
        InputError : values drawn that cannot be (masses not positive, eccentricities outside [0, 1), starts inside periastron)

        """
        draw = _Draw(self.seed, np.asarray(encounter, dtype=np.int64))
        pieces = [_part(part, draw, p, self.G, self.c) for p, part in enumerate(self.parts)]
        drawn: dict[str, FloatArray] = {}
        for piece in pieces:
            drawn |= piece.drawn
        offsets = [(np.zeros((len(draw.encounter), 3)),) * 2]
        if self.approach is not None:
            offsets = _approach(self.approach, draw, pieces, self.G, drawn)
        joined = {
            name: np.concatenate([getattr(piece, name) for piece in pieces], axis=1)
            for name in ("mass", "radius", "spin", "position", "velocity")
        }
        sizes = [piece.mass.shape[1] for piece in pieces]
        for state, which in (("position", 0), ("velocity", 1)):
            joined[state] += np.concatenate(
                [np.repeat(o[which][:, None], size, axis=1) for o, size in zip(offsets, sizes, strict=True)], axis=1
            )
            centre = np.einsum("kn,knd->kd", joined["mass"], joined[state]) / joined["mass"].sum(axis=1)[:, None]
            joined[state] -= centre[:, None]
        holes = np.array([body.black_hole for part in self.parts for body in part.bodies])
        return Sample(black_hole=holes, drawn=drawn, **joined)


class _Draw:
    """Draws numbers for encounters; a stream has one purpose."""

    def __init__(self, seed: int, encounter: IntArray) -> None:
        self.seed, self.encounter = seed, encounter

    def uniform(self, stream: int, columns: int = 1) -> FloatArray:
        return uniform(self.seed, Purpose.ENCOUNTER, stream, self.encounter, columns)

    def __call__(self, distribution: Distribution, stream: int) -> FloatArray:
        return distribution(self.uniform(stream)[:, 0])


@dataclass(slots=True)
class _Piece:
    """A part about its own centre of mass: arrays as in ``Sample``, binding energy, extent and sum of semi-major axes."""

    mass: FloatArray
    radius: FloatArray
    spin: FloatArray
    position: FloatArray
    velocity: FloatArray
    drawn: dict[str, FloatArray]
    binding: FloatArray
    axes: FloatArray
    extent: FloatArray


def _part(part: Part, draw: _Draw, p: int, G: float, c: float | None) -> _Piece:
    k, n, first = len(draw.encounter), len(part.bodies), p * _STREAMS_OF_A_PART
    name = "ab"[p]
    drawn: dict[str, FloatArray] = {}
    mass, radius, spin = np.empty((k, n)), np.empty((k, n)), np.zeros((k, n, 3))
    for i, body in enumerate(part.bodies):
        mass[:, i] = _positive(draw(body.mass, first + 8 * i), "mass")
        radius[:, i] = draw(body.radius, first + 8 * i + 1)
        chi = draw(body.spin, first + 8 * i + 2)
        if (radius[:, i] < 0.0).any() or not ((chi >= 0.0) & (chi <= 1.0)).all():
            raise InputError("a radius below zero, or a dimensionless spin outside 0 ... 1, was drawn")
        if chi.any() and c is not None:
            u = draw.uniform(first + 8 * i + 3, 2)
            spin[:, i] = (chi * G * mass[:, i] ** 2 / c)[:, None] * _direction(u)
    x, v = np.zeros((k, n, 3)), np.zeros((k, n, 3))
    binding, axes, extent = np.zeros(k), np.zeros(k), np.zeros(k)
    turn = rotations(draw.uniform(first + 32, 3))
    for q, orbit in enumerate(part.orbits):
        a = _positive(draw(orbit.semi_major_axis, first + 40 + 8 * q), "semi-major axis")
        e = draw(orbit.eccentricity, first + 41 + 8 * q)
        if not ((e >= 0.0) & (e < 1.0)).all():
            raise InputError(f"an eccentricity of {e[(e < 0.0) | (e >= 1.0)][0]:g} was drawn; expected 0 <= e < 1")
        inner, outer = mass[:, : q + 1].sum(axis=1), mass[:, q + 1]
        angles = draw.uniform(first + 42 + 8 * q, 3)
        inclination = draw(orbit.inclination, first + 43 + 8 * q) if q else np.zeros(k)
        anomaly = mean_to_eccentric(2.0 * np.pi * angles[:, 0], e)
        r, w = orbit_state(
            G * (inner + outer), a, e, anomaly, 2.0 * np.pi * angles[:, 1], inclination, 2.0 * np.pi * angles[:, 2]
        )
        for state, relative in ((x, r), (v, w)):
            state[:, : q + 1] -= (outer / (inner + outer))[:, None, None] * relative[:, None]
            state[:, q + 1] = (inner / (inner + outer))[:, None] * relative
        binding += G * inner * outer / (2.0 * a)
        axes, extent = a, a * (1.0 + e)  # of the widest orbit
        label = f"_{name}{q + 1}" if len(part.orbits) > 1 else f"_{name}"
        drawn[f"semi_major_axis{label}"], drawn[f"eccentricity{label}"] = a, e
        if q:
            drawn[f"inclination_{name}"] = inclination
    x, v = np.einsum("kij,knj->kni", turn, x), np.einsum("kij,knj->kni", turn, v)
    return _Piece(mass, radius, spin, x, v, drawn, binding, axes, extent)


def _positive(values: FloatArray, what: str) -> FloatArray:
    if not (values > 0.0).all():
        raise InputError(f"a {what} of {values[~(values > 0.0)][0]:g} was drawn; expected positive values")
    return values


def _direction(u: FloatArray) -> FloatArray:
    cosine, angle = 2.0 * u[:, 0] - 1.0, 2.0 * np.pi * u[:, 1]
    sine = np.sqrt(1.0 - cosine**2)
    return np.stack([sine * np.cos(angle), sine * np.sin(angle), cosine], axis=1)


#: Tide at the start, relative to binding forces, when no separation is given.
_STARTING_TIDE = 1e-5


def _approach(
    approach: Approach, draw: _Draw, pieces: list[_Piece], G: float, drawn: dict[str, FloatArray]
) -> list[tuple[FloatArray, FloatArray]]:
    """Return (position, velocity) of the centres of both parts, each (k, 3); fills ``drawn``."""
    m = [piece.mass.sum(axis=1) for piece in pieces]
    total = m[0] + m[1]
    mu, reduced = G * total, m[0] * m[1] / total
    axes = pieces[0].axes + pieces[1].axes
    critical = np.sqrt(2.0 * (pieces[0].binding + pieces[1].binding) / reduced)
    if approach.scaled and not (axes > 0.0).all():
        raise InputError("two single bodies have no scale; give velocity, impact_parameter and separation in units")
    length, speed = (axes, critical) if approach.scaled else (np.ones_like(axes), np.ones_like(axes))
    v = _positive(draw(approach.velocity, _ENCOUNTER_STREAM) * speed, "velocity")
    if approach.impact_parameter is not None:
        b = draw(approach.impact_parameter, _ENCOUNTER_STREAM + 1) * length
        largest = approach.impact_parameter.largest * length
    else:
        assert approach.periastron is not None
        nearest = approach.periastron * length
        largest = nearest * np.sqrt(1.0 + 2.0 * mu / (nearest * v * v))
        b = largest * np.sqrt(draw.uniform(_ENCOUNTER_STREAM + 1)[:, 0])
    if not (b >= 0.0).all():
        raise InputError("an impact parameter below zero was drawn")
    b = np.maximum(b, 1e-12 * largest)  # a head-on orbit has no plane
    if approach.separation is not None:
        start = approach.separation * length
    else:
        if not (axes > 0.0).all():
            raise InputError("two single bodies need a separation at the start; give [encounter] separation")
        ratios = [m[1] / m[0], m[0] / m[1]]
        reach = [p.extent * (2.0 * q / _STARTING_TIDE) ** (1.0 / 3.0) for p, q in zip(pieces, ratios, strict=True)]
        start = np.maximum(np.maximum(*reach), 5.0 * b)
    drawn |= {"velocity": v, "impact_parameter": b, "largest_impact_parameter": largest, "critical_velocity": critical}
    drawn |= {"separation": start, "scale": axes}
    h = b * v
    e = np.sqrt(1.0 + (h * v / mu) ** 2)
    p = h * h / mu
    if not (start > p / (1.0 + e)).all():
        raise InputError("an encounter would start inside its periastron; give a larger separation")
    true = -np.arccos(np.clip((p / start - 1.0) / e, -1.0, 1.0))
    zero = np.zeros_like(true)
    r = start[:, None] * np.stack([np.cos(true), np.sin(true), zero], axis=1)
    w = (mu / h)[:, None] * np.stack([-np.sin(true), e + np.cos(true), zero], axis=1)
    shares = (-m[1] / total)[:, None], (m[0] / total)[:, None]
    return [(shares[0] * r, shares[0] * w), (shares[1] * r, shares[1] * w)]
