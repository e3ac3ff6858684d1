"""What every propagator must do, as functions: the harness that tests of Askel and of packages beside it share.

Each function takes ``make``, which returns a new propagator, and particles that it clones; it returns a number or a
truth value and asserts nothing. ``problem_gravity()`` and friends are small interactions in plain NumPy for such tests.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..particles import Particles
from .carry import pack, unpack
from .interaction import Evaluation
from .loop import Simulation
from .propagator import Change, Outcome, Propagator

FloatArray = NDArray[np.float64]
Make = Callable[[], Propagator]

# ---------------------------------------------------------------------- interactions and states to test with


class ReferenceGravity:
    r"""Newtonian gravity with G = 1 by plain NumPy sums over all pairs, for tests: memory grows as n^2.

    a_i = sum_j m_j r_ij/|r_ij|^3,  jerk_i = sum_j m_j (v_ij/r^3 - 3 (r_ij.v_ij) r_ij/r^5)
    tide_i = sum_j m_j (3 r_ij (x) r_ij/r^5 - 1/r^3)
    """

    provides = frozenset({"acceleration", "jerk", "potential_energy", "tide"})

    def __init__(self, *, velocity_dependent: bool = False) -> None:
        self.velocity_dependent = velocity_dependent  # what it claims, to reach the other branch of a method

    def evaluate(self, particles: Particles, out: Evaluation) -> None:
        """Overwrite all that ``out`` wants."""
        r = particles.position[None] - particles.position[:, None]
        squared = np.einsum("ijk,ijk->ij", r, r)
        np.fill_diagonal(squared, 1.0)
        inverse = 1.0 / np.sqrt(squared)
        np.fill_diagonal(inverse, 0.0)
        weight = particles.mass[None] * inverse**3
        out.acceleration[...] = np.einsum("ij,ijk->ik", weight, r)
        out.potential_energy = -0.5 * float(particles.mass @ inverse @ particles.mass)
        if out.jerk is not None:
            v = particles.velocity[None] - particles.velocity[:, None]
            along = 3.0 * np.einsum("ijk,ijk->ij", r, v) * inverse**2
            out.jerk[...] = np.einsum("ij,ijk->ik", weight, v) - np.einsum("ij,ijk->ik", weight * along, r)
        if out.tide is not None:
            stretch = np.einsum("ij,ijk,ijl->ikl", 3.0 * weight * inverse**2, r, r)
            out.tide[...] = stretch - np.einsum("ij,kl->ikl", weight, np.eye(3))


class HarmonicField:
    """Springs of angular frequency 1 to the origin: a = -x, jerk = -v, for tests with an exact solution."""

    provides = frozenset({"acceleration", "jerk", "potential_energy"})
    velocity_dependent = False

    def evaluate(self, particles: Particles, out: Evaluation) -> None:
        """Overwrite all that ``out`` wants."""
        np.negative(particles.position, out=out.acceleration)
        out.potential_energy = 0.5 * float(
            particles.mass @ np.einsum("ij,ij->i", particles.position, particles.position)
        )
        if out.jerk is not None:
            np.negative(particles.velocity, out=out.jerk)


def kepler(eccentricity: float, *, masses: tuple[float, float] = (0.6, 0.4), time: float = 0.0) -> Particles:
    """Return the two bodies of total mass 1 and semi-major axis 1 (period 2 pi), ``time`` after periastron.

    Kepler's equation E - e sin E = t is solved to rounding; the centre of mass rests at the origin.
    """
    anomaly = math.remainder(time, 2.0 * math.pi)
    mean = anomaly
    anomaly = math.copysign(max(abs(mean), eccentricity), mean) if mean else 0.0
    for _ in range(60):
        change = (anomaly - eccentricity * math.sin(anomaly) - mean) / (1.0 - eccentricity * math.cos(anomaly))
        anomaly -= change
        if abs(change) < 1e-16:
            break
    minor = math.sqrt(1.0 - eccentricity**2)
    cosine, sine = math.cos(anomaly), math.sin(anomaly)
    rate = 1.0 / (1.0 - eccentricity * cosine)
    separation = np.array([cosine - eccentricity, minor * sine, 0.0])
    motion = rate * np.array([-sine, minor * cosine, 0.0])
    share = np.array([-masses[1], masses[0]])[:, None] / sum(masses)
    return Particles(np.array(masses), share * separation, share * motion, time=time)


def three_bodies() -> Particles:
    """Return a hierarchical triple out of plane, with no symmetry left: an inner pair and a third body around it."""
    inner = kepler(0.3, masses=(0.6, 0.4), time=0.7)
    position = np.vstack([inner.position, [4.0, 0.5, 0.3]])
    velocity = np.vstack([inner.velocity, [-0.03, 0.5, 0.1]])
    return Particles([0.6, 0.4, 0.2], position, velocity)


# ---------------------------------------------------------------------- small helpers


def advance_fully(propagator: Propagator, particles: Particles, carry: Any, dt: float) -> Outcome:
    """Advance by dt, going on as long as the outcome is PARTIAL; synchronise; return the outcome."""
    remaining, outcome = dt, Outcome.PARTIAL
    while outcome is Outcome.PARTIAL:
        step = propagator.advance(particles, carry, remaining)
        remaining, outcome = remaining - step.elapsed, step.outcome
    propagator.synchronise(particles, carry)
    return outcome


def evolved(make: Make, particles: Particles, dt: float, steps: int = 1) -> Particles:
    """Return a copy of the particles after ``steps`` advances of dt."""
    state, propagator = particles.clone(), make()
    carry = propagator.start(state)
    for _ in range(steps):
        advance_fully(propagator, state, carry, dt)
    return state


def distance(one: Particles, other: Particles) -> float:
    """Return the largest difference of two states, relative to the size of the second: positions and velocities."""
    out = 0.0
    for name in ("position", "velocity"):
        a, b = getattr(one, name), getattr(other, name)
        out = max(out, float(np.abs(a - b).max() / np.abs(b).max()))
    return out


def same_bits(one: Particles, other: Particles) -> bool:
    """Return whether two states are equal to the last bit, time included."""
    return one.time == other.time and all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("identity", "mass", "position", "velocity")
    )


def same_tree(one: Any, other: Any) -> bool:
    """Return whether two trees of arrays, numbers and strings are equal (NaN equals NaN)."""
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same_tree(one[k], other[k]) for k in one)
    if isinstance(one, str) or one is None:
        return one is other or one == other
    return np.array_equal(np.asarray(one), np.asarray(other), equal_nan=True)


# ---------------------------------------------------------------------- the checks


def measured_order(
    make: Make,
    particles: Particles,
    exact: Particles,
    *,
    finest: float = 1e-11,
    coarsest: float = 1e-3,
    most: int = 1500,
) -> float:
    """Return the order at which the error at ``exact.time`` falls with the step: slope of its last three step counts.

    Parameters
    ----------
    make : Make
    particles, exact : states at the start and at the end
    finest, coarsest : float, errors outside are left out: below is rounding, above is not asymptotic
    most : int, largest number of steps

    """
    duration, counts, errors, n = exact.time - particles.time, [], [], 8
    while n <= most:
        error = distance(evolved(make, particles, duration / n, n), exact)
        if error < finest:
            break
        if error < coarsest:
            counts.append(n)
            errors.append(error)
        n = math.ceil(1.3 * n)
    if len(counts) < 3:
        return math.nan
    slope, _ = np.polyfit(np.log(counts[-3:]), np.log(errors[-3:]), 1)
    return -float(slope)


def reversibility_defect(make: Make, particles: Particles, dt: float, steps: int = 1) -> float:
    """Return how far a run forth and back ends from its start, relative to the size of the system."""
    state, propagator = particles.clone(), make()
    carry = propagator.start(state)
    for sign in (1.0, -1.0):
        for _ in range(steps):
            advance_fully(propagator, state, carry, sign * dt)
    return distance(state, particles)


def zero_step_is_identity(make: Make, particles: Particles, dt: float) -> bool:
    """Return whether an advance by 0, before and after a step of dt, changes no bit of the particles or of what follows.

    The particles may be changed by rounding when a propagator that keeps its own coordinates is synchronised first.
    """
    state, propagator = particles.clone(), make()
    carry = propagator.start(state)
    for _ in range(2):
        propagator.synchronise(state, carry)
        twin, twin_carry = state.clone(), unpack(pack(carry), carry)
        step = propagator.advance(state, carry, 0.0)
        propagator.synchronise(state, carry)
        if step.elapsed != 0.0 or step.outcome is not Outcome.COMPLETED or not same_bits(state, twin):
            return False
        advance_fully(propagator, twin, twin_carry, dt)
        advance_fully(propagator, state, carry, dt)
        if not same_bits(state, twin):
            return False
    return distance(evolved(make, particles, 0.0), particles) < 1e-15


def synchronise_is_harmless(make: Make, particles: Particles, dt: float, steps: int = 3) -> bool:
    """Return whether synchronising twice after every step, or at the end alone, gives the same bits."""
    states = []
    for often in (True, False):
        state, propagator = particles.clone(), make()
        carry = propagator.start(state)
        for _ in range(steps):
            propagator.advance(state, carry, dt)
            if often:
                propagator.synchronise(state, carry)
                propagator.synchronise(state, carry)
        propagator.synchronise(state, carry)
        states.append(state)
    return same_bits(*states)


def lands_exactly(make: Make, particles: Particles, dt: float) -> bool:
    """Return whether an advance by dt, forward and backward, reports dt done and moves the time by it."""
    for signed in (dt, -dt):
        state, propagator = particles.clone(), make()
        step = propagator.advance(state, propagator.start(state), signed)
        if step.outcome is not Outcome.COMPLETED or step.elapsed != signed or state.time != particles.time + signed:
            return False
    return True


def restart_is_bit_equal(
    make: Callable[[], Simulation], first: float, second: float, *, through: Callable[[dict], dict] = dict
) -> bool:
    """Return whether running to ``first`` and on to ``second`` equals the same with a checkpoint and a new object between.

    Particles, time, carry and energy account are compared to the last bit.

    Parameters
    ----------
    make : returns a new simulation, every time the same
    first, second : float, times to run to
    through : what the checkpoint's tree goes through, such as writing to a file and reading

    """
    unbroken = make()
    unbroken.run(first)
    broken = make()
    broken.run(first)
    tree = through(broken.state_dict())
    resumed = make()
    resumed.load_state_dict(tree)
    unbroken.run(second)
    resumed.run(second)
    return same_bits(unbroken.particles, resumed.particles) and same_tree(unbroken.state_dict(), resumed.state_dict())


def time_translation_defect(make: Make, particles: Particles, dt: float, shift: float, steps: int = 3) -> float:
    """Return how much the motion depends on the number on the clock (0 for forces without explicit time)."""
    later = particles.clone()
    later.time += shift
    return distance(evolved(make, later, dt, steps), evolved(make, particles, dt, steps))


def permutation_defect(make: Make, particles: Particles, dt: float, order: Sequence[int], steps: int = 3) -> float:
    """Return how much the motion depends on the order of the particles."""
    rows = np.asarray(order)
    one = evolved(make, particles.select(rows), dt, steps)
    return distance(one, evolved(make, particles, dt, steps).select(rows))


def rotation_defect(make: Make, particles: Particles, dt: float, rotation: FloatArray, steps: int = 3) -> float:
    """Return how much the motion depends on the axes; ``rotation`` is an orthogonal (3, 3) matrix."""

    def turned(state: Particles) -> Particles:
        out = state.clone()
        out.position[...] = state.position @ rotation.T
        out.velocity[...] = state.velocity @ rotation.T
        return out

    return distance(evolved(make, turned(particles), dt, steps), turned(evolved(make, particles, dt, steps)))


def translation_defect(
    make: Make, particles: Particles, dt: float, shift: FloatArray, boost: FloatArray, steps: int = 3
) -> float:
    """Return how much the motion depends on origin and rest frame: ``shift`` (3,) of positions, ``boost`` (3,)."""
    moved = particles.clone()
    moved.position += shift
    moved.velocity += boost
    moved = evolved(make, moved, dt, steps)
    moved.position -= shift + boost * (moved.time - particles.time)
    moved.velocity -= boost
    return distance(moved, evolved(make, particles, dt, steps))


def membership_defect(make: Make, particles: Particles, dt: float, keep: Sequence[int]) -> float:
    """Return how far a run whose particles are reduced to ``keep`` half-way ends from one started anew there."""
    state, propagator = particles.clone(), make()
    carry = propagator.start(state)
    advance_fully(propagator, state, carry, dt)
    kept = np.asarray(keep, dtype=np.int64)
    state.replace_with(state.select(kept))
    fresh = evolved(make, state, dt)
    carry = propagator.membership_changed(state, carry, Change(kept))
    advance_fully(propagator, state, carry, dt)
    return distance(state, fresh)
