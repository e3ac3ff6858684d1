"""Long-stride molecular dynamics as an ASE dynamics: strides of a network, thermostats around them, no force calls."""

from __future__ import annotations

import time as clock
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from ase.md.logger import MDLogger
from ase.md.md import MolecularDynamics

from ..equivariant.model_file import Model
from ..integrators import Outcome
from ..integrators.carry import pack, unpack
from ..particles import InputError, NumericalFailure
from ..particles.io_checkpoint import read_checkpoint, write_checkpoint
from .ase_atoms_view import AtomsView
from .ase_baths import conserved_with, target_of
from .ase_logging import LoggedAtoms
from .ase_stride_parts import StrideOptions, seed_of
from .estimator import Estimator
from .fallback import Fallback
from .layers import Layer
from .stride import LearnedStride, StrideEngine
from .stride_report import StrideReport, StrideWatch

_KIND = "askel-long-stride"


class LongStride(MolecularDynamics):
    """Molecular dynamics by a network that maps positions and velocities to those a long stride later.

    | option | meaning | default |
    |---|---|---|
    | ``atoms`` | ase.Atoms without constraints; positions and momenta are overwritten, nothing else | |
    | ``timestep`` | one of the model's strides, in ASE's unit of time (``7 * ase.units.fs``) | its longest |
    | ``model`` | name of a shipped model, path, ``Model``, or an engine | |
    | ``temperature_K`` | K, of the thermostat; alone it means Langevin, the safe choice: it mends equipartition | none: NVE |
    | ``thermostat`` | "langevin", "bussi", "nose-hoover", "npt" (Langevin with ``pressure_au``), or a layer | |
    | ``friction`` | Langevin, 1/time | 1/(10 strides) |
    | ``taut``; ``tdamp``, ``tchain``, ``tloop`` | Bussi, time; Nose-Hoover chain: time, length, substeps | 10 strides; 3; 1 |
    | ``pressure_au`` | eV/Angstrom^3: constant pressure, by stochastic cell rescaling around the thermostat | constant cell |
    | ``taup``, ``compressibility_au`` | of the barostat: time, Angstrom^3/eV (needed: sets its speed alone) | 100 strides |
    | ``coupling``, ``pressure_interval`` | "isotropic" or "axes"; strides from one rescaling to the next | "isotropic", 10 |
    | ``tolerance`` | error control (``askel.md.ErrorControlled``): multiples of a typical defect that are accepted | 3, if any |
    | ``fallback`` | of error control: calculator, forces for what is refused, energies against drift; or a ``Fallback`` | none |
    | ``estimators`` | of error control | doubling or reversibility, and the range of the training data where the card has it |
    | ``trajectory``, ``logfile``, ``loginterval``, ``append_trajectory`` | as of every ASE dynamics | |
    | ``rng`` | seed (int), or a NumPy generator that one is drawn from; ``.seed`` says which it became | fresh |
    | ``energy_interval`` | strides between two energies asked of ``atoms.calc`` for the energy defect in ``report()`` | never |
    | ``precision`` | "float32" or "float64", of the network; positions and momenta are float64 always | "float32" |
    | ``backend`` | "cpu", or "cuda": the network on a GPU (needs ``askel[cuda]`` and a torch built for CUDA) | "cpu" |

    No step asks for forces, whatever calculator the atoms have; the barostat, the fallback and ``energy_interval`` do, and
    so does a logger's energy column (nan without a calculator). What the user does to the atoms between two steps (momenta,
    positions, wrapping, masses, species, cell) is noticed and taken up, once the model has agreed to it.

    ``report()`` gives temperature per species, momentum and energy defect; a run ends with a warning when a species is off
    by more than 2 % and four standard errors after 200 strides or more. ``save_state``, ``load_state``: bit-equal restart.

    Raises
    ------
    InputError : no such model, a damaged, foreign or newer one; species or masses it was not made for; a timestep that is
        none of its strides; constraints, values that are not finite, atoms closer than 0.4 Angstrom, a periodic direction
        without a cell vector; options that do not fit together. In a run: all momenta zero, atoms added or removed.
        Not refused: cells smaller than the cutoff (all images count).
    NumericalFailure : in a run, a stride that cannot be done; the atoms are then in the state before it

    """

    def __init__(
        self,
        atoms: Atoms,
        timestep: float | None = None,
        *,
        model: str | Path | Model | StrideEngine | LearnedStride,
        temperature_K: float | None = None,
        thermostat: str | Layer | None = None,
        friction: float | None = None,
        taut: float | None = None,
        tdamp: float | None = None,
        tchain: int | None = None,
        tloop: int | None = None,
        pressure_au: float | None = None,
        taup: float | None = None,
        compressibility_au: float | None = None,
        coupling: str | None = None,
        pressure_interval: int | None = None,
        fallback: BaseCalculator | Fallback | None = None,
        tolerance: float | None = None,
        estimators: Sequence[Estimator] | None = None,
        trajectory: Any = None,
        logfile: IO | str | Path | None = None,
        loginterval: int = 1,
        append_trajectory: bool = False,
        rng: Any = None,
        energy_interval: int | None = None,
        precision: str = "float32",
        backend: str = "cpu",
    ) -> None:
        if not isinstance(atoms, Atoms):
            raise InputError(f"LongStride got {type(atoms).__name__}; expected ase.Atoms (filters are not supported)")
        if energy_interval is not None and energy_interval < 1:
            raise InputError(f"energy_interval is {energy_interval}; expected a whole number of strides, 1 or more")
        self._options = StrideOptions.of(
            model,
            timestep,
            precision,
            backend,
            thermostat=thermostat,
            temperature_K=temperature_K,
            thermostat_options={"friction": friction, "taut": taut, "tdamp": tdamp, "tchain": tchain, "tloop": tloop},
            pressure={
                "pressure_au": pressure_au,
                "taup": taup,
                "compressibility_au": compressibility_au,
                "coupling": coupling,
                "pressure_interval": pressure_interval,
            },
            fallback=fallback,
            tolerance=tolerance,
            estimators=estimators,
        )
        stride = self._options.stride
        self.model, self.energy_interval = stride.name, energy_interval
        self._view = AtomsView(atoms, stride)
        self._assemble(atoms, seed_of(rng))
        self.reset_report()
        for line in stride.notes(self._view.particles):
            warnings.warn(line, stacklevel=2)
        super().__init__(
            atoms,
            self._options.timestep,
            trajectory,
            str(logfile) if isinstance(logfile, Path) else logfile,
            loginterval,
            append_trajectory=append_trajectory,
        )

    def _assemble(self, atoms: Atoms, seed: int) -> None:
        self.seed = seed
        self.propagator, self.thermostat = self._options.assemble(atoms, seed)
        self._carry: Any = None

    # ------------------------------------------------------------------ running

    def irun(self, steps: int = 50) -> Iterator[bool]:
        """Run so many strides, as a generator; True once they are done.

        Observers see the start (once in the life of a dynamics) and every stride, as of any ASE dynamics. No forces are
        asked for.
        """
        self.max_steps = self.nsteps + steps
        self._take_up()
        if self.nsteps == 0:
            self._measure()
            self.log()
            self.call_observers()
        yield self.nsteps == self.max_steps
        while self.nsteps < self.max_steps:
            self.step()
            self.nsteps += 1
            self._measure()
            self.log()
            self.call_observers()
            if self.nsteps == self.max_steps:
                self._warn()
            yield self.nsteps == self.max_steps

    def run(self, steps: int = 50) -> bool:
        """Run so many strides; return True when they are done."""
        for _ in self.irun(steps):
            pass
        return self.nsteps >= self.max_steps

    def step(self) -> None:
        """Do one stride: atoms to particles, thermostat, network, thermostat, particles to atoms."""
        self._take_up()
        view, started = self._view, clock.perf_counter()
        try:
            done = self.propagator.advance(view.particles, self._carry, self.dt)
        except BaseException:
            view.roll_back()
            raise
        finite = np.isfinite(view.particles.position) & np.isfinite(view.particles.velocity)
        outcome = done.outcome if finite.all() else Outcome.NOT_FINITE
        if outcome is not Outcome.COMPLETED:
            view.roll_back()
            raise NumericalFailure(
                f"{outcome.value}; the atoms are as they were before this stride",
                time=self.get_time(),
                step=self.nsteps,
                identities=done.identities,
            )
        view.hand_over()
        self._watch.stride(
            view.particles, done.work, done.statistics, time=done.elapsed, wall_time=clock.perf_counter() - started
        )

    def _take_up(self) -> None:
        """Take up what the user did to the atoms, and begin where nothing has begun."""
        view = self._view
        changed = view.take_up()
        if self._carry is None:
            self._carry = self.propagator.start(view.particles)
        elif changed:
            self._carry = self.propagator.membership_changed(view.particles, self._carry, view.everything)
        if changed & {"numbers", "masses", "cell", "pbc"}:
            self.reset_report()
        if changed or not self._watch.begun:
            self._watch.disturbed(view.particles)

    def attach(self, function: Any, interval: int = 1, *args: Any, **kwargs: Any) -> None:
        """Attach an observer, as to any ASE dynamics; an MDLogger writes nan while no calculator gives an energy."""
        if isinstance(function, MDLogger):
            logger: Any = function
            logger.atoms = LoggedAtoms(logger.atoms)
        super().attach(function, interval, *args, **kwargs)

    def todict(self) -> dict[str, Any]:
        """Return what trajectories say of the dynamics that made them."""
        kind = None if self.thermostat is None else type(self.thermostat).__name__
        facts = {
            "model": self.model,
            "thermostat": kind,
            "temperature_K": target_of(self.thermostat),
            "seed": self.seed,
        }
        return super().todict() | {name: value for name, value in facts.items() if value is not None}

    # ------------------------------------------------------------------ reports

    def report(self) -> StrideReport:
        """Return temperature per species, momentum, energy defect since the start or ``reset_report``; print it."""
        return self._watch.report()

    def reset_report(self) -> None:
        """Begin the report anew, as after equilibration."""
        self._watch = StrideWatch(target_of(self.thermostat), conserved_with(self.thermostat))
        self._warned = False

    def _measure(self) -> None:
        """Ask for the energy when it is due, and only when the user asked for it."""
        if self.energy_interval is None or self.nsteps % self.energy_interval or self.atoms.calc is None:
            return
        consistent = "free_energy" in self.atoms.calc.implemented_properties
        energy = float(self.atoms.get_potential_energy(force_consistent=consistent))
        self._watch.energy(self._view.particles, energy)

    def _warn(self) -> None:
        line = "" if self._warned else self._watch.verdict_line()
        if line:
            self._warned = True
            warnings.warn(line, stacklevel=4)

    # ------------------------------------------------------------------ restart

    def get_state(self) -> dict[str, Any]:
        """Return all that a bit-equal continuation needs, atoms included, as a tree of arrays, numbers and strings."""
        self._take_up()
        return {
            "kind": _KIND,
            "model": self.model,
            "timestep": self.dt,
            "seed": self.seed,
            "nsteps": self.nsteps,
            "propagator": type(self.propagator).__name__,
            "atoms": self._view.state(),
            "carry": pack(self._carry),
            "watch": self._watch.state_dict(),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Take all of it from ``get_state`` of a dynamics made with the same options; the atoms are overwritten.

        Raises
        ------
        InputError : the state of another model, stride, thermostat or other atoms

        """
        if state.get("kind") != _KIND:
            raise InputError("this is not the state of a LongStride; expected what get_state or save_state gave")
        own = {"model": self.model, "timestep": self.dt, "propagator": type(self.propagator).__name__}
        for name, value in own.items():
            if state[name] != value:
                raise InputError(
                    f"the state has {name} = {state[name]}, this LongStride {value}; make it with the same"
                )
        self._view.set_state(state["atoms"])
        self._assemble(self.atoms, int(state["seed"]))
        self._carry = unpack(state["carry"], self.propagator.start(self._view.particles))
        self.reset_report()
        self._watch.load_state_dict(state["watch"])
        self.nsteps = int(state["nsteps"])

    def save_state(self, path: str | Path) -> None:
        """Write the state to a checkpoint file: never half written, checksummed, the one before it is kept."""
        write_checkpoint(path, self.get_state())

    def load_state(self, path: str | Path) -> None:
        """Go on from ``save_state``; raises InputError for a damaged file, or a state that does not fit."""
        self.set_state(read_checkpoint(path))
