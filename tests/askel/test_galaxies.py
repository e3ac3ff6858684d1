"""Galaxies of job files: what they become, and every mistake as one line that names the key."""

import math
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from askel.particles import KINDS, InputError

from askel.config import parse
from askel.galaxies import MODELS
from askel.sources import particles_of

COMPONENT = {"model": "hernquist", "n": 40, "mass": 1.0, "scale_radius": 1.0}
EXTRA = {"nfw": {"truncation_radius": 10.0}, "king": {"central_potential": 6.0}, "dehnen": {"inner_slope": 1.5}}


def job(galaxies, units=None, seed=3, **particles):
    tables = {
        "units": units or {"system": "nbody", "speed_of_light": 100.0},
        "particles": {"galaxy": galaxies, **particles},
        "run": {"t_end": 1.0, "seed": seed},
    }
    return parse(tables)


def state_of(*galaxies, **options):
    return particles_of(job(list(galaxies), **options), Path())


def one(hole=None, **changes):
    component = {k: v for k, v in (COMPONENT | changes).items() if v is not None}
    return {"component": [component]} | ({} if hole is None else {"black_hole": hole})


@pytest.mark.parametrize("model", MODELS)
def test_every_model(model):
    state = state_of(one(model=model, **EXTRA.get(model, {})))
    assert state.n == 40 and state.mass.sum() == pytest.approx(1.0 if model in ("nfw", "king") else 0.99)
    assert set(state.kind) == {KINDS["star"]} and state.softening is None
    state.check()


def test_a_galaxy_in_kpc():
    halo = COMPONENT | {
        "model": "nfw",
        "kind": "dark-matter",
        "mass": "1e11 Msun",
        "scale_radius": "10 kpc",
        "softening": "100 pc",
    }
    halo["truncation_radius"] = "0.1 Mpc"
    galaxy = one(
        hole={"mass": "1e7 Msun", "dimensionless_spin": [0.0, 0.0, 0.5]}, mass="1e10 Msun", mass_function="kroupa"
    )
    galaxy["component"].append(halo)
    state = state_of(galaxy, units={"system": "galactic"})
    assert np.bincount(state.kind).tolist() == [40, 1, 0, 40]
    assert state.mass[:40].sum() == pytest.approx(9.9e9) and state.mass[:40].std() > 1e8
    assert state.softening[40:].tolist() == pytest.approx([0.1] * 40 + [0.0])
    assert state.mass[80] == pytest.approx(1e7)
    G, c = state.units.gravitational_constant, state.units.speed_of_light
    assert state.spin[80, 2] == pytest.approx(0.5 * G * 1e14 / c)
    assert 30 < np.sqrt(np.mean(state.velocity[40:80] ** 2)) < 60  # km/s, along one axis


def test_the_seed_of_the_run_decides():
    a, b, c = (state_of(one(), seed=s).position for s in (3, 3, 4))
    assert (a == b).all() and not np.isclose(a, c).any()


def test_two_galaxies_on_an_orbit():
    orbit = {"pericentre": 0.5, "eccentricity": 1.0, "separation": 20.0}
    state = state_of(one(hole={"mass": 0.1}), one(mass=0.5), orbit=orbit)
    assert state.n == 81 and (state.identity == np.arange(81)).all()
    (xa, va), (xb, vb) = (state.select(rows).centre_of_mass() for rows in (np.arange(41), np.arange(41, 81)))
    x, v, mu = xb - xa, vb - va, state.mass.sum()
    assert np.linalg.norm(x) == pytest.approx(20.0) and v @ v == pytest.approx(2 * mu / 20.0)
    assert np.linalg.norm(np.cross(x, v)) == pytest.approx(math.sqrt(2 * mu * 0.5))
    assert not np.isclose(state.position[:40] - xa, state.position[41:] - xb).any()  # no two galaxies share noise


def test_galaxies_in_places_and_bodies_beside_them():
    first, second = one(), one() | {"position": [5.0, 0.0, 0.0], "velocity": [0.0, 1.0, 0.0]}
    body = {"mass": 0.1, "position": [9.0, 9.0, 9.0], "velocity": [0.0, 0.0, 0.0], "kind": "black-hole"}
    state = state_of(first, second, body=[body, body | {"kind": None, "position": [8.0, 9.0, 9.0]}])
    assert state.select(np.arange(40, 80)).centre_of_mass()[0] == pytest.approx([5, 0, 0])
    assert state.kind[80:].tolist() == [KINDS["black-hole"], KINDS["star"]] and state.position[80].tolist() == [9, 9, 9]
    assert state.identity.tolist() == list(range(82))


def test_a_black_hole_binary():
    state = state_of(one(hole={"mass": 0.2, "semi_major_axis": 0.01, "eccentricity": 0.5, "mass_ratio": 0.25}))
    assert state.mass[-2:].tolist() == pytest.approx([0.16, 0.04])
    assert np.linalg.norm(state.position[-1] - state.position[-2]) == pytest.approx(0.005)


ORBIT = {"pericentre": 1.0, "separation": 10.0}
MISTAKES = {
    "model": ([one(model="hernqist")], {}, r"galaxy\.0\.component\.0\.model = 'hernqist'.*did you mean 'hernquist'"),
    "n": ([one(n=0)], {}, r"particles\.galaxy\.0\.component\.0\.n = 0"),
    "fraction of n": ([one(n=1.5)], {}, r"component\.0\.n = 1\.5"),
    "too many": ([one(n=10**14)], {}, "do not fit into memory"),
    "negative mass": ([one(), one(mass=-1.0)], {}, r"particles\.galaxy\.1\.component\.0: mass is -1; it must be"),
    "unit": ([one(mass="1 kpc")], {}, r"component\.0\.mass = \"1 kpc\".*a length.*a mass"),
    "no scale": ([one(scale_radius=None)], {}, r"component\.0\.scale_radius is missing"),
    "misspelt": ([one(sofening=1.0)], {}, r"component\.0\.sofening.*did you mean 'softening'"),
    "no truncation": ([one(model="nfw")], {}, r"truncation_radius is missing; this model needs it \(model = 'nfw'\)"),
    "slope": (
        [one(model="dehnen", inner_slope=3.0)],
        {},
        r"component\.0: inner_slope is 3; Dehnen's models.*0 to 2\.5",
    ),
    "a King's key": ([one(central_potential=3.0)], {}, r"central_potential is for another model"),
    "anisotropy": (
        [one(anisotropy_radius=0.1)],
        {},
        r"galaxy\.0: Hernquist: anisotropy_radius is 0\.1.*possible one is 0\.202",
    ),
    "core and hole": ([one({"mass": 0.1}, model="plummer")], {}, r"galaxy\.0: Plummer: no distribution.*black hole"),
    "kind": ([one(kind="sta")], {}, r"component\.0: kind 'sta' is unknown"),
    "softening": ([one(softening=-1.0)], {}, r"component\.0: softening is -1"),
    "sampling": ([one() | {"sampling": "loud"}], {}, r"galaxy\.0\.sampling = \"loud\""),
    "nothing": ([{}], {}, r"galaxy\.0: a galaxy has no components"),
    "hole": ([one({"mass": 0.0})], {}, r"galaxy\.0\.black_hole: black_hole_mass is 0"),
    "half a binary": ([one({"mass": 1.0, "mass_ratio": 0.5})], {}, r"black_hole\.mass_ratio is for a binary"),
    "three on an orbit": ([one()] * 3, {"orbit": ORBIT}, r"particles\.orbit is for two galaxies; there are 3"),
    "orbit and position": ([one() | {"position": [1.0, 0.0, 0.0]}, one()], {"orbit": ORBIT}, "remove position"),
    "orbit": (
        [one()] * 2,
        {"orbit": ORBIT | {"separation": 0.5}},
        r"particles\.orbit: separation is 0\.5.*from 1 to inf",
    ),
    "file too": ([one()], {"file": "a.csv"}, r"both of file and \[\[particles\.galaxy\]\]"),
    "identity": (
        [one()],
        {"body": [{"mass": 1.0, "position": [0.0] * 3, "velocity": [0.0] * 3, "identity": 3}]},
        "remove identity",
    ),
}


@pytest.mark.parametrize(("galaxies", "options", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes(galaxies, options, message):
    with pytest.raises(InputError) as caught:
        state_of(*galaxies, **options)
    assert re.search(message, str(caught.value)) and "\n" not in str(caught.value)


def test_the_example_runs_and_repeats(folder):
    assert folder.askel("example", "plummer").code == 0
    assert folder.askel("run", "plummer.toml", "-s", "run.t_end=0.2", "--quiet").code == 0
    first = (folder.path / "plummer.used.toml").read_text()
    assert folder.askel("run", "plummer.used.toml", "-s", 'output.file="again.h5md"', "--quiet").code == 0
    from askel import read

    assert (read("plummer.h5md").position == read("again.h5md").position).all() and "sampling" in first


@pytest.mark.parametrize("softening", [None, "10 pc"])
def test_a_snapshot_as_initial_conditions(folder, softening):
    """A galaxy written as GADGET would have it, and run from there: kinds, masses and softenings arrive."""
    from askel import read, write

    bulge = one(hole={"mass": "1e8 Msun"}, mass="1e10 Msun", n=30, softening=softening)
    bulge["component"].append(
        COMPONENT | {"kind": "dark-matter", "mass": "1e11 Msun", "scale_radius": "5 kpc", "n": 20}
    )
    made = state_of(bulge, units={"system": "galactic"})
    write(folder.path / "snapshot.hdf5", made)
    folder.write(
        '[units]\nsystem = "galactic"\n[particles]\nfile = "snapshot.hdf5"\n[gravity]\nsoftening = "50 pc"\n'
        '[integrator]\nkind = "leapfrog"\nstep = "0.1 Myr"\n[run]\nt_end = "1 Myr"\n'
    )
    answer = folder.askel("run", "job.toml", "--quiet")
    assert answer.code == 0, answer.err
    first = read("run.h5md", frame=0)
    np.testing.assert_allclose(first.position, made.position, rtol=1e-14)
    np.testing.assert_allclose(first.velocity, made.velocity, rtol=1e-14)
    np.testing.assert_allclose(first.mass, made.mass, rtol=1e-14)
    assert (first.kind == made.kind).all() and np.bincount(first.kind).tolist() == [30, 1, 0, 20]
    assert (first.softening is None) == (softening is None)


def test_the_job_of_the_guide():
    blocks = re.findall(
        r"```toml\n(.*?)```", (Path(__file__).parents[2] / "docs" / "initial_conditions.md").read_text(), re.S
    )
    galaxy, orbit = (tomllib.loads(block) for block in blocks)
    state = state_of(*galaxy["particles"]["galaxy"], units=galaxy["units"])
    assert np.bincount(state.kind).tolist() == [20_000, 1, 0, 50_000]
    smaller = [g | {"component": [c | {"n": 20} for c in g["component"]]} for g in galaxy["particles"]["galaxy"] * 2]
    assert state_of(*smaller, units=galaxy["units"], **orbit["particles"]).n == 82
