"""Degrees of freedom counted truly, temperatures of species, and the monitor's verdict."""

import harmonic_engine as double
import numpy as np
import pytest
from askel.md.rigid import angular_momentum, mean, rotation_field
from askel.md.temperature import TemperatureMonitor, boltzmann, count_degrees, degrees_of_freedom, temperatures
from askel.particles import InputError, Particles

FS, ASE, molecule = double.FS, double.ASE, double.molecule


def test_boltzmann_is_that_of_ase():
    from ase import units

    assert boltzmann(ASE) == pytest.approx(units.kB, rel=1e-6)
    assert boltzmann(Particles([1.0], [0, 0, 0], [0, 0, 0]).units) == 1.0


@pytest.mark.parametrize(
    ("state", "counts"),
    [
        (molecule(), (18, 15, 12)),
        (molecule((1, 8)), (6, 3, 1)),
        (molecule((8,)), (3, 0, 0)),
    ],
)
def test_degrees(state, counts):
    for kept, count in zip(("nothing", "momentum", "momentum and rotation"), counts, strict=True):
        assert count_degrees(state, kept) == count
        assert degrees_of_freedom(state, kept).sum() == pytest.approx(count, abs=1e-9)
    assert count_degrees(state) == counts[2]
    state = state.clone()
    state.cell, state.periodic = 9.0 * np.eye(3), np.ones(3, bool)
    assert count_degrees(state) == counts[1]


def test_a_linear_molecule_has_one_more():
    state = molecule((8, 6, 8))
    state.position[...] = np.outer([-1.1, 0.0, 1.2], [1.0, 1.0, 0.0])
    assert count_degrees(state) == 4


@pytest.mark.parametrize("kept", ["momentum", "momentum and rotation"])
def test_each_atom_has_the_heat_of_its_degrees(kept):
    """Thermal velocities, projected: m <v^2> = k T g, with g different for light and heavy atoms."""
    state, rng, heat = molecule(), np.random.default_rng(5), np.zeros(6)
    for _ in range(4000):
        state.velocity[...] = rng.normal(size=(6, 3)) / np.sqrt(state.mass)[:, None]
        state.velocity -= mean(state.mass, state.velocity)
        if kept != "momentum":
            spin = angular_momentum(state.mass, state.position, state.velocity)
            state.velocity -= rotation_field(state.mass, state.position, spin)
        heat += state.mass * (state.velocity**2).sum(axis=1) / 4000
    g = degrees_of_freedom(state, kept)
    assert heat == pytest.approx(g, rel=0.06)
    assert np.abs(heat / g.mean() - 1.0).max() > 0.2  # shared evenly, they would be wrong


def test_temperatures_of_species_do_not_see_the_motion_of_the_whole():
    state = molecule()
    now = temperatures(state)
    assert set(now) == {0, 1, 6, 8}
    state.velocity += [0.5, 0.0, 0.0]
    state.velocity += rotation_field(state.mass, state.position, np.array([5.0, 1.0, 1.0]))
    assert temperatures(state) == pytest.approx(now, rel=1e-9)
    state.velocity *= np.sqrt(2.0)
    assert temperatures(state)[8] == pytest.approx(2.0 * now[8], rel=1e-9)
    assert np.isnan(temperatures(molecule((8,)))[0])


def frames(factor, count, seed=0, n=40):
    """Yield thermal states at 300 K in which hydrogen is ``factor`` times as hot."""
    rng = np.random.default_rng(seed)
    state = molecule((1, 8) * n, cell=20.0 * np.eye(3), periodic=[True] * 3)
    for _ in range(count):
        heat = 300.0 * boltzmann(ASE) * np.where(state.species == 1, factor, 1.0)
        state.velocity[...] = rng.normal(size=(state.n, 3)) * np.sqrt(heat / state.mass)[:, None]
        state.velocity -= mean(state.mass, state.velocity)
        yield state


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "correct"), (1.06, "not correct"), (0.94, "not correct")])
def test_the_verdict(factor, verdict):
    monitor = TemperatureMonitor(300.0)
    for state in frames(factor, 800):
        monitor.add(state)
    whole, hydrogen, oxygen = monitor.report()
    assert (whole.species, hydrogen.species, oxygen.species) == (0, 1, 8)
    assert hydrogen.verdict == verdict
    assert oxygen.verdict == "correct"
    assert hydrogen.mean == pytest.approx(300.0 * factor, abs=4.0 * hydrogen.error)
    expected = 300.0 * factor * np.sqrt(2.0 / 120.0 / 800.0)
    assert 0.7 * expected < hydrogen.error < 2.5 * expected
    lines = monitor.lines()
    assert lines[-1] == f"equipartition: {verdict}"
    assert lines[1].split()[0] == "H"


def test_few_frames_decide_nothing():
    monitor = TemperatureMonitor(300.0)
    for state in frames(1.0, 6):
        monitor.add(state)
    assert {row.verdict for row in monitor.report()} == {"undecided"}
    assert "undecided" in monitor.lines()[-1]


def test_without_a_target_species_are_compared_with_the_whole():
    monitor = TemperatureMonitor()
    for state in frames(1.2, 400):
        monitor.add(state)
    whole, hydrogen, oxygen = monitor.report()
    assert whole.verdict == "correct"
    assert hydrogen.verdict == oxygen.verdict == "not correct"


def test_correlated_frames_have_larger_errors():
    plain, slow = TemperatureMonitor(300.0), TemperatureMonitor(300.0)
    for state in frames(1.0, 400):
        plain.add(state)
        for _ in range(8):
            slow.add(state)
    assert slow.report()[1].mean == pytest.approx(plain.report()[1].mean, rel=1e-9)
    assert 0.6 < slow.report()[1].error / plain.report()[1].error < 1.7  # eight copies add nothing


def test_a_restarted_monitor_goes_on():
    whole, first = TemperatureMonitor(300.0, skip=10), TemperatureMonitor(300.0, skip=10)
    for k, state in enumerate(frames(1.0, 300)):
        whole.add(state)
        if k == 150:
            second = TemperatureMonitor(300.0, skip=10)
            second.load_state_dict(first.state_dict())
            first = second
        first.add(state)
    assert first.report() == whole.report()
    with pytest.raises(InputError, match="use a new one"):
        first.add(molecule())
