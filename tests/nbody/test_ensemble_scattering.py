"""Encounters drawn from distributions: each from its number alone; and what statistics of them must give."""

import math

import numpy as np
import pytest
from askel.nbody import evolve_batch
from askel.nbody.orbits import elements_from_state
from askel.nbody.scattering import Approach, Body, Orbit, Part, Scattering
from askel.nbody.scattering_cross_sections import capture_cross_section, cross_section
from askel.nbody.scattering_distributions import KINDS, Distribution, fixed
from askel.nbody.scattering_orbits import mean_to_eccentric
from askel.nbody.scattering_run import Settings, cross_sections, replay, run_encounters
from askel.particles import InputError

STAR = Body(fixed(1.0))
THERMAL = Part((STAR, Body(fixed(0.5))), (Orbit(fixed(2.0), Distribution("thermal")),))
DISK = Distribution("disk", {"high": 5.0})
EXPERIMENT = Scattering((THERMAL, Part((STAR,))), Approach(fixed(0.7), DISK, separation=60.0), seed=5)

#: kind -> (parameters, mean, its second moment about zero)
MOMENTS = {
    "fixed": ({"value": 3.0}, 3.0, 9.0),
    "list": ({"values": (1.0, 2.0, 6.0)}, 3.0, 41.0 / 3.0),
    "uniform": ({"low": 1.0, "high": 3.0}, 2.0, 13.0 / 3.0),
    "log-uniform": ({"low": 1.0, "high": math.e}, math.e - 1.0, (math.e**2 - 1.0) / 2.0),
    "power-law": ({"slope": 2.0, "low": 1.0, "high": 2.0}, 2.0 * math.log(2.0), 2.0),
    "thermal": ({}, 2.0 / 3.0, 0.5),
    "disk": ({"high": 3.0}, 2.0, 4.5),
    "sine": ({}, math.pi / 2, math.pi**2 / 2 - 2.0),
    "normal": ({"mean": 1.0, "sigma": 2.0}, 1.0, 5.0),
    "maxwellian": ({"sigma": 2.0}, 4.0 * math.sqrt(2.0 / math.pi), 12.0),
    "maxwellian-flux": ({"sigma": 2.0}, 3.0 * math.sqrt(math.pi / 2.0), 16.0),
    "kroupa": ({}, 0.58592, None),
}


@pytest.mark.parametrize("kind", MOMENTS)
def test_distributions_have_their_moments(kind):
    parameters, mean, second = MOMENTS[kind]
    share = (np.arange(400_000) + 0.5) / 400_000
    x = Distribution(kind, parameters)(share)
    assert (np.diff(x) >= 0.0).all()
    assert x.mean() == pytest.approx(mean, rel=2e-3)
    if second is not None:
        assert (x * x).mean() == pytest.approx(second, rel=2e-3)


def test_every_distribution_is_tested():
    assert set(MOMENTS) == set(KINDS)


def test_kepler_is_solved_at_every_eccentricity():
    e, M = (part.ravel() for part in np.meshgrid([0.0, 0.3, 0.9, 0.999999], np.linspace(0.0, 2 * np.pi, 201)[:-1]))
    E = mean_to_eccentric(M, e)
    assert np.abs(E - e * np.sin(E) - M).max() < 4e-15


def test_an_encounter_depends_on_its_number_alone():
    many, few = EXPERIMENT.sample(np.arange(100)), EXPERIMENT.sample(np.array([93, 4]))
    for name in ("mass", "position", "velocity", "spin", "radius"):
        assert np.array_equal(getattr(few, name), getattr(many, name)[[93, 4]])
    other = Scattering(EXPERIMENT.parts, EXPERIMENT.approach, seed=6).sample(np.arange(100))
    assert not np.isclose(other.position, many.position).all(axis=(1, 2)).any()


def test_orbits_are_those_drawn():
    s = EXPERIMENT.sample(np.arange(50))
    for k in range(50):
        inner = elements_from_state(1.5, s.position[k, 1] - s.position[k, 0], s.velocity[k, 1] - s.velocity[k, 0])
        assert inner.semi_major_axis == pytest.approx(2.0, rel=1e-9)
        assert inner.eccentricity == pytest.approx(s.drawn["eccentricity_a"][k], rel=1e-9, abs=1e-9)
        centre = (s.position[k, 0] + 0.5 * s.position[k, 1]) / 1.5, (s.velocity[k, 0] + 0.5 * s.velocity[k, 1]) / 1.5
        r, w = s.position[k, 2] - centre[0], s.velocity[k, 2] - centre[1]
        assert np.linalg.norm(r) == pytest.approx(60.0, rel=1e-12) and r @ w < 0.0
        assert w @ w - 2.0 * 2.5 / 60.0 == pytest.approx(0.49, rel=1e-11)
        assert np.linalg.norm(np.cross(r, w)) == pytest.approx(0.7 * s.drawn["impact_parameter"][k], rel=1e-9)
    assert np.abs(np.einsum("kn,knd->kd", s.mass, s.position)).max() < 1e-12


def test_orientations_are_isotropic():
    s = EXPERIMENT.sample(np.arange(4000))
    r, w = s.position[:, 1] - s.position[:, 0], s.velocity[:, 1] - s.velocity[:, 0]
    normal = np.cross(r, w) / np.linalg.norm(np.cross(r, w), axis=1)[:, None]
    assert np.abs(normal.mean(axis=0)).max() < 4.0 / math.sqrt(3 * 4000)
    assert np.abs((normal**2).mean(axis=0) - 1.0 / 3.0).max() < 4.0 * math.sqrt(4.0 / 45.0 / 4000)


def test_scaled_encounters_use_critical_velocities():
    scaled = Scattering((THERMAL, Part((STAR,))), Approach(fixed(1.0), fixed(3.0), scaled=True), seed=1).sample(
        np.arange(20)
    )
    kinetic = 0.5 * np.einsum("kn,knd,knd->k", scaled.mass, scaled.velocity, scaled.velocity)
    potential = sum(
        scaled.mass[:, i] * scaled.mass[:, j] / np.linalg.norm(scaled.position[:, i] - scaled.position[:, j], axis=1)
        for i in range(3)
        for j in range(i)
    )
    assert (
        np.abs(kinetic - potential).max() < 1e-3 * potential.min()
    )  # the energy is zero, but for the tide at the start
    assert scaled.drawn["impact_parameter"] == pytest.approx(np.full(20, 6.0))


def test_largest_periastron_becomes_an_area():
    near = Scattering((THERMAL, Part((STAR,))), Approach(fixed(0.2), periastron=3.0, separation=99.0), seed=1)
    s = near.sample(np.arange(500)).drawn
    b, v, mu = s["impact_parameter"], 0.2, 2.5
    periastron = mu / v**2 * (np.sqrt(1.0 + (b * v * v / mu) ** 2) - 1.0)
    assert 2.9 < periastron.max() < 3.0
    assert np.mean((b / s["largest_impact_parameter"]) ** 2) == pytest.approx(0.5, abs=0.06)


def test_spins_have_the_length_asked_for():
    hole = Body(fixed(2.0), spin=Distribution("uniform", {"low": 0.2, "high": 0.9}), black_hole=True)
    pair = Scattering((Part((hole, hole), (Orbit(fixed(100.0)),)),), None, c=3.0)
    chi = np.linalg.norm(pair.sample(np.arange(300)).spin, axis=2) * 3.0 / 4.0
    assert 0.2 <= chi.min() < 0.22 and 0.88 < chi.max() <= 0.9


def test_triples_have_their_inclinations():
    outer = Orbit(fixed(30.0), fixed(0.3), fixed(1.1))
    triple = Scattering((Part((STAR, STAR, STAR), (Orbit(fixed(1.0)), outer)),), None, seed=2)
    s = triple.sample(np.arange(30))
    inner = np.cross(s.position[:, 1] - s.position[:, 0], s.velocity[:, 1] - s.velocity[:, 0])
    x, v = (state[:, 2] - 0.5 * (state[:, 0] + state[:, 1]) for state in (s.position, s.velocity))
    wide = np.cross(x, v)
    cosine = np.einsum("kd,kd->k", inner, wide) / np.linalg.norm(inner, axis=1) / np.linalg.norm(wide, axis=1)
    assert cosine == pytest.approx(np.full(30, math.cos(1.1)), abs=1e-12)


def test_cross_sections_have_binomial_errors():
    happened = np.arange(1000) < 250
    c = cross_section(happened, np.full(1000, 2.0), np.full(1000, 4.0), np.full(1000, 0.5))
    assert c.fraction == 0.25 and c.fraction_error == pytest.approx(math.sqrt(0.25 * 0.75 / 1000))
    assert c.area == pytest.approx(math.pi) and c.area_error == pytest.approx(4 * math.pi * c.fraction_error)
    assert c.scaled == pytest.approx(0.25 * (2.0 / 4.0 * 0.5) ** 2)
    never = cross_section(np.zeros(1000, bool), np.full(1000, 2.0))
    assert never.area == 0.0 and never.area_error == pytest.approx(1.14 * 4 * math.pi / 1000, rel=1e-2)


def test_capture_cross_section_scales_as_it_must():
    one = capture_cross_section(0.5, 0.5, 1e-3)
    assert capture_cross_section(0.5, 0.5, 1e-4) / one == pytest.approx(10 ** (18 / 7), rel=0.03)
    assert capture_cross_section(5.0, 5.0, 1e-3) / one == pytest.approx(100.0, rel=1e-12)
    nearest = (85 * math.pi / (6 * math.sqrt(2)) / 4) ** (2 / 7) * 1e-3 ** (-4 / 7)
    assert one == pytest.approx(math.pi * nearest * (nearest + 2e6), rel=1e-12)


def test_rows_repeat_alone():
    settings = Settings(300.0, ("escape",))
    rows = run_encounters(EXPERIMENT, settings, np.arange(30))
    alone, _, track = replay(EXPERIMENT, settings, 21)
    for name, value in alone.items():
        assert np.array_equal(value, rows[name][21:22], equal_nan=value.dtype.kind == "f"), name
    assert len(track.time) == rows["steps"][21]
    found = cross_sections(rows, even_area=True)
    assert sum(c.count for name, c in found.items() if name != "resonance") == 30


MISTAKES = {
    "unknown distribution": (lambda: Distribution("thermel"), "did you mean 'thermal'"),
    "missing parameter": (lambda: Distribution("uniform", {"low": 1.0}), "needs 'high'"),
    "unknown parameter": (lambda: Distribution("uniform", {"low": 1.0, "high": 2.0, "hi": 1.0}), "does not know 'hi'"),
    "order": (lambda: Distribution("uniform", {"low": 3.0, "high": 2.0}), "low is 3 and high 2"),
    "negative log": (lambda: Distribution("log-uniform", {"low": -3.0, "high": 2.0}), "low is -3"),
    "eccentric": (lambda: Distribution("thermal", {"high": 1.5}), "below 1"),
    "no impact": (lambda: Approach(fixed(1.0)), "one of impact_parameter and periastron"),
    "one part": (lambda: Scattering((THERMAL,), Approach(fixed(1.0), DISK)), "1 parts"),
    "one body": (lambda: Scattering((Part((STAR,)),), None), "one body alone"),
    "orbits": (lambda: Part((STAR, STAR)), "2 bodies with 0 orbits"),
    "negative mass": (
        lambda: Scattering((Part((Body(fixed(-1.0)), STAR), (Orbit(fixed(1.0)),)),), None).sample(np.arange(1)),
        "a mass of -1 was drawn",
    ),
    "inside": (
        lambda: Scattering(EXPERIMENT.parts, Approach(fixed(5.0), fixed(50.0), separation=9.0)).sample(np.arange(1)),
        "inside its periastron",
    ),
    "spin without light": (
        lambda: Scattering((Part((STAR,)), Part((Body(fixed(1.0), spin=fixed(0.5)),))), Approach(fixed(1.0), DISK)),
        "need a speed of light",
    ),
}


@pytest.mark.parametrize(("make", "words"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_one_line(make, words):
    with pytest.raises(InputError, match=words):
        make()


@pytest.mark.slow
def test_ionisation_at_high_velocity_is_hut_s():
    circular = Part((STAR, STAR), (Orbit(fixed(1.0)),))
    fast = Scattering(
        (circular, Part((STAR,))), Approach(fixed(12.0), Distribution("disk", {"high": 2.0}), scaled=True), seed=8
    )
    rows = run_encounters(fast, Settings(1e5), np.arange(100_000))
    c = cross_sections(rows, even_area=True)["ionisation"]
    assert abs(c.scaled - 40.0 / 9.0) < 3.0 * c.scaled_error < 0.7


@pytest.mark.slow
def test_hard_binaries_exchange_and_resonate_as_in_starlab():
    """Starlab's sigma3, by the authors of Hut & Bahcall 1983: figures and errors of 9,090 encounters (benchmarks/ensemble.py)."""
    circular = Part((STAR, STAR), (Orbit(fixed(1.0)),))
    hard = Scattering(
        (circular, Part((STAR,))), Approach(fixed(0.1), Distribution("disk", {"high": 36.0}), scaled=True), seed=8
    )
    rows = run_encounters(hard, Settings(1e5, tolerance=1e-10), np.arange(4000))
    found = cross_sections(rows, even_area=True)
    for name, peer, error in (("exchange", 3.31, 0.075), ("resonance", 4.68, 0.10)):
        c = found[name]
        assert abs(c.scaled - peer) < 3.0 * math.hypot(c.scaled_error, error) < 0.5
    assert found["exchange"].scaled == pytest.approx(3.91, rel=0.25)  # the fit of Heggie, Hut & McMillan 1996


@pytest.mark.slow
def test_long_resonances_forget_who_came():
    """Equal masses: each leaves as often as the others, and the pair left has 1/2 <= <e^2>, 1/2 for a thermal distribution."""
    circular = Part((STAR, STAR), (Orbit(fixed(1.0)),))
    hard = Scattering(
        (circular, Part((STAR,))), Approach(fixed(0.1), Distribution("disk", {"high": 20.0}), scaled=True), seed=9
    )
    s = hard.sample(np.arange(2000))
    end = evolve_batch(s.mass, s.position, s.velocity, 1e6, tolerance=1e-10, stop=("escape",))
    alone = (end.tops[:, :, None] == end.tops[:, None, :]).sum(axis=2) == 1
    gone = end.parted == 2
    long, none = gone & (end.minima >= 10), gone & (end.minima == 1)
    assert long.sum() > 400
    share = alone[long].mean(axis=0)
    assert np.abs(share - 1.0 / 3.0).max() < 3.0 * np.sqrt(2.0 / 9.0 / long.sum())
    assert 0.48 < np.mean(end.orbits[long, 0, 1] ** 2) < 0.62
    assert alone[none, 2].mean() > 0.5  # a single passage remembers
