"""Strides under thermostats, judged by the package that validates the ensembles of molecular dynamics engines."""

import harmonic_engine as double
import numpy as np
import physical_validation as pv
import pytest
from askel.md.stride import LearnedStride
from askel.md.thermostats import Thermostatted, thermostat

KJ_PER_MOL = 96.48533212
DT = 8.0 * double.FS


def p_value(kinetic, atoms, temperature):
    """Return the probability of kinetic energies (eV) at least as far from the canonical distribution as these."""
    data = pv.data.SimulationData(
        units=pv.data.UnitData.units("GROMACS"),
        ensemble=pv.data.EnsembleData("NVT", natoms=atoms, volume=1.0, temperature=temperature),
        system=pv.data.SystemData(natoms=atoms, nconstraints=0, ndof_reduction_tra=3, ndof_reduction_rot=0),
        observables=pv.data.ObservableData(kinetic_energy=KJ_PER_MOL * np.asarray(kinetic)),
    )
    return pv.kinetic_energy.distribution(data, strict=True, verbosity=0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["langevin", "bussi"])
def test_kinetic_energies_are_canonical(kind):
    state = double.molecule()
    options = {"conserved": "momentum"}
    bath = thermostat(kind, 300.0, 4.0 * DT, seed=11, **options)
    propagator = Thermostatted(LearnedStride(double.HarmonicEngine()), bath)
    carry, kinetic = propagator.start(state), []
    for k in range(9000):
        propagator.advance(state, carry, DT)
        if k > 200 and k % 20 == 0:
            kinetic.append(state.kinetic_energy())
    assert p_value(kinetic, state.n, 300.0) > 0.01
    assert p_value(kinetic, state.n, 330.0) < 1e-4  # ten per cent would be seen
