import math
from dataclasses import dataclass

import numpy as np
import pytest
from askel.integrators import CompensatedSum, Fixed, add_compensated
from askel.integrators.carry import pack, state_from_tree, state_to_tree, unpack
from askel.integrators.conformance import same_tree, three_bodies
from askel.integrators.energy import EnergyLedger
from askel.particles import InputError
from hypothesis import given
from hypothesis import strategies as st


def test_a_million_tenths():
    total, plain = CompensatedSum(), 0.0
    for _ in range(100_000):
        total.add(0.1)
        plain += 0.1
    assert total.value == 10_000.0
    assert abs(plain - 10_000.0) > 1e-9


@given(st.lists(st.floats(-1e6, 1e6), max_size=50))
def test_sum_equals_fsum(terms):
    total = CompensatedSum()
    for term in terms:
        total.add(term)
    assert total.value == pytest.approx(math.fsum(terms), rel=1e-15, abs=1e-9 * 1e-15 * 1e6)


def test_distance_sees_the_lost_part():
    total = CompensatedSum(1.0)
    total.add(1e-20)
    assert total.value == 1.0 and total.distance(1.0) == -1e-20
    other = CompensatedSum()
    other.load_state_dict(total.state_dict())
    assert other.distance(1.0) == -1e-20


def test_arrays():
    total, error = np.ones(3), np.zeros(3)
    for _ in range(10_000):
        add_compensated(total, error, np.full(3, 1e-17))
    np.testing.assert_allclose(total - 1.0, 1e-13, rtol=1e-2)


def test_ledger():
    ledger = EnergyLedger()
    ledger.open(-2.0)
    ledger.work.add(0.5)
    ledger.jumps.add(0.25)
    ledger.record(-1.0)
    assert ledger.error == pytest.approx(0.125) and ledger.max_error == pytest.approx(0.125)
    ledger.record(-1.25)
    assert ledger.error == 0.0 and ledger.max_error == pytest.approx(0.125)
    ledger.record(math.nan)
    assert math.isnan(ledger.error)


@dataclass
class Inner:
    values: np.ndarray
    name: str


@dataclass
class Carry:
    count: int
    dt: float
    inner: Inner
    several: tuple
    nothing: object


def test_carry_goes_round():
    carry = Carry(3, 0.5, Inner(np.arange(3.0), "x"), (1, np.ones(2), Inner(np.zeros(1), "y")), None)
    tree = pack(carry)
    carry.inner.values[:] = 7.0
    like = Carry(0, 0.0, Inner(np.zeros(1), ""), (0, np.zeros(1), Inner(np.zeros(1), "")), None)
    back = unpack(tree, like)
    assert back.inner.values.tolist() == [0.0, 1.0, 2.0] and back.count == 3 and back.several[2].name == "y"
    assert isinstance(back.several, tuple) and back.nothing is None
    assert same_tree(pack(back), tree)
    with pytest.raises(InputError, match="lacks 'dt' of Carry"):
        unpack({"count": 1}, like)


def test_state_goes_round():
    state = three_bodies()
    back = state_from_tree(state_to_tree(state))
    assert back.units == state.units and np.array_equal(back.position, state.position)
    assert back.position is not state.position


def test_fixed_step_must_be_positive():
    for bad in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(InputError, match="expected a positive time step"):
            Fixed(bad)
