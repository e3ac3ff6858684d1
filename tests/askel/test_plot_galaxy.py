"""Pictures of galaxies: what is measured, against what is known in closed form, and what is drawn."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from askel.nbody.initial_conditions import Component, Galaxy, Plummer
from askel.nbody.orbits import OrbitalElements, binary_state
from askel.particles import KINDS, Particles, join
from askel.particles.io_h5md import TrajectoryWriter
from askel.particles.units import UNIT_SYSTEMS, UnitSystem, custom_units, nbody_units
from matplotlib.figure import Figure

from askel import galaxy_panels, galaxy_strain
from askel.galaxy_history import (
    GalaxyRun,
    density_centre,
    density_profile,
    holds_galaxy,
    lagrangian_radii,
    pair_elements,
    pairs_of_tracks,
    read_galaxy_run,
)
from askel.history import History
from askel.plot import galaxy_figure
from askel.surface_density import surface_density

SPHERE = Plummer(mass=1.0, scale_radius=0.7)
STARS, HALO = 600, 300
AXIS, ECCENTRICITY, MASSES = 0.01, 0.6, (0.03, 0.01)
LIGHT = 60.0
CENTRE = np.array([3.0, -1.0, 0.5])


def cloud(units: UnitSystem) -> Particles:
    """Return stars and dark matter of one Plummer sphere about ``CENTRE``."""
    stars = Galaxy([Component(SPHERE, STARS)]).sample(seed=1, units=units, sampling="quiet")
    halo = Galaxy([Component(Plummer(2.0, 2.0), HALO, kind="dark-matter")])
    state = join([stars, halo.sample(seed=2, units=units, sampling="quiet", first_identity=STARS)])
    state.position += CENTRE
    return state


def holes(time: float) -> tuple[np.ndarray, np.ndarray]:
    """Return positions and velocities of two black holes on an ellipse about ``CENTRE``, from its periastron on."""
    anomaly = float(np.sqrt(sum(MASSES) / AXIS**3) * time)
    x, v = binary_state(MASSES, OrbitalElements(AXIS, ECCENTRICITY, 0.3, 0.2, 0.1, anomaly))
    return x + CENTRE, v


def write(path: Path, rows: np.ndarray, *, light: float | None = LIGHT, merges: float | None = None) -> Path:
    """Write frames of a galaxy at rest, and the rows of its two black holes at given times."""
    stars = cloud(nbody_units(speed_of_light=light))
    with TrajectoryWriter.create(path, first := with_holes(stars, 0.0)) as file:
        for step, time in enumerate(np.linspace(0.0, 1.0, 5)):
            file.append(first if step == 0 else with_holes(stars, float(time)), step)
            file.append_row("series/energy", {"step": step, "time": time, "energy_error": -1e-6 * time})
        for step, time in enumerate(rows):
            x, v = holes(time)
            for k in range(2):
                row = {"step": step, "time": time, "identity": STARS + HALO + k, "mass": MASSES[k], "members": 2}
                row |= {f"position_{c}": x[k, i] for i, c in enumerate("xyz")}
                row |= {f"velocity_{c}": v[k, i] for i, c in enumerate("xyz")}
                file.append_row("series/black_holes", row)
        if merges is not None:
            at = {f"position_{c}": CENTRE[i] for i, c in enumerate("xyz")}
            names = {"identity_1": STARS + HALO, "identity_2": STARS + HALO + 1}
            file.append_row("events/merger", {"step": 9, "time": merges, "separation": 0.02, **names, **at})
    return path


def with_holes(stars: Particles, time: float) -> Particles:
    x, v = holes(time)
    pair = Particles(
        MASSES, x, v, kind=[KINDS["black-hole"]] * 2, identity=[STARS + HALO, STARS + HALO + 1], units=stars.units
    )
    state = join([stars, pair])
    state.time = time
    return state


PERIOD = 2 * np.pi * np.sqrt(AXIS**3 / sum(MASSES))
SPARSE = np.linspace(0.0, 1.0, 7)
DENSE = np.linspace(0.0, 1.0, int(60 / PERIOD))


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("galaxy") / "dense.h5md", DENSE, merges=1.0)


@pytest.fixture(scope="module")
def run(dense: Path) -> GalaxyRun:
    return read_galaxy_run(dense)


# ---------------------------------------------------------------------- shells of mass


def test_lagrangian_radii_are_those_of_the_sphere() -> None:
    shares = np.array([0.1, 0.5, 0.9])
    radius = SPHERE.radius_enclosing((np.arange(20_000) + 0.5) / 20_000)
    found = lagrangian_radii(np.full(20_000, 1.0 / 20_000), radius, shares)
    assert found == pytest.approx(SPHERE.radius_enclosing(shares), rel=1e-3)
    heavy = lagrangian_radii([1.0, 8.0, 1.0], [3.0, 2.0, 1.0])
    assert heavy.tolist() == [1.0, 2.0, 2.0]


def test_radii_of_a_run_are_around_its_density_centre(run: GalaxyRun) -> None:
    assert np.linalg.norm(run.centre - CENTRE) < 0.1
    assert set(run.radii) == {"star", "dark-matter"} and run.radii["star"].shape == (5, 3)
    cut = 0.99  # of the mass: the model is sampled so far out
    expected = SPHERE.radius_enclosing(cut * np.array([0.1, 0.5, 0.9]))
    assert np.abs(run.radii["star"] / expected - 1.0).max() < 0.12
    assert np.abs(run.radii["star"] / expected - 1.0).max() > 1e-4  # 600 stars are not a continuum


def test_of_two_galaxies_the_denser_one_is_the_centre() -> None:
    rng = np.random.default_rng(5)
    wide, narrow = rng.normal(size=(4000, 3)), rng.normal(size=(3000, 3)) * 0.4 + [8.0, 0.0, 0.0]
    centre = density_centre(np.ones(7000), np.concatenate([wide, narrow]))
    assert np.linalg.norm(centre - [8.0, 0.0, 0.0]) < 0.2
    followed = density_centre(np.ones(7000), np.concatenate([wide, narrow]), start=np.zeros(3))
    assert np.linalg.norm(followed) < 0.35
    assert np.allclose(density_centre(np.ones(3), np.eye(3)), 1 / 3)
    assert np.allclose(density_centre(np.ones(99), np.ones((99, 3))), 1.0)


def test_the_profile_is_the_density() -> None:
    radius = SPHERE.radius_enclosing((np.arange(40_000) + 0.5) / 40_000)
    r, density = density_profile(np.full(40_000, 1.0 / 40_000), radius)
    core = (r > 0.1) & (r < 5.0)
    assert core.sum() > 10
    assert np.abs(density / SPHERE.density(r) - 1.0)[core].max() < 0.05


def test_surface_density_holds_the_mass_and_the_law_of_plummer() -> None:
    stars = Galaxy([Component(SPHERE, 20_000)]).sample(seed=2, units=nbody_units())
    xy = stars.position[:, :2]
    image = surface_density(stars.mass, xy, np.zeros(2), 1.4, pixels=100)
    area = (2.8 / 100) ** 2
    inside = stars.mass[(np.abs(xy) < 1.4).all(axis=1)].sum()
    assert image.sum() * area == pytest.approx(inside, rel=0.02)
    place = (np.arange(100) + 0.5) * 0.028 - 1.4
    R2 = place[:, None] ** 2 + place**2
    law = SPHERE.mass * 0.7**2 / (np.pi * (0.49 + R2) ** 2)
    error = image / law - 1.0
    assert abs(error[R2 < 1.0].mean()) < 0.05
    assert 0.05 < error[R2 < 1.0].std() < 0.25  # sixteen bodies or more in a cell
    assert surface_density(stars.mass[:0], xy[:0], np.zeros(2), 1.0, pixels=50).sum() == 0.0


# ---------------------------------------------------------------------- black holes


def test_elements_and_separation_are_those_of_the_orbit(run: GalaxyRun) -> None:
    ((history, pair),) = pairs_of_tracks(run)
    assert pair.name == "900 \u2013 901" and len(pair.time) == len(DENSE)
    assert np.abs(pair.semi_major_axis / AXIS - 1.0).max() < 1e-9
    assert np.abs(pair.eccentricity - ECCENTRICITY).max() < 1e-9
    assert pair.separation[0] == pytest.approx(AXIS * (1 - ECCENTRICITY), rel=1e-9)
    assert pair.separation.max() == pytest.approx(AXIS * (1 + ECCENTRICITY), rel=1e-2)
    assert list(history.identity) == [900, 901]  # the heavier first


def test_rows_at_times_of_their_own_meet_on_a_cubic(run: GalaxyRun) -> None:
    one, other = run.tracks
    every = slice(1, None, 2)
    shifted = replace(
        other,
        time=other.time[every],
        mass=other.mass[every],
        position=other.position[every],
        velocity=other.velocity[every],
    )
    ((_, pair),) = pairs_of_tracks(replace(run, tracks=[one, shifted]))
    exact = np.array([np.linalg.norm(np.subtract(*holes(t)[0])) for t in pair.time])
    error = np.abs(pair.separation / exact - 1.0)
    assert error[::2].max() < 1e-12 and 1e-7 < error[1::2].max() < 2e-2


def test_a_pair_has_elements_from_where_it_stays_bound() -> None:
    history = read_pair(speeds=[5.0, 0.5, 5.0, 0.5, 0.5])
    pair = pair_elements(history)
    assert np.isnan(pair.semi_major_axis).tolist() == [True, True, True, False, False]
    assert pair.semi_major_axis[-1] == pytest.approx(1.0 / (2.0 - 0.25 / 2.0))
    assert np.isfinite(pair.separation).all()


def read_pair(speeds: list[float]) -> History:
    """Return two bodies of mass 1 at a distance of 1, with speeds across."""
    n = len(speeds)
    x, v = np.zeros((2, n, 3)), np.zeros((2, n, 3))
    x[0, :, 0], v[0, :, 1] = 1.0, speeds
    nothing: dict[str, np.ndarray] = {}
    return History(
        np.arange(n), np.array([1, 2]), np.ones((2, n)), x, v, np.ones(2, bool), nbody_units(), nothing, nothing, 0
    )


def test_files_without_rows_of_black_holes_are_drawn_from_their_frames(tmp_path: Path) -> None:
    path = write(tmp_path / "frames.h5md", np.zeros(0), light=None)
    found = read_galaxy_run(path)
    assert [len(track.time) for track in found.tracks] == [5, 5]
    ((_, pair),) = pairs_of_tracks(found)
    assert np.abs(pair.semi_major_axis / AXIS - 1.0).max() < 1e-9


# ---------------------------------------------------------------------- waves


def test_the_amplitude_is_that_of_a_circular_orbit_seen_from_above() -> None:
    history = replace(read_pair([np.sqrt(2.0)] * 9), units=nbody_units(speed_of_light=50.0))
    pair = pair_elements(history)
    plus, cross = galaxy_strain._waves(history)
    expected = 4.0 / 50.0**4
    assert np.hypot(plus, cross) == pytest.approx(np.full(9, expected), rel=1e-9)
    assert galaxy_strain.circular_amplitude(history, pair) == pytest.approx(np.full(9, expected), rel=1e-9)
    scaled = replace(history, units=custom_units("1 Mpc", "1e10 Msun", "1 Gyr"))
    assert galaxy_strain._distance(scaled.units) == pytest.approx(100.0)


def test_rows_that_show_the_phase_are_drawn_as_waves(run: GalaxyRun, tmp_path: Path) -> None:
    phase = galaxy_strain.last_phase(pairs_of_tracks(run), run.mergers)
    assert phase is not None and phase.merger == 1.0
    assert phase.pair.time[0] == pytest.approx(1.0 - 12 * PERIOD, abs=0.05 * PERIOD)
    sparse = read_galaxy_run(write(tmp_path / "sparse.h5md", np.linspace(0.0, 0.99, 40), merges=1.0))
    phase = galaxy_strain.last_phase(pairs_of_tracks(sparse), sparse.mergers)
    assert phase is not None and len(phase.pair.time) == 40
    axes = Figure().add_subplot()
    galaxy_strain.strain(axes, phase)
    assert axes.get_xscale() == "log" and axes.get_xlim() == pytest.approx((1.0, 0.01))


# ---------------------------------------------------------------------- pictures


def titles(run: GalaxyRun) -> list[str]:
    return [title for axes in galaxy_figure(run, "xy", "t").axes if (title := axes.get_title(loc="left"))]


def test_panels_follow_from_what_there_is(run: GalaxyRun, tmp_path: Path) -> None:
    assert titles(run) == [
        "Stars, last frame", "Dark matter, last frame", "Density around the density centre",
        "Strain of the last orbits x distance, seen along z",
        "Black holes: separation (pale), semi-major axis", "Eccentricity, once bound", "Lagrangian radii", "Energy error",
    ]  # fmt: skip
    newtonian = read_galaxy_run(write(tmp_path / "newton.h5md", SPARSE, light=None))
    assert not any("rain" in title or "wave" in title for title in titles(newtonian))
    alone = tmp_path / "alone.h5md"
    stars = Galaxy([Component(SPHERE, 500)]).sample(seed=1, units=UNIT_SYSTEMS["galactic"])
    with TrajectoryWriter.create(alone, stars) as file:
        file.append(stars, 0)
    assert titles(read_galaxy_run(alone)) == ["Stars, last frame", "Density around the density centre"]


def test_which_files_are_galaxies(dense: Path, tmp_path: Path) -> None:
    assert holds_galaxy(dense)
    few = tmp_path / "few.h5md"
    state = Galaxy([Component(SPHERE, 40)]).sample(seed=1, units=nbody_units())
    with TrajectoryWriter.create(few, state) as file:
        file.append(state, 0)
    assert not holds_galaxy(few)


def test_the_field_of_view_is_around_the_galaxy(run: GalaxyRun) -> None:
    middle, reach = galaxy_panels.field_of_view(run, [0, 1])
    assert np.linalg.norm(middle - CENTRE[:2]) < 0.1
    assert 1.5 * 1.305 * 0.7 < reach < 2.5 * 1.305 * 0.7


def test_the_command_writes_the_picture(dense: Path, folder) -> None:
    target = folder.path / "galaxy.png"
    assert folder.askel("plot", str(dense), "-o", str(target), "--plane", "xz", "--last", "0.5").code == 0
    assert len(target.read_bytes()) > 50_000
    assert folder.askel("plot", str(dense), "-o", str(folder.path / "b.png"), "--last", "0").code == 2


def test_the_facts_name_kinds_black_holes_and_the_closest_pair(dense: Path, folder) -> None:
    facts = json.loads(folder.askel("info", str(dense), "--json").out)
    assert facts["kinds"] == {"star": STARS, "black-hole": 2, "dark-matter": HALO}
    assert facts["black_holes"] == {"900": 0.03, "901": 0.01}
    pair = facts["closest_pair"]
    assert pair["identities"] == [900, 901] and pair["bound"]
    assert pair["semi_major_axis"] == pytest.approx(AXIS, rel=1e-9)
    assert pair["eccentricity"] == pytest.approx(ECCENTRICITY, abs=1e-9)
