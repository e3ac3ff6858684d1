"""What must hold between the tables of a job, and what a user should be warned of, before anything is written."""

from __future__ import annotations

import contextlib
import inspect
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .integrators import Propagator, PropagatorEntry
from .particles import FIELDS, KINDS, SERIAL, Exchange, InputError, Particles
from .particles.units import LENGTH, TIME
from .tables import OWN_FORCES, Config

#: Terms of [post_newtonian] that need particles that carry spins, and all of them, by name.
SPIN_TERMS = ("SO", "SS", "Q")
TERMS = ("1", "1cross", "2", "2.5", "3", "3.5", *SPIN_TERMS)
#: Below this separation, in 2 G (m1 + m2)/c^2, the post-Newtonian expansion says little.
DOUBTFUL_DISTANCE = 5.0
#: Copies of the state and of its derivatives that a run holds at a time, at most: a rough figure.
_COPIES = 12
_FRAME_OVERHEAD = 100  # bytes of a frame beside the particles


def ranks(config: Config, exchange: Exchange) -> None:
    """Refuse on several ranks what only one can do yet."""
    if exchange.size == 1:
        return
    one = _one_rank(exchange)
    if config.forces is not None and config.forces.reference is not None:
        raise InputError(f"forces.reference = {config.forces.reference!r}: a calculator of ASE {one}")
    control = config.error_control
    if control is None:
        return
    if control.fallback not in (None, OWN_FORCES):
        raise InputError(f"error_control.fallback = {control.fallback!r}: a calculator of ASE {one}")
    if control.region is not None:
        raise InputError(f"error_control.region: a region that is redone among the paths of the others {one}")


def shared_method(config: Config, factory: Any, exchange: Exchange) -> None:
    """Refuse on several ranks a propagator that knows nothing of them."""
    if exchange.size == 1:
        return
    parameters, settings = inspect.signature(factory).parameters, config.integrator
    if "exchange" not in parameters:
        raise InputError(f"integrator.kind = {settings.kind!r}: {_one_rank(exchange)}")
    if settings.tolerance is not None and "tolerance" not in parameters:
        raise InputError(f"integrator.tolerance: doubling of steps {_one_rank(exchange)}")


def _one_rank(exchange: Exchange) -> str:
    return f"runs on one rank, and {exchange.size} were started; start it without mpiexec"


def masses(particles: Particles) -> None:
    """Refuse massless particles where nothing has a mass, and no particles at all."""
    some(particles.n)
    particles.check()


def some(n: int) -> None:
    """Refuse no particles at all."""
    if n == 0:
        raise InputError("there are no particles; give at least one")


def post_newtonian(config: Config, particles: Particles, exchange: Exchange = SERIAL) -> None:
    """Refuse terms that are unknown, cannot be computed, or act on nothing (in what all ranks have)."""
    table = config.post_newtonian
    if table is None:
        return
    for term in table.terms:
        if term not in TERMS:
            raise InputError(f"post_newtonian.terms: no term {term!r}; known: {', '.join(TERMS)}")
    if len(set(table.terms)) < len(table.terms):
        raise InputError(f"post_newtonian.terms = {list(table.terms)}: a term is named twice; name each once")
    if not table.terms:
        return
    light = _light(particles, "post-Newtonian terms are corrections in v/c")
    holes = int(exchange.reduce(particles.is_kind(KINDS["black-hole"]).sum(), "sum"))
    n = int(exchange.reduce(particles.n, "sum"))
    if holes < 2 and (table.pairs == "black-hole" or holes == 0):
        raise InputError(
            f"post_newtonian: no pair to act on, {holes} of {n} bodies are black holes; set their kind, "
            "or pairs = 'all'"
        )
    fastest = float(np.sqrt(np.max(np.sum(particles.velocity**2, axis=1), initial=0.0)))
    speed = exchange.reduce(fastest, "max")
    if speed >= light:
        raise InputError(f"a body moves at {speed:g}, faster than light ({light:g} in {particles.units.name!r} units)")


def _light(particles: Particles, why: str) -> float:
    light = particles.units.speed_of_light
    if light is None:
        raise InputError(
            f"{why}, and 'nbody' units have no physical scale, so no speed of light; give [units] speed_of_light, "
            "or length and mass"
        )
    return light


def mergers(config: Config, particles: Particles) -> None:
    """Refuse mergers without a speed of light."""
    if config.mergers is not None:
        _light(particles, "mergers.distance is in units of 2 G (m1 + m2)/c^2")


def softening(config: Config, particles: Particles) -> None:
    """Refuse a negative softening length."""
    length = particles.units.read(config.gravity.softening, LENGTH)
    if length < 0.0:
        raise InputError(f"gravity.softening = {length:g}: must be zero or positive")


def newtonian_kind(config: Config, entry: PropagatorEntry, taken: Mapping[str, Any]) -> None:
    """Refuse forces that a propagator with its own forces does not have; ``taken`` are the arguments it takes."""
    if config.gravity.kind != "direct":
        raise InputError(f"gravity.kind = {config.gravity.kind!r}: {entry.kind!r} sums all pairs; use 'direct'")
    if config.gravity.kernel != "plummer":
        raise InputError(
            f"gravity.kernel = {config.gravity.kernel!r}: {entry.kind!r} softens by 'plummer' alone; remove it"
        )
    if config.gravity.precision != "double":
        raise InputError(
            f"gravity.precision = {config.gravity.precision!r}: {entry.kind!r} is in double precision; remove it"
        )
    if config.gravity.backend != "cpu" and "backend" not in taken:
        raise InputError(f"gravity.backend = {config.gravity.backend!r}: {entry.kind!r} runs on the CPU; remove it")
    if config.gravity.softening not in (0, 0.0) and config.gravity.star_star != "softened":
        raise InputError(
            "gravity.softening is not zero, but nothing is softened: add star_star = 'softened' or remove it"
        )


def interaction_kind(config: Config, entry: PropagatorEntry, taken: Mapping[str, Any]) -> None:
    """Refuse tables that a propagator for any interaction cannot serve; ``taken`` are those arguments it has."""
    hint = f"{entry.kind!r} has none; use [integrator] kind = 'chain', or 'regions' for many stars"
    if config.post_newtonian is not None and config.post_newtonian.terms and "post_newtonian" not in taken:
        raise InputError(f"post_newtonian: velocity-dependent terms need a method made for them, {hint}")
    if config.mergers is not None and "merger_distance" not in taken:
        raise InputError(f"mergers: events must be located inside a step, {hint}")


def memory(particles: Particles) -> None:
    """Refuse a state that does not fit into memory."""
    need, there = memory_estimate(particles), available_memory()
    if need > there:
        raise InputError(
            f"{particles.n} particles need about {need / 2**30:.1f} GiB and {there / 2**30:.1f} GiB are available; "
            "use fewer particles, or more ranks"
        )


def memory_estimate(particles: Particles) -> int:
    """Return a rough number of bytes that a run over this state needs."""
    row = sum(f.dtype.itemsize * int(np.prod(f.shape)) for f in FIELDS.values() if f.scope == "particle")
    return particles.n * row * _COPIES


def available_memory() -> int:
    """Return the bytes of memory of this machine or container that are free; a very large number where unknown."""
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        table = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        free = max(free, int(table["MemAvailable"].split()[0]) * 1024)
    except (OSError, ValueError, KeyError, AttributeError):
        return 2**62
    with contextlib.suppress(OSError, ValueError):
        free = min(free, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return free


def output_bytes(particles: Particles, frames: float, rows: float, n: int) -> float:
    """Return a rough size of the trajectory of ``n`` particles such as these."""
    row = sum(f.dtype.itemsize * int(np.prod(f.shape)) for f in particles.present() if f.scope == "particle")
    return frames * (n * row + _FRAME_OVERHEAD) + rows * 48.0


def output_size(particles: Particles, frames: float, rows: float, n: int) -> None:
    """Refuse a trajectory that cannot fit on the disk."""
    need, there = output_bytes(particles, frames, rows, n), shutil.disk_usage(Path.cwd()).free
    if need > there:
        raise InputError(
            f"output.every asks for {frames:.3g} frames, about {need / 2**30:.3g} GiB, and {there / 2**30:.3g} GiB "
            "are free: make every (and series_every) larger"
        )


def warnings(config: Config, particles: Particles, propagator: Propagator, times: Mapping[str, float]) -> Iterator[str]:
    """Yield lines a user should read: legal, and probably not what was meant."""
    table, terms = config.mergers, config.post_newtonian
    if table is not None and table.distance < DOUBTFUL_DISTANCE:
        yield f"mergers.distance = {table.distance:g}: below {DOUBTFUL_DISTANCE:g} the post-Newtonian expansion fails"
    if terms is not None and set(terms.terms) & set(SPIN_TERMS) and not np.any(particles.spin):
        yield "post_newtonian.terms has spin terms, and no body has a spin"
    if terms is not None and "2.5" in terms.terms and table is None:
        yield "black holes lose energy and nothing lets them merge; add [mergers], or the run may stall at contact"
    limit = propagator.capabilities.largest_group
    if limit is not None and particles.n > limit:
        yield f"{particles.n} particles: {config.integrator.kind!r} is meant for at most {limit}"
    every = times["every"]
    step = config.integrator.step
    if step is not None and particles.units.read(step, TIME) > every:
        yield f"output.every = {every:g} is shorter than integrator.step; there is one frame a step"
