"""The fused energy against the network in torch with the same weights, and against its own differences."""

import subprocess
import sys

import numpy as np
import pytest
from askel.equivariant import FusedEnergy, Model, save_model
from askel.equivariant.harmonics import slopes, solid_harmonics
from askel.equivariant.space_curve import along_curve
from askel.equivariant.tables import tabulate
from askel.particles import InputError

NAMES = ("species", "mass", "position", "cell", "periodic")


@pytest.fixture
def make_model(make_architecture, make_network):
    """Return a maker of models of energies, with outputs of order one."""

    def make(**options):
        architecture = make_architecture(head="energy", **options)
        return Model(architecture, make_network(architecture).arrays())

    return make


def call(engine, system, **changes):
    values = {"cell": None, "periodic": (False, False, False)} | system | changes
    return engine.energy(*(values[name] for name in NAMES))


def exact(model, system):
    from askel.md.energy_model import TorchEnergy

    return call(TorchEnergy(model), system)


def errors(found, expected):
    return [float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(found, expected, strict=True)]


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize(
    "options", [{}, {"parity": "both", "layers": 3}, {"l_max": 3, "layers": 3}, {"channels": 19, "layers": 1}], ids=str
)
def test_equals_the_network(make_model, make_system, options, periodic):
    model, system = make_model(**options), make_system(periodic=periodic)
    expected = exact(model, system)
    for dtype, of_energy, of_slopes in (("float64", 1e-7, 1e-5), ("float32", 1e-5, 2e-5)):
        energy, forces, virial = errors(call(FusedEnergy(model, dtype), system), expected)
        assert 0.0 < forces < of_slopes  # a layer's slopes are good to 3e-6 (1e-5) of the steepest, and layers add up
        assert energy < of_energy and virial < of_slopes


def test_the_reference_kernels_give_the_same(make_model, make_system):
    model, system = make_model(parity="both", layers=3), make_system(periodic=True)
    fast, slow = (call(FusedEnergy(model, backend=b), system) for b in ("cpu", "reference"))
    assert max(errors(fast, slow)) < 1e-12


def test_forces_and_virial_are_the_gradient_of_the_tabulated_energy(make_model, make_system):
    """Closer than the splines are to the network."""
    engine, system = FusedEnergy(make_model(parity="both")), make_system(periodic=True)
    _, forces, virial = call(engine, system)
    assert np.abs(forces).max() > 1e-2
    assert np.abs(forces.sum(axis=0)).max() < 1e-13 * np.abs(forces).sum()
    assert virial == pytest.approx(virial.T, abs=1e-11 * np.abs(virial).max())

    def slope(change):
        ends = [call(engine, system | change(sign * 1e-4))[0] for sign in (1.0, -1.0, 2.0, -2.0)]
        return (8.0 * (ends[0] - ends[1]) - (ends[2] - ends[3])) / 12e-4

    for i, axis in ((0, 0), (3, 1), (7, 2)):

        def moved(step, i=i, axis=axis):
            position = system["position"].copy()
            position[i, axis] += step
            return {"position": position}

        assert -slope(moved) == pytest.approx(forces[i, axis], abs=2e-9 * np.abs(forces).max())

    def strained(step):
        stretch = np.eye(3)
        stretch[1, 2] += step
        return {"position": system["position"] @ stretch, "cell": system["cell"] @ stretch}

    assert -slope(strained) == pytest.approx(virial[1, 2], abs=2e-9 * np.abs(virial).max())


def test_the_same_bits_for_any_number_of_threads_and_close_for_any_order(make_model, make_system):
    model, system = make_model(), make_system(n=40, periodic=True)
    one, two = (call(FusedEnergy(model, threads=n), system) for n in (1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    order = np.random.default_rng(0).permutation(40)
    energy, forces, _ = call(FusedEnergy(model), system | {k: system[k][order] for k in NAMES[:3]})
    assert errors((energy, forces), (one[0], one[1][order])) == pytest.approx([0.0, 0.0], abs=1e-12)


def test_atoms_that_see_nobody(make_model, make_system):
    engine, system = FusedEnergy(make_model()), make_system(4)
    energy, forces, virial = call(engine, system, position=20.0 * system["position"])
    alone = [call(engine, {k: system[k][i : i + 1] for k in NAMES[:3]})[0] for i in range(4)]
    assert energy == pytest.approx(sum(alone), rel=1e-13)
    assert not forces.any() and not virial.any()
    nobody = call(engine, {k: system[k][:0] for k in NAMES[:3]})
    assert nobody[0] == 0.0 and nobody[1].shape == (0, 3)


def test_refusals(make_model, make_system):
    engine, system = FusedEnergy(make_model()), make_system()
    position = system["position"].copy()
    position[1] = position[0] + [0.1, 0.0, 0.0]
    with pytest.raises(InputError, match=r"atoms 0 and 1 are 0\.1 Angstrom apart; this model knows pairs down to 0\.5"):
        call(engine, system, position=position)
    with pytest.raises(InputError, match="not finite"):
        call(engine, system, position=np.full((8, 3), np.nan))
    with pytest.raises(InputError, match="cell vectors"):
        call(engine, system, periodic=(True, True, True))


def test_no_torch_is_loaded(make_model, make_system, tmp_path):
    save_model(tmp_path / "model.safetensors", make_model())
    np.savez(tmp_path / "state.npz", **make_system())
    program = (
        "import sys, numpy as np; from askel.equivariant import FusedEnergy, load_model; "
        f"s = np.load({str(tmp_path / 'state.npz')!r}); e = FusedEnergy(load_model({str(tmp_path / 'model.safetensors')!r})); "
        "e.energy(s['species'], s['mass'], s['position'], None, [False] * 3); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


# ---------------------------------------------------------------------- pieces


def test_slopes_of_harmonics():
    places, values = slopes(3)
    x = np.random.default_rng(0).normal(size=3)
    unit = x / np.linalg.norm(x)
    y = solid_harmonics(*unit, 3)
    found = np.zeros((16, 3))
    for (b, axis, c), value in zip(places, values, strict=True):
        found[b, axis] += value * y[c]
    for axis in range(3):
        ends = [solid_harmonics(*(unit + sign * 1e-6 * np.eye(3)[axis]), 3) for sign in (1.0, -1.0)]
        assert found[:, axis] == pytest.approx((np.array(ends[0]) - np.array(ends[1])) / 2e-6, abs=1e-8)


def test_slopes_of_tables_keep_their_bound():
    def narrow(r):
        return (np.sin(5.0 * r) / r * (r < 3.0) * (1.0 - r / 3.0) ** 4)[:, None]

    for tolerance in (1e-4, 1e-6):
        table = tabulate(narrow, np.eye(1), 0.5, 3.0, 1e-3, "float64", tolerance)
        r, h = np.random.default_rng(1).uniform(0.6, 2.99, 2000), table.spacing
        place = ((r - 0.5) / h).astype(int)
        u = (r - 0.5) / h - place
        b = [-0.5 * (1 - u) ** 2, 0.5 * u * (3 * u - 4), -0.5 * (1 - u) * (3 * (1 - u) - 4), 0.5 * u**2]
        slope = sum(b[k] * table.coefficients[place + k, 0] for k in range(4)) / h
        true = (narrow(r + 1e-6) - narrow(r - 1e-6))[:, 0] / 2e-6
        dense = np.linspace(0.5, 3.0, 5000)
        steepest = np.abs(np.diff(narrow(dense)[:, 0]) / np.diff(dense)).max()
        assert 1e-2 * table.slope_bound < np.abs(slope - true).max() / steepest < 1.1 * table.slope_bound
        assert table.slope_bound <= tolerance


def test_the_curve_keeps_neighbours_and_species_together():
    rng = np.random.default_rng(0)
    position, species = rng.uniform(-20.0, 20.0, (512, 3)), rng.integers(0, 2, 512)
    order = along_curve(position, 16.0 * np.eye(3), (True, True, True), 1.0, species)
    assert np.array_equal(np.sort(order), np.arange(512))
    assert np.array_equal(
        order, along_curve(position + np.array([16.0, -32.0, 0.0]), 16.0 * np.eye(3), (True,) * 3, 1.0, species)
    )
    wrapped = np.mod(position, 16.0)[order].reshape(8, 64, 3)
    assert (
        np.prod(np.ptp(wrapped, axis=1), axis=1).mean() < 0.5 * 16.0**3
    )  # stretches are compact, up to jumps of the curve
    assert all((np.diff(s) != 0).sum() == 1 for s in species[order].reshape(8, 64))
