"""Ensembles: as exact as a single chain, bit-equal in any company, ended by their rules."""

from dataclasses import fields

import numpy as np
import pytest
from askel.nbody import evolve, evolve_batch
from askel.nbody.ensemble import REASONS, Ensemble
from askel.nbody.ensemble_outcomes import OUTCOMES, classify, is_resonance, kicks
from askel.nbody.scattering import Approach, Body, Orbit, Part, Scattering
from askel.nbody.scattering_cross_sections import capture_cross_section
from askel.nbody.scattering_distributions import Distribution, fixed
from askel.particles import InputError, kernel_threads

STAR = Body(fixed(1.0))
#: The scatterings of the benchmark: equal masses, thermal eccentricities, hard.
HARD = Scattering(
    (Part((STAR, STAR), (Orbit(fixed(1.0), Distribution("thermal", {"high": 0.999})),)), Part((STAR,))),
    Approach(fixed(0.5), Distribution("disk", {"high": 6.0}), separation=40.0),
    seed=11,
)


def start(count, scattering=HARD, first=0):
    s = scattering.sample(np.arange(first, first + count))
    return s.mass, s.position, s.velocity


def energy(mass, position, velocity):
    m, x, v = (np.asarray(a, np.longdouble) for a in (mass, position, velocity))
    e = 0.5 * (m * (v**2).sum(axis=2)).sum(axis=1)
    for i in range(m.shape[1]):
        for j in range(i):
            e -= m[:, i] * m[:, j] / np.sqrt(((x[:, i] - x[:, j]) ** 2).sum(axis=1))
    return e


def assert_same(a: Ensemble, b: Ensemble):
    for name in {f.name for f in fields(Ensemble)} - {"track"}:
        assert np.array_equal(getattr(a, name), getattr(b, name), equal_nan=name == "orbits"), name


def row(*bodies):
    """Return (mass, position, velocity) of one system from (m, x, v) of its bodies."""
    mass, x, v = (np.array(part, float) for part in zip(*bodies, strict=True))
    return mass[None], x[None], v[None]


def triple(a_outer, *, e_outer=0.0):
    """A circular binary of a = 1 about z, and a third body in its plane at apastron, all of mass 1."""
    v, far = np.sqrt(0.5), a_outer * (1.0 + e_outer)
    w = np.sqrt(3.0 / a_outer * (1.0 - e_outer) / (1.0 + e_outer))
    return row(
        (1.0, (0.5 - far / 3, 0, 0), (0, v - w / 3, 0)), (1.0, (-0.5 - far / 3, 0, 0), (0, -v - w / 3, 0)),
        (1.0, (2 * far / 3, 0, 0), (0, 2 * w / 3, 0)),
    )  # fmt: skip


def test_energy_is_conserved_as_promised():
    m, x, v = start(300)
    e = evolve_batch(m, x, v, 300.0)
    before, after = energy(m, x, v), energy(m, e.position, e.velocity)
    wrong = np.abs((after - before) / before).astype(float)
    assert 1e-14 < np.percentile(wrong, 50) < 1e-10 and np.percentile(wrong, 99) < 1e-9
    assert np.abs(wrong - np.abs(e.energy_error)).max() < 1e-11
    assert (e.time == 300.0).all() and set(e.outcome) == {"time limit"} and not e.failed.any()
    loose = evolve_batch(m, x, v, 300.0, tolerance=1e-9)
    assert np.percentile(np.abs(loose.energy_error), 50) > 30 * np.percentile(wrong, 50)  # the tolerance does something


def test_momentum_and_centre_of_mass_move_as_they_must():
    m, x, v = start(50)
    drift = np.array([0.3, -0.2, 0.1])
    e = evolve_batch(m, x, v + drift, 100.0)
    centre = np.einsum("kn,knd->kd", m, e.position) / 3.0
    assert np.abs(centre - 100.0 * drift).max() < 1e-11


def test_ends_where_a_single_chain_does():
    m, x, v = start(60)
    e = evolve_batch(m, x, v, 60.0)
    calm = np.flatnonzero(~is_resonance(e) & (e.closest > 1e-3))[:6]
    for k in calm:
        one = evolve(m[k], x[k], v[k], 60.0, tolerance=1e-14)
        assert np.abs(one.position - e.position[k]).max() < 1e-6
        assert 0.3 * one.micro_steps < e.steps[k] < 10 * one.micro_steps


def test_results_depend_on_the_system_alone():
    m, x, v = start(40)
    rules = ("escape", "mardling-aarseth")
    together = evolve_batch(m, x, v, 500.0, stop=rules)
    some = np.array([3, 17, 18, 39])
    assert_same(evolve_batch(m[some], x[some], v[some], 500.0, stop=rules), together[some])
    with kernel_threads(1):
        assert_same(evolve_batch(m, x, v, 500.0, stop=rules), together)
    alone = evolve_batch(m[17:18], x[17:18], v[17:18], 500.0, stop=rules, track=100_000)
    track = alone.track
    assert_same(alone, together[17:18])
    assert len(track.time) == alone.steps[0] and (np.diff(track.time) > 0.0).all()
    assert np.array_equal(track.position[-1], alone.position[0]) and np.array_equal(
        track.velocity[-1], alone.velocity[0]
    )


def test_arguments_are_not_changed():
    m, x, v = start(3)
    kept = [a.copy() for a in (m, x, v)]
    evolve_batch(m, x, v, 10.0)
    assert all(np.array_equal(a, b) for a, b in zip((m, x, v), kept, strict=True))


def test_escape_is_classified():
    m, x, v = start(300)
    e = evolve_batch(m, x, v, 1e5, stop=("escape",))
    outcome = classify(e, HARD.initial_tops)
    names = [OUTCOMES[o] for o in outcome]
    assert {"flyby", "exchange"} <= set(names) and "ionisation" not in names and "failed" not in names
    for k, name in enumerate(names):
        if name in ("flyby", "exchange"):
            assert e.reason[k] == REASONS.index("escape") and e.parted[k] == 2
            pair = {i for i in range(3) if np.sum(e.tops[k] == e.tops[k, i]) == 2}
            assert (pair == {0, 1}) == (name == "flyby")
            assert e.orbits[k, 0, 0] > 0.0 and 0.0 <= e.orbits[k, 0, 1] < 1.0 and np.isnan(e.orbits[k, 1]).all()
    released = kicks(e, m)
    done = outcome != OUTCOMES.index("unresolved")
    total = np.asarray(energy(m, x, v), float)
    inside = -0.5 / e.orbits[done, 0, 0]
    outside = 0.5 * (2.0 / 3.0) * released.relative[done] ** 2
    assert np.abs(inside + outside - total[done]).max() < 2e-3  # what is left of the interaction at the end
    momentum = np.where(e.tops == e.tops[:, :1], 0.0, 1.0)
    assert momentum.any() and np.isfinite(released.speed[done]).all()


def test_an_escape_is_final():
    m, x, v = start(40)
    early = evolve_batch(m, x, v, 1e4, stop=("escape",))
    done = early.reason == REASONS.index("escape")
    later = evolve_batch(m[done], early.position[done], early.velocity[done], 2e3)
    assert (later.tops == early.tops[done]).all() and (later.parted == 2).all()
    assert np.abs(later.orbits[:, 0, 0] / early.orbits[done][:, 0, 0] - 1.0).max() < 1e-3


def test_all_unbound_flies_apart_without_end_of_steps():
    fast = Scattering(HARD.parts, Approach(fixed(10.0), Distribution("disk", {"high": 0.3}), scaled=True), seed=2)
    m, x, v = start(200, fast)
    e = evolve_batch(m, x, v, 1e4, stop=("escape",))
    names = {OUTCOMES[o] for o in classify(e, fast.initial_tops)}
    assert {"flyby", "ionisation"} <= names <= {"flyby", "ionisation", "exchange"}
    assert e.steps.max() < 2000 and np.abs(e.energy_error).max() < 1e-9


@pytest.mark.parametrize("criterion", ["mardling-aarseth", "eggleton-kiseleva", "vynatheya"])
def test_stable_hierarchies_end(criterion):
    wide, tight = (
        evolve_batch(*triple(10.0), 50.0, stop=(criterion,)),
        evolve_batch(*triple(2.5), 3.0, stop=(criterion,)),
    )
    assert wide.outcome == ["stable"] and wide.time[0] < 50.0 and wide.orbits[0, 1, 3] > 1.0
    assert OUTCOMES[classify(wide, np.array([0, 0, 0]))[0]] == "hierarchy"
    assert wide.orbits[0, 1, 0] == pytest.approx(10.0, rel=0.05) and abs(wide.orbits[0, 1, 2]) < 1e-6
    assert tight.outcome == ["time limit"]


def test_bodies_that_touch_collide():
    m, x, v = triple(30.0)
    v = v * np.array([0.3, 0.3, 1.0])[None, :, None]  # the binary becomes eccentric: its periastron is far below 0.3
    free = evolve_batch(m, x, v, 20.0)
    assert 0.01 < free.closest[0] < 0.1 and set(free.closest_pair[0]) == {0, 1}
    hit = evolve_batch(m, x, v, 20.0, radius=(0.06, 0.06, 0.06), stop=("collision",))
    assert hit.outcome == ["collision"] and set(hit.closest_pair[0]) == {0, 1} and 0.0 < hit.time[0] < 2.0
    miss = evolve_batch(m, x, v, 20.0, radius=free.closest[0] * 0.49, stop=("collision",))
    assert miss.outcome == ["time limit"]


def test_closest_approach_is_the_periastron():
    m, x, v = triple(1e4)
    a, e = 1.0 / (2.0 - 0.09), 1.0 - 0.09  # of the binary after the change below: apastron 1, speed 0.3 of circular
    v = v * np.array([0.3, 0.3, 1.0])[None, :, None]
    e = evolve_batch(m, x, v, 10.0)
    assert e.closest[0] == pytest.approx(a * 0.09, rel=1e-3) and e.hardest[0] == pytest.approx(
        2.0 / (a * 0.09), rel=1e-3
    )


def test_other_numbers_of_bodies_go_through_the_chain():
    pair = Part((STAR, STAR), (Orbit(fixed(1.0)),))
    two = Scattering((pair, pair), Approach(fixed(0.6), fixed(8.0), separation=30.0), seed=4)
    m, x, v = start(5, two)
    e = evolve_batch(m, x, v, 40.0, tolerance=1e-13)
    assert np.abs(e.energy_error).max() < 1e-10
    for k in range(5):
        one = evolve(m[k], x[k], v[k], 40.0, tolerance=1e-13)
        assert np.abs(one.position - e.position[k]).max() < 1e-6
    assert_same(evolve_batch(m[2:3], x[2:3], v[2:3], 40.0, tolerance=1e-13), e[2:3])


def head_on(b, v, c):
    """Two bodies of mass 0.5 that come from 1e4 GM/c^2 with impact parameter b."""
    r0 = 1e4 / c**2
    energy, h = 0.5 * v * v, b * v
    speed = np.sqrt(2.0 * (energy + 1.0 / r0))
    tangential = h / r0
    radial = -np.sqrt(speed**2 - tangential**2)
    return row(
        (0.5, (r0 / 2, 0, 0), (radial / 2, tangential / 2, 0)),
        (0.5, (-r0 / 2, 0, 0), (-radial / 2, -tangential / 2, 0)),
    )


def test_radiation_captures_within_its_cross_section():
    c, v = 1.0, 1e-3
    critical = np.sqrt(capture_cross_section(0.5, 0.5, v, c=c) / np.pi)
    common = {"post_newtonian": ["2.5"], "speed_of_light": c, "stop": ("capture", "escape")}
    inside, outside = (evolve_batch(*head_on(f * critical, v, c), 1e8, **common) for f in (0.97, 1.03))
    assert inside.outcome == ["capture"] and OUTCOMES[classify(inside, np.array([0, 1]))[0]] == "capture"
    assert outside.outcome == ["escape"] and OUTCOMES[classify(outside, np.array([0, 1]))[0]] == "flyby"
    assert np.abs(outside.energy_error).max() < 1e-8
    assert outside.hardest[0] / c**2 == pytest.approx(1.0 / 95.0, rel=0.1)


def test_black_holes_merge():
    e = evolve_batch(*head_on(1.0, 1e-3, 1.0), 1e8, post_newtonian=["2.5"], speed_of_light=1.0, merger_distance=6.0)
    assert e.outcome == ["merger"] and e.hardest[0] > 1.0 / 12.5


MISTAKES = {
    "shape": ({"position": np.zeros((2, 3))}, "position has 2 dimensions"),
    "not finite": ({"velocity": np.full((1, 3, 3), np.nan)}, "velocity has values that are not finite"),
    "mass": ({"mass": (1.0, -1.0, 1.0)}, "mass of system 0 is not positive"),
    "one place": ({"position": np.zeros((1, 3, 3))}, "bodies 0 and 1 of system 0 are in one place"),
    "time": ({"t_end": -1.0}, "t_end must be positive"),
    "tolerance": ({"tolerance": 1.0}, "tolerance 1 is out of range"),
    "rule": ({"stop": ("escpe",)}, "unknown stopping rule 'escpe'"),
    "text for rules": ({"stop": "escape"}, "expected a list of rules"),
    "two criteria": ({"stop": ("vynatheya", "mardling-aarseth")}, "two stability criteria"),
    "no light": ({"post_newtonian": ("1",)}, "post-Newtonian terms cannot do without a speed of light"),
    "no light to capture": ({"stop": ("capture",)}, "'capture' cannot do without a speed of light"),
    "unknown term": ({"post_newtonian": ("9",), "speed_of_light": 1.0}, "9"),
    "backend": ({"backend": "abacus"}, "no 'abacus' kernel"),
    "radius": ({"radius": (1.0, 2.0)}, r"radius is \(2,\)"),
    "tide": ({"tide": 0.0}, "tide is 0"),
}


@pytest.mark.parametrize(("change", "words"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_one_line(change, words):
    m, x, v = triple(10.0)
    arguments = {"mass": m, "position": x, "velocity": v, "t_end": 1.0} | change
    with pytest.raises(InputError, match=words) as error:
        evolve_batch(**arguments)
    assert "\n" not in str(error.value)
