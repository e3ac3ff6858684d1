"""Every registered propagator, held to what it declares."""

import math

import askel.nbody  # noqa: F401 - registers its propagators
import numpy as np
import pytest
from askel.integrators import PROPAGATORS, Fixed, Simulation, Whole, conformance
from askel.integrators.conformance import ReferenceGravity, kepler, three_bodies
from askel.particles.io_checkpoint import read_checkpoint, write_checkpoint
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

KINDS = sorted(k for k, e in PROPAGATORS.items() if e.takes != "model")  # models: tests/md/test_stride.py
FIXED = [k for k in KINDS if PROPAGATORS[k].fixed_step]
ADAPTIVE = [k for k in KINDS if not PROPAGATORS[k].fixed_step]
DT = 0.05
OPTIONS = {"block-leapfrog": {"tidal_accuracy": 0.04}, "regions": {"radius": 0.3, "tidal_accuracy": 0.04}}


def maker(kind, **options):
    entry = PROPAGATORS[kind]
    factory, options = entry.factory(), OPTIONS.get(kind, {}) | options
    if entry.takes == "system":
        return lambda: factory(**options)
    return lambda: factory(ReferenceGravity(), **options)


def simulation(kind, particles=three_bodies):
    propagator = maker(kind)()
    controller = Whole() if propagator.capabilities.adaptive else Fixed(DT)
    return Simulation(particles(), propagator, controller, potential=ReferenceGravity(), seed=3)


@pytest.mark.parametrize("kind", KINDS)
def test_row_agrees_with_capabilities(kind):
    able = maker(kind)().capabilities
    assert able.adaptive != PROPAGATORS[kind].fixed_step
    assert (able.order is None) == able.adaptive
    assert PROPAGATORS[kind].summary


@pytest.mark.parametrize("kind", FIXED)
def test_measured_order_is_the_declared_one(kind):
    make = maker(kind)
    order = make().capabilities.order
    measured = conformance.measured_order(make, kepler(0.2), kepler(0.2, time=2.0), finest=1e-12)
    assert order - 0.2 <= measured <= order + 0.2


@pytest.mark.parametrize("kind", ADAPTIVE)
def test_tolerance_sets_the_error(kind):
    exact = kepler(0.6, time=3.0)
    errors = [
        conformance.distance(conformance.evolved(maker(kind, tolerance=t), kepler(0.6), 3.0), exact)
        for t in (1e-2, 1e-5, 1e-13)
    ]
    assert errors[2] < 2e-12
    assert errors[1] < errors[0]
    assert 1e-10 < errors[0] < 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_zero_step_is_identity(kind):
    assert conformance.zero_step_is_identity(maker(kind), three_bodies(), DT)


@pytest.mark.parametrize("kind", KINDS)
def test_synchronise_is_harmless(kind):
    assert conformance.synchronise_is_harmless(maker(kind), three_bodies(), DT)


@pytest.mark.parametrize("kind", KINDS)
def test_lands_exactly(kind):
    assert conformance.lands_exactly(maker(kind), three_bodies(), DT)


@pytest.mark.parametrize("kind", KINDS)
def test_restart_is_bit_equal(kind, tmp_path):
    def through(tree):
        write_checkpoint(tmp_path / "checkpoint", tree)
        return read_checkpoint(tmp_path / "checkpoint")

    assert conformance.restart_is_bit_equal(lambda: simulation(kind), 20 * DT, 40 * DT, through=through)


@pytest.mark.parametrize("kind", KINDS)
def test_reversibility(kind):
    defect = conformance.reversibility_defect(maker(kind), kepler(0.5), DT, 20)
    able = maker(kind)().capabilities
    if able.reversible or able.adaptive:
        assert defect < 2e-12
    else:
        assert 1e-12 < defect < 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_time_translation(kind):
    assert conformance.time_translation_defect(maker(kind), three_bodies(), DT, 1e3) < 1e-13


@pytest.mark.parametrize("kind", KINDS)
def test_membership_change(kind):
    assert conformance.membership_defect(maker(kind), three_bodies(), DT, (0, 2)) < 1e-12


@pytest.mark.parametrize("kind", KINDS)
def test_energy_error_is_small_and_seen(kind):
    run = simulation(kind)
    report = run.run(6.0)
    assert 0.0 < report.max_energy_error < 2e-3
    assert abs(report.energy_error) <= report.max_energy_error


QUICK = settings(max_examples=5, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
NUMBERS = st.floats(-3.0, 3.0)
VECTORS = st.tuples(NUMBERS, NUMBERS, NUMBERS).map(np.array)


def rotation(axis, angle):
    x, y, z = axis / np.linalg.norm(axis)
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + math.sin(angle) * skew + (1 - math.cos(angle)) * skew @ skew


@pytest.mark.parametrize("kind", KINDS)
@QUICK
@given(order=st.permutations(range(3)))
def test_permutation(kind, order):
    assert conformance.permutation_defect(maker(kind), three_bodies(), DT, order) < 1e-12


@pytest.mark.parametrize("kind", KINDS)
@QUICK
@given(axis=VECTORS.filter(lambda v: np.linalg.norm(v) > 0.1), angle=NUMBERS)
def test_rotation(kind, axis, angle):
    assert conformance.rotation_defect(maker(kind), three_bodies(), DT, rotation(axis, angle)) < 1e-12


@pytest.mark.parametrize("kind", KINDS)
@QUICK
@given(shift=VECTORS, boost=VECTORS)
def test_translation_and_boost(kind, shift, boost):
    assert conformance.translation_defect(maker(kind), three_bodies(), DT, shift, boost) < 1e-11


@pytest.mark.parametrize("kind", KINDS)
@QUICK
@given(time=st.floats(0.1, 6.0), eccentricity=st.floats(0.0, 0.7))
def test_time_reversal(kind, time, eccentricity):
    start = kepler(eccentricity, time=time)
    turned = start.clone()
    turned.velocity *= -1.0
    back = conformance.evolved(maker(kind), start, -DT, 4)
    forth = conformance.evolved(maker(kind), turned, DT, 4)
    forth.velocity *= -1.0
    assert conformance.distance(back, forth) < 1e-13
