"""What a close encounter leaves: black-hole mergers, tidal disruptions and captures, collisions of stars.

The propagator finds the event; this resolver decides, the run loop changes the membership. The body that goes on is the
heavier progenitor: it keeps its identity and its row, the other identity is never used again.

| event | outcome |
|---|---|
| merger | two black holes become one, with mass, spin and recoil of a published fit (``askel.nbody.remnant``) |
| tidal-disruption | the star is gone; the hole takes ``accreted_fraction`` of it (half: Rees 1988, doi:10.1038/333523a0) |
| capture | the same with all of the star: it would be disrupted only inside the merger distance |
| collision | two stars become one: mass and momentum kept, volumes added |
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..integrators import Change, Event
from ..integrators.events import Resolution, Row
from ..particles import KINDS, InputError, Particles
from .post_newtonian import integrals, parse_terms
from .remnant import FITS, merger_remnant

_BLACK_HOLE = KINDS["black-hole"]


class Mergers:
    """Resolver of mergers, disruptions, captures and collisions.

    Parameters
    ----------
    fit : name of the remnant fit
    post_newtonian : names of the terms of the run: the remnant moves with the centre of mass that these conserve
    accreted_fraction : share of a disrupted star that the hole takes, 0 to 1
    stop_after : the run ends after this many events; None: it goes on

    Raises
    ------
    InputError : unknown fit, fraction out of range

    """

    def __init__(
        self,
        *,
        fit: str = "zlochower-lousto-2015",
        post_newtonian: Sequence[str] = (),
        accreted_fraction: float = 0.5,
        stop_after: int | None = None,
    ) -> None:
        if fit not in FITS:
            raise InputError(f"unknown remnant fit {fit!r}; known: {', '.join(FITS)}")
        if not 0.0 <= accreted_fraction <= 1.0:
            raise InputError(f"accreted_fraction is {accreted_fraction:g}; expected 0 to 1")
        self.terms = parse_terms(post_newtonian)
        self.fit, self.accreted_fraction, self.stop_after = fit, accreted_fraction, stop_after
        self._resolvers: dict[str, Callable[[Particles, int, int], tuple[Particles, Row]]] = {
            "merger": self._merge_holes,
            "tidal-disruption": self._disrupt,
            "capture": self._capture,
            "collision": self._merge_stars,
        }

    def resolve(self, particles: Particles, event: Event) -> Resolution:
        """Return the state after the event, how its rows follow from the old ones, and a row for the event log."""
        a, b = (int(np.flatnonzero(particles.identity == i)[0]) for i in event.identities)
        light, heavy = sorted((a, b), key=lambda i: (particles.mass[i], -particles.identity[i]))
        if particles.is_kind(_BLACK_HOLE)[light] and not particles.is_kind(_BLACK_HOLE)[heavy]:
            heavy, light = light, heavy  # a hole survives a heavier star
        row: Row = {
            "identity_1": int(particles.identity[heavy]),
            "identity_2": int(particles.identity[light]),
            "mass_1": float(particles.mass[heavy]),
            "mass_2": float(particles.mass[light]),
            **event.data,
        }
        after, outcome = self._resolvers[event.kind](particles, heavy, light)
        kept = np.delete(np.arange(particles.n), light)
        row |= outcome
        for axis, value in zip("xyz", after.position[heavy], strict=True):
            row[f"position_{axis}"] = float(value)
        for axis, value in zip("xyz", after.velocity[heavy], strict=True):
            row[f"velocity_{axis}"] = float(value)
        change = Change(kept, (int(particles.identity[heavy]),))
        return Resolution(after.select(kept), change, row, stop=self.stop_after is not None and self._count_down())

    def _count_down(self) -> bool:
        assert self.stop_after is not None
        self.stop_after -= 1
        return self.stop_after <= 0

    def _merge_holes(self, particles: Particles, heavy: int, light: int) -> tuple[Particles, Row]:
        pair = [heavy, light]
        units = particles.units
        light_speed = units.speed_of_light
        if light_speed is None:
            raise InputError(f"black-hole mergers need a speed of light, which {units.name!r} units lack")
        constant = units.gravitational_constant
        spin = particles.spin[pair] if particles.spin is not None else np.zeros((2, 3))
        remnant = merger_remnant(
            particles.mass[pair], particles.position[pair], particles.velocity[pair], spin, G=constant, c=light_speed,
            fit=self.fit,
        )  # fmt: skip
        after = _with_spin(particles)
        assert after.spin is not None
        frame = particles.centre_of_mass()[1]  # post-Newtonian momentum belongs to the frame of the whole system
        whole = integrals(
            self.terms, particles.mass[pair], particles.position[pair], particles.velocity[pair] - frame, spin,
            G=constant, c=light_speed,
        )  # fmt: skip
        after.mass[heavy] = remnant.mass
        after.position[heavy] = whole.centre_of_mass
        after.velocity[heavy] = whole.centre_of_mass_velocity + frame + remnant.kick
        after.spin[heavy] = remnant.spin
        chi = light_speed / constant * np.linalg.norm(spin, axis=1) / particles.mass[pair] ** 2
        return after, {
            "chi_1": float(chi[0]),
            "chi_2": float(chi[1]),
            "mass": remnant.mass,
            "chi": float(light_speed / constant * np.linalg.norm(remnant.spin) / remnant.mass**2),
            "kick": float(np.linalg.norm(remnant.kick)),
            "radiated_fraction": float(1.0 - remnant.mass / particles.mass[pair].sum()),
            "fit": remnant.fit,
        }

    def _disrupt(self, particles: Particles, hole: int, star: int) -> tuple[Particles, Row]:
        return self._accrete(particles, hole, star, self.accreted_fraction)

    def _capture(self, particles: Particles, hole: int, star: int) -> tuple[Particles, Row]:
        return self._accrete(particles, hole, star, 1.0)

    def _accrete(self, particles: Particles, hole: int, star: int, share: float) -> tuple[Particles, Row]:
        after = particles.clone()
        _unite(after, particles, hole, star, share)
        return after, {"mass": float(after.mass[hole]), "accreted_fraction": share}

    def _merge_stars(self, particles: Particles, heavy: int, light: int) -> tuple[Particles, Row]:
        after = particles.clone()
        _unite(after, particles, heavy, light, 1.0)
        if after.radius is not None and particles.radius is not None:
            after.radius[heavy] = np.cbrt(particles.radius[heavy] ** 3 + particles.radius[light] ** 3)
        return after, {"mass": float(after.mass[heavy])}


def _unite(after: Particles, before: Particles, heavy: int, light: int, share: float) -> None:
    """Give the heavy body ``share`` of the light one's mass and momentum, at the centre of mass of what is united."""
    taken = share * before.mass[light]
    total = before.mass[heavy] + taken
    for name in ("position", "velocity"):
        value = getattr(before, name)
        getattr(after, name)[heavy] = (before.mass[heavy] * value[heavy] + taken * value[light]) / total
    after.mass[heavy] = total


def _with_spin(particles: Particles) -> Particles:
    """Return a copy that carries spins."""
    after = particles.clone()
    if after.spin is None:
        after.spin = np.zeros((particles.n, 3))
    return after
