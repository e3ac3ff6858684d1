"""Pictures: what is drawn from a known trajectory."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
from askel.particles import InputError

import askel
from askel import panels
from askel.history import pairs_of, read_history
from askel.molecular_panels import _cut_bonds
from askel.plot import figure

JOB = tomllib.loads(Path(__file__).with_name("job.toml").read_text())


@pytest.fixture(scope="module")
def relativistic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the trajectory of two black holes and a far light body, in units with a speed of light."""
    far = {"mass": 1e-3, "position": [30.0, 0.0, 0.0], "velocity": [0.0, 0.26, 0.0], "kind": "star"}
    bodies = [{**body, "kind": "black-hole"} for body in JOB["particles"]["body"]]
    path = tmp_path_factory.mktemp("plot") / "pair.h5md"
    tables = {
        "units": {"system": "nbody", "speed_of_light": 100.0},
        "particles": {"body": [*bodies, far]},
        "integrator": {"kind": "chain"},
        "run": {"t_end": 20.0},
        "output": {"file": str(path), "every": 0.1},
    }
    return askel.run(tables).trajectory


def test_the_history_holds_every_body_at_every_frame(relativistic: Path) -> None:
    history = read_history(relativistic)
    assert history.position.shape == (3, 201, 3)
    assert list(history.black_hole) == [True, True, False]
    assert np.isfinite(history.position).all()
    part = read_history(relativistic, last=0.25)
    assert part.time[0] == pytest.approx(15.0, abs=1e-9)
    with pytest.raises(InputError, match="fraction"):
        read_history(relativistic, last=0.0)


def test_pairs_have_the_elements_of_the_orbit(relativistic: Path) -> None:
    pairs = pairs_of(read_history(relativistic))
    assert [pair.name for pair in pairs] == ["0 \u2013 1", "(0+1) \u2013 2"]
    # v^2/2 - mu/r = 0.32 - 1 = -mu/(2 a): a = 1/0.68; apocentre r = 2 = a (1 + e)
    inner = pairs[0]
    assert np.nanmax(np.abs(inner.semi_major_axis - 1 / 0.68)) < 1e-3
    assert np.nanmax(np.abs(inner.eccentricity - 0.36)) < 1e-3
    assert 0.93 < np.nanmin(inner.separation) < 0.96
    assert np.nanmax(inner.separation) == pytest.approx(2.0, abs=1e-3)


def test_the_strain_is_that_of_the_quadrupole(relativistic: Path) -> None:
    time, plus, cross = panels._strain(read_history(relativistic))
    # at the start, apocentre on the x axis: Q_xx'' = 2 sum m (v_x^2 + x a_x) = -1, Q_yy'' = 2 sum m v_y^2 = 0.64
    assert plus[0] == pytest.approx((-1.0 - 0.64) / 100.0**4, rel=1e-6)
    assert abs(cross[0]) < 1e-6 * abs(plus[0])
    assert len(time) == len(plus)


def test_panels_follow_from_what_there_is(relativistic: Path) -> None:
    titles = [axes.get_title(loc="left") for axes in figure(read_history(relativistic), "xy", "t").axes]
    assert [t.split(",")[0].split(" seen")[0] for t in titles] == [
        "Orbits", "Relative orbit 0 \u2013 1", "Energy error", "Semi-major axis", "Eccentricity",
        "Gravitational-wave strain x distance",
    ]  # fmt: skip


def test_orbits_are_curves_through_the_frames(relativistic: Path) -> None:
    history = read_history(relativistic)
    xy, velocity = history.position[0, :, :2], history.velocity[0, :, :2]
    smooth = panels._sampled(velocity)
    assert smooth.all()
    segments, when = panels._curve(xy, velocity, history.time, smooth)
    assert len(segments) == 4 * 200 == len(when)
    assert np.array_equal(segments[::4, 0], xy[:-1])
    assert np.abs(segments[2::4, 0] - panels_middle(history)).max() < 1e-4  # halfway between two frames
    assert not panels._sampled(velocity[::25]).all()  # a quarter of an orbit and more between frames


def panels_middle(history) -> np.ndarray:
    """Return positions halfway between frames by the quintic through positions, velocities and accelerations."""
    x, v, dt = history.position[0, :, :2], history.velocity[0, :, :2], 0.1
    other = history.position[1, :, :2]
    pull = (other - x) / np.linalg.norm(other - x, axis=1)[:, None] ** 3
    x0, x1, v0, v1, a0, a1 = x[:-1], x[1:], v[:-1], v[1:], pull[:-1], pull[1:]
    return (x0 + x1) / 2 + 5 * dt * (v0 - v1) / 32 + dt**2 * (a0 + a1) / 64


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_command_writes_a_picture_and_never_over_one(relativistic: Path, folder, suffix: str) -> None:
    target = folder.path / f"picture{suffix}"
    assert folder.askel("plot", str(relativistic), "-o", str(target), "--plane", "xz").code == 0
    content = target.read_bytes()
    assert content[:4] in (b"\x89PNG", b"<?xm")
    assert len(content) > 20_000
    again = folder.askel("plot", str(relativistic), "-o", str(target))
    assert again.code == 2 and "is there already" in again.line()
    assert target.read_bytes() == content
    assert folder.askel("plot", str(relativistic), "-o", str(target), "--plane", "xz", "--overwrite").code == 0
    assert target.read_bytes() == content


def test_pictures_that_cannot_be(relativistic: Path, folder) -> None:
    assert folder.askel("plot", str(relativistic), "-o", "a.bmp").code == 2
    assert folder.askel("plot", str(relativistic), "--last", "2").code == 2
    assert folder.askel("plot", "none.h5md").code == 2


def test_bonds_do_not_hide_what_is_not_bonded() -> None:
    from matplotlib.figure import Figure

    r = np.linspace(0.5, 6.0, 500)
    liquid = 1.0 / (1.0 + np.exp(-20.0 * (r - 2.5)))
    bonded = liquid + 30.0 * np.exp(-(((r - 1.0) / 0.03) ** 2))
    axes = Figure().subplots()
    axes.plot(r, bonded)
    _cut_bonds(axes, [liquid, bonded])
    assert axes.get_ylim()[1] == pytest.approx(1.3, rel=0.01)
    assert "bonds reach 29" in axes.texts[0].get_text()
    solid = Figure().subplots()
    solid.plot(r, 3.0 * np.exp(-(((r - 2.5) / 0.1) ** 2)) + liquid)
    _cut_bonds(solid, [liquid, 3.0 * np.exp(-(((r - 2.5) / 0.1) ** 2)) + liquid])
    assert not solid.texts
