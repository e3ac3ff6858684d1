import math

import numpy as np
import pytest
from askel.integrators import Simulation, Whole
from askel.integrators.conformance import ReferenceGravity, distance, evolved, kepler
from askel.integrators.extrapolation import (
    Verdict,
    attempt,
    check_sequence,
    even_sequence,
    extrapolate,
    first_target,
    judge_row,
    plan_after,
    step_for_error,
    vector_error,
    work_of_rows,
)
from askel.integrators.gragg_bulirsch_stoer import GraggBulirschStoer
from askel.particles import InputError

SEQUENCE = even_sequence(8)


def test_sequence_and_work():
    assert SEQUENCE == (2, 4, 6, 8, 10, 12, 14, 16)
    assert work_of_rows((2, 4, 6)) == (0.0, 3.0, 7.0, 13.0)
    for bad in ((2, 4), (2, 4, 4), (1, 2, 3), (4, 2, 6)):
        with pytest.raises(InputError, match="even numbers that grow"):
            check_sequence(bad)


def test_table_is_exact_for_polynomials_in_the_squared_step():
    """T_kk of f(h) = 1 + h^2 - 3 h^4 + 2 h^6 is f(0) from row 4 on and not before."""
    row = []
    ends = []
    for n in SEQUENCE[:5]:
        h = 1.0 / n
        row = extrapolate(row, np.array([1 + h**2 - 3 * h**4 + 2 * h**6]), SEQUENCE)
        ends.append(abs(row[-1][0] - 1.0))
    assert ends[3] < 1e-14 and ends[4] < 1e-14
    assert ends[2] > 1e-5


def test_row_orders_on_exponential_growth():
    """The error of T_kk falls as H^(2k+1) per step: measured for k = 2, 3."""

    class Midpoint:
        def increment(self, dt, n):
            h, before = dt / n, np.zeros(1)
            now = h * np.array([1.0])
            for _ in range(n - 1):
                before, now = now, before + 2 * h * (1.0 + now)
            return now

        def error(self, difference, dt):
            return float(abs(difference[0])) / 1e-9

    def end(dt, k):
        row = []
        for n in SEQUENCE[:k]:
            row = extrapolate(row, Midpoint().increment(dt, n), SEQUENCE)
        return abs(row[-1][0] - math.expm1(dt))

    for k in (2, 3):
        order = math.log2(end(0.4, k) / end(0.2, k))
        assert 2 * k + 1 - 0.3 < order < 2 * k + 1 + 0.5
    tried = attempt(Midpoint(), 0.3, 7, SEQUENCE)
    assert tried.verdict is Verdict.ACCEPT and 3 <= tried.row <= 6
    assert tried.errors[-2] > 1.0 >= tried.errors[-1] and len(tried.errors) == tried.row + 1
    assert abs(tried.increment[0] - math.expm1(0.3)) < 1e-9
    assert attempt(Midpoint(), 20.0, 3, SEQUENCE).verdict is Verdict.REJECT


def test_step_for_error():
    assert step_for_error(1.0, 0.65, 4) == pytest.approx(0.94)
    assert step_for_error(-2.0, 0.65, 4) == pytest.approx(-1.88)
    smallest = 0.02 ** (1 / 7)
    assert step_for_error(1.0, 1e30, 4) == pytest.approx(smallest / 4)
    assert step_for_error(1.0, 0.0, 4) == pytest.approx(1 / smallest)
    assert step_for_error(1.0, math.inf, 4) == pytest.approx(smallest / 4)


def test_judge_row():
    assert judge_row(2, 5, 0.9, SEQUENCE) is Verdict.ACCEPT
    assert judge_row(2, 5, 1e30, SEQUENCE) is Verdict.CONTINUE  # too early to give up
    reachable = (10 / 2) ** 2 * (12 / 2) ** 2
    assert judge_row(4, 5, 0.99 * reachable, SEQUENCE) is Verdict.CONTINUE
    assert judge_row(4, 5, 1.01 * reachable, SEQUENCE) is Verdict.REJECT
    assert judge_row(5, 5, 1.01 * 36, SEQUENCE) is Verdict.REJECT
    assert judge_row(6, 5, 1.01, SEQUENCE) is Verdict.REJECT
    assert judge_row(3, 5, math.nan, SEQUENCE) is Verdict.REJECT


def test_plan_after():
    work = work_of_rows(SEQUENCE)
    inf = math.inf
    # error far below 1 in the last row, slow before: go up
    up = plan_after(1.0, 4, 4, (inf, inf, 1e6, 1e3, 0.5), work, most_rows=8, rejected=False)
    assert up.target == 5
    assert up.dt == pytest.approx(step_for_error(1.0, 0.5, 4) * work[5] / work[4])
    # the row before was as good: go down
    down = plan_after(1.0, 4, 4, (inf, inf, 2.0, 0.9, 0.9), work, most_rows=8, rejected=False)
    assert down.target == 3
    # after a rejection neither grows
    again = plan_after(1.0, 5, 4, (inf, inf, 1e8, 1e6, 1e3, 0.1), work, most_rows=8, rejected=True)
    assert again.target <= 4 and again.dt <= 1.0
    assert plan_after(1.0, 8, 7, (inf,) * 2 + (1e9,) * 5 + (1e4, 0.5), work, most_rows=8, rejected=False).target <= 7


def test_first_target_and_vector_error():
    assert first_target(1e-12, 10) == 8 and first_target(1e-2, 10) == 2 and first_target(1e-16, 8) == 7
    difference = np.array([[3.0, 4.0, 0.0], [0.0, 0.0, 1.0]])
    assert vector_error(difference, np.array([10.0, 1.0])) == 1.0
    assert vector_error(difference, np.array([1.0, 1.0])) == 5.0


@pytest.mark.parametrize("velocity_dependent", [False, True])
def test_propagator_both_substep_rules(velocity_dependent):
    interaction = ReferenceGravity(velocity_dependent=velocity_dependent)
    exact = kepler(0.9, time=7.0)
    errors = [
        distance(evolved(lambda t=t: GraggBulirschStoer(interaction, tolerance=t), kepler(0.9), 7.0), exact)
        for t in (1e-8, 1e-13)
    ]
    assert 1e-9 < errors[0] < 1e-4
    assert errors[1] < 2e-9


def test_order_and_step_are_remembered():
    run = Simulation(kepler(0.0), GraggBulirschStoer(ReferenceGravity()), Whole())
    run.run(3.0)
    first = run.carry.dt
    assert 0.1 < first < 10.0
    few = run.propagator.advance(run.particles, run.carry, first).statistics["micro_steps"]
    assert few <= 2
    remembered = run.carry.dt
    run.propagator.advance(run.particles, run.carry, 1e-6 * first)
    assert run.carry.dt == remembered  # landing does not shorten the next step


@pytest.mark.parametrize(
    "options", [{"tolerance": 0.0}, {"tolerance": 1e-20}, {"micro_steps": 0}, {"sequence": (2, 4)}]
)
def test_bad_options(options):
    with pytest.raises(InputError, match="expected"):
        GraggBulirschStoer(ReferenceGravity(), **options)
