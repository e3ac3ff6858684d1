"""The skeletons of CONTRIBUTING.md work, and pass the harness that their copies will meet."""

import importlib
import inspect
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from askel.integrators import PROPAGATORS, conformance, interaction_conformance, propagator_entry
from askel.integrators.conformance import ReferenceGravity, kepler, three_bodies
from askel.particles import KERNELS, InputError, Particles, resolve

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "skeletons"


@pytest.fixture
def load(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


def test_integrator(load, monkeypatch):
    entry = load("skeleton_integrator").ENTRY
    monkeypatch.setitem(PROPAGATORS, entry.kind, entry)

    def make():
        return propagator_entry(entry.kind).factory()(ReferenceGravity())

    able = make().capabilities
    order = conformance.measured_order(make, kepler(0.2), kepler(0.2, time=1.0), coarsest=0.2, most=600)
    assert able.order - 0.2 < order < able.order + 0.2
    assert able.adaptive != entry.fixed_step
    assert conformance.zero_step_is_identity(make, three_bodies(), 0.05)
    assert conformance.synchronise_is_harmless(make, three_bodies(), 0.05)
    assert conformance.lands_exactly(make, three_bodies(), 0.05)
    assert 1e-12 < conformance.reversibility_defect(make, kepler(0.5), 0.05, 20) < 1.0  # not declared, and not so
    assert conformance.membership_defect(make, three_bodies(), 0.05, (0, 2)) < 1e-12
    assert conformance.permutation_defect(make, three_bodies(), 0.05, (2, 0, 1)) < 1e-12
    with pytest.raises(InputError, match="positions alone"):
        entry.factory()(ReferenceGravity(velocity_dependent=True))


def test_interaction(load):
    halo = load("skeleton_interaction").LogarithmicHalo(speed=1.3, core=0.2)
    rng = np.random.default_rng(4)
    particles = Particles(rng.uniform(0.2, 1.0, 9), rng.normal(size=(9, 3)), rng.normal(size=(9, 3)))
    assert interaction_conformance.gradient_error(halo, particles, 1e-3) < 1e-9
    assert interaction_conformance.jerk_error(halo, particles, 1e-3) < 1e-9
    assert interaction_conformance.permutation_error(halo, particles, np.arange(9)[::-1]) < 1e-14
    assert interaction_conformance.net_force(halo, particles) > 1e-3  # an external field: momentum is not kept
    assert interaction_conformance.overwrites(halo, particles)
    assert interaction_conformance.leaves_particles_alone(halo, particles)
    assert interaction_conformance.wants_do_not_matter(halo, particles)
    assert interaction_conformance.accepts_no_particles(halo, particles)


def test_kernel(load, monkeypatch):
    reference = load("skeleton_kernel_reference")
    for key, path in reference.ROWS.items():
        monkeypatch.setitem(KERNELS, key, path)
    kernels = [resolve("halo_acceleration", backend) for backend in ("reference", "cpu")]
    assert len({str(inspect.signature(k)) for k in kernels}) == 1
    inputs, _ = reference.sample(np.random.default_rng(7))
    results = []
    for kernel in kernels:
        _, outputs = reference.sample(np.random.default_rng(7))
        assert kernel(*inputs, *outputs) == 0
        results.append(outputs)
    for expected, found in zip(*results, strict=True):
        assert np.abs(expected).max() > 1e-3
        assert np.abs(found - expected).max() < 2e-15 * np.abs(expected).max()
    position = inputs[0]
    position[3] = np.nan
    assert [kernel(*inputs, *results[0]) for kernel in kernels] == [1, 1]


def test_contributing_names_what_exists():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for skeleton in FOLDER.glob("*.py"):
        assert f"docs/skeletons/{skeleton.name}" in text
    folders = [
        *tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-dir"].values(),
        "tests",
        "docs",
        ".ci",
    ]
    paths = re.findall(rf"`((?:{'|'.join(map(re.escape, folders))})/[\w./]+)`", text)
    assert len(paths) > 15
    assert [path for path in paths if not (ROOT / path).exists()] == []
