"""A network's potential energy as an interaction: its forces move particles, its energy judges strides."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..equivariant.architecture import Architecture
from ..equivariant.fused_energy import FusedEnergy
from ..equivariant.graph import shared_graph
from ..equivariant.model_file import Model
from ..integrators import Evaluation, require
from ..particles import SERIAL, UNIT_SYSTEMS, Exchange, InputError, Particles
from ..particles.collective import together
from .model_library import model_name, open_model

if TYPE_CHECKING:
    from ..equivariant.batch import Batch

FloatArray = NDArray[np.float64]


class EnergyEngine(Protocol):
    """What evaluates a network of head "energy": ``equivariant.FusedEnergy``, or the network in torch."""

    @property
    def architecture(self) -> Architecture:
        """What the network was made for."""
        ...

    def energy(
        self, species: ArrayLike, mass: ArrayLike, position: FloatArray, cell: ArrayLike | None, periodic: ArrayLike
    ) -> tuple[float, FloatArray, FloatArray]:
        """Return energy (eV), forces (n, 3) in eV/Angstrom, virial (3, 3) in eV; of several ranks: this one's shares."""
        ...


class TorchEnergy:
    """The network in torch as an energy engine; what other backends are tested against, three to five times slower.

    Parameters
    ----------
    model : Model of head "energy"
    dtype : "float32" or "float64"
    exchange : Exchange; each rank has its own atoms. Features of those within one cutoff are sent before every layer, and
        the gradients of these copies are sent back to their owners after it

    """

    def __init__(self, model: Model, dtype: str = "float64", exchange: Exchange = SERIAL) -> None:
        import torch

        from ..equivariant.network import Network

        self.architecture, self.exchange = model.architecture, exchange
        self._network = Network(model.architecture, dtype=getattr(torch, dtype)).load(model.weights)
        self._network.requires_grad_(False)

    def energy(
        self, species: ArrayLike, mass: ArrayLike, position: FloatArray, cell: ArrayLike | None, periodic: ArrayLike
    ) -> tuple[float, FloatArray, FloatArray]:
        """Return energy, forces and virial: minus the gradients by the positions and by a strain."""
        import torch

        batch = self._batch(species, mass, position, cell, periodic)
        if batch.n == 0:  # nobody's neighbour: no message comes from here or goes here
            return 0.0, np.zeros((0, 3)), np.zeros((3, 3))
        strain = torch.zeros(3, 3, dtype=torch.float64, requires_grad=True)
        place = batch.position.clone().requires_grad_()
        with torch.enable_grad():
            batch.position, batch.shift = place + place @ strain, batch.shift + batch.shift @ strain
            energy = self._network.energy(batch)[0]
        if not energy.requires_grad:  # no edges at all
            return float(energy), np.zeros_like(position), np.zeros((3, 3))
        forces, virial = torch.autograd.grad(energy, (place, strain))
        return float(energy.detach()), -forces.numpy(), -virial.numpy()

    def _batch(
        self, species: ArrayLike, mass: ArrayLike, position: FloatArray, cell: ArrayLike | None, periodic: ArrayLike
    ) -> Batch:
        """Return the atoms as one graph, of several ranks the part of this one."""
        from ..equivariant.batch import Batch, System

        if self.exchange.size == 1:
            return Batch.of([System(species, mass, position, cell=cell, periodic=periodic)], self.architecture)
        halo, graph = shared_graph(position, cell, periodic, self.architecture.cutoff, self.exchange)
        self.exchange.weigh(graph.work)
        system = System(species, mass, position, cell=cell, periodic=periodic, graph=graph)
        with together(self.exchange):
            return Batch.of([system], self.architecture, halo)


#: backend -> what makes the energy engine of (model, dtype, exchange): fused kernels, their readable twins, the network in torch
BACKENDS: dict[str, Callable[[Model, str, Exchange], EnergyEngine]] = {
    "cpu": partial(FusedEnergy, backend="cpu"),
    "reference": partial(FusedEnergy, backend="reference"),
    "torch": TorchEnergy,
}
DEFAULT_BACKEND = "cpu"


def energy_engine(
    model: Model, dtype: str = "float64", backend: str = DEFAULT_BACKEND, exchange: Exchange = SERIAL
) -> EnergyEngine:
    """Return what evaluates a model's energy.

    Parameters
    ----------
    model : Model of head "energy"
    dtype : "float32" or "float64"
    backend : one of ``BACKENDS``; "cpu" needs no torch, and refuses pairs closer than its tables go
    exchange : Exchange; each rank has its own atoms

    Raises
    ------
    InputError : a model of another head, an unknown dtype or backend

    """
    head = model.architecture.head
    if head != "energy":
        raise InputError(
            f"this model has the head {head!r}; energies and forces need one with head 'energy' (LongStride takes strides)"
        )
    if dtype not in ("float32", "float64"):
        raise InputError(f"dtype is {dtype!r}; expected 'float32' or 'float64'")
    if backend not in BACKENDS:
        raise InputError(f"backend is {backend!r}; expected one of {', '.join(map(repr, BACKENDS))}")
    return BACKENDS[backend](model, dtype, exchange)


class EnergyModel:
    r"""The potential energy of a network, with its exact gradient.

    a_i = -(dE/dx_i) / m_i,  virial = -dE/d(strain)

    | symbol | variable | shape | unit (ASE's) |
    |---|---|---|---|
    | x, Z | ``particles.position``, ``particles.species`` | (n, 3), (n,) | Angstrom |
    | a | ``out.acceleration`` | (n, 3) float64, overwritten | eV/(Angstrom amu) |
    | E | ``out.potential_energy`` | float, overwritten | eV |
    | virial | ``out.virial`` | (3, 3) float64, overwritten | eV |

    Parameters
    ----------
    model : name of a shipped model, path, or ``Model``, of head "energy"
    dtype, backend : see ``energy_engine``
    exchange : Exchange; each rank has its own particles. Accelerations are whole, energy and virial those of the rank's own
        atoms: their sums over all ranks are those of the system

    Raises
    ------
    InputError : no such model, another head; in use: particles not in ASE units, without species, or of unknown ones

    """

    provides = frozenset({"acceleration", "potential_energy", "virial"})
    velocity_dependent = False

    def __init__(
        self,
        model: str | Path | Model,
        *,
        dtype: str = "float64",
        backend: str = DEFAULT_BACKEND,
        exchange: Exchange = SERIAL,
    ) -> None:
        self.name, self._exchange = model_name(model), exchange
        self.engine = energy_engine(open_model(model), dtype, backend, exchange)

    def evaluate(self, particles: Particles, out: Evaluation) -> None:
        """Overwrite all that ``out`` wants."""
        require(self, *out.wants)
        if particles.units != UNIT_SYSTEMS["ase"]:
            raise InputError(
                f"{self.name} needs particles in 'ase' units, not {particles.units.name!r}; convert them with "
                "particles.in_units(UNIT_SYSTEMS['ase'])"
            )
        asked = particles.n > 0 or self._exchange.size > 1
        if asked and particles.species is None:
            raise InputError(f"the particles have no species; {self.name} needs an atomic number for every particle")
        energy, forces, virial = 0.0, np.zeros((0, 3)), np.zeros((3, 3))
        if asked:
            assert particles.species is not None, "checked above"
            periodic = np.zeros(3, bool) if particles.periodic is None else particles.periodic
            cell = particles.cell if periodic.any() else None
            energy, forces, virial = self.engine.energy(
                particles.species, particles.mass, particles.position, cell, periodic
            )
        out.acceleration[...] = forces / particles.mass[:, None]
        out.potential_energy = energy
        if out.virial is not None:
            out.virial[...] = virial
