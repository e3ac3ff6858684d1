"""The engine against the network with the same weights, its tables, replicas, and what it refuses."""

import subprocess
import sys

import numpy as np
import pytest
from askel.equivariant import Engine, Model, save_model
from askel.equivariant.tables import basis, tabulate
from askel.particles import InputError

NAMES = ("species", "mass", "position", "velocity", "cell", "periodic", "stride")
#: a baseline for two strides and three species
BASELINE = {
    "strides": (3.5, 7.0),
    "drift": ((0.9, 0.5, 0.4), (0.6, 0.3, 0.2)),
    "memory": ((0.7, -0.3, 0.2), (0.1, 0.8, -0.5)),
}


@pytest.fixture
def make_model(make_architecture, make_network):
    """Return a maker of (network, model) with the same weights."""

    def make(**options):
        architecture = make_architecture(**options)
        network = make_network(architecture)
        return network, Model(architecture, network.arrays())

    return make


def call(engine, system, **changes):
    values = {"cell": None, "periodic": (False, False, False)} | system | changes
    return engine.stride(*(values[name] for name in NAMES))


def exact(network, systems):
    import torch
    from askel.equivariant.batch import Batch, System

    with torch.no_grad():
        return [t.numpy() for t in network(Batch.of([System(**s) for s in systems], network.architecture))]


def largest(mine, reference):
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(mine, reference, strict=True))


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize(
    "options",
    [{}, {"parity": "both"}, {"l_max": 1}, {"l_max": 3, "parity": "both", "layers": 3}, {"strides": (3.5, 7.0)},
     {"channels": 19}, BASELINE],
    ids=str,
)  # fmt: skip
def test_equals_the_network(make_model, make_system, options, periodic):
    network, model = make_model(**options)
    system = make_system(periodic=periodic)
    reference = exact(network, [system])
    for dtype, tolerance in (("float64", 1e-7), ("float32", 2e-5)):
        found = call(Engine(model, dtype=dtype), system)
        assert 0.0 < largest(found, reference) < tolerance
        assert all(a.dtype == np.float64 for a in found)


def test_the_reference_kernels_give_the_same(make_model, make_system):
    _, model = make_model(parity="both")
    system = make_system()
    fast, slow = (call(Engine(model, dtype="float64", backend=b), system) for b in ("cpu", "reference"))
    assert largest(fast, slow) < 1e-12


def test_every_stride_has_its_own_answer(make_model, make_system):
    network, model = make_model(strides=(3.5, 7.0))
    engine = Engine(model, dtype="float64")
    for stride in (3.5, 7.0):
        system = make_system(stride=stride)
        assert largest(call(engine, system), exact(network, [system])) < 1e-7
    with pytest.raises(InputError, match=r"stride of 5 fs: this model was made for 3\.5, 7 fs"):
        call(engine, make_system(stride=5.0))


@pytest.mark.parametrize("row", [0, 1])
def test_without_a_residual_the_baseline_is_left(make_model, make_system, row):
    """d = drift h v and v' = memory v, for each species and stride; periodic and at rest as a whole."""
    one = {key: tuple((table[0],) * 3 for table in BASELINE[key]) for key in ("drift", "memory")}
    network, model = make_model(**(BASELINE | one))
    silent = Model(model.architecture, model.weights | {"readout": np.zeros_like(model.weights["readout"])})
    stride = BASELINE["strides"][row]
    system = make_system(periodic=True, stride=stride)
    system["velocity"] -= system["mass"] @ system["velocity"] / system["mass"].sum()
    d, v = call(Engine(silent), system)
    assert d == pytest.approx(one["drift"][row][0] * stride * system["velocity"], rel=1e-12, abs=1e-15)
    assert v == pytest.approx(one["memory"][row][0] * system["velocity"], rel=1e-12, abs=1e-15)
    network.load(silent.weights)
    assert largest((d, v), exact(network, [system])) < 1e-12


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_replicas_do_not_see_each_other(make_model, make_system, dtype):
    """Each moves as if it were alone."""
    _, model = make_model()
    engine = Engine(model, dtype=dtype)
    systems = [make_system(seed=k) for k in range(3)]
    joined = {k: np.concatenate([s[k] for s in systems]) for k in ("species", "mass", "position", "velocity")}
    starts = np.cumsum([0, *(len(s["position"]) for s in systems)])
    d, v = engine.stride(*joined.values(), None, [False] * 3, 7.0, starts)
    for k, system in enumerate(systems):
        rows = slice(starts[k], starts[k + 1])
        assert largest((d[rows], v[rows]), call(engine, system)) < (1e-13 if dtype == "float64" else 1e-6)


def test_results_do_not_depend_on_the_number_of_threads(make_model, make_system):
    _, model = make_model()
    system = make_system(n=40, periodic=True)
    one, two = (call(Engine(model, dtype="float64", threads=n), system) for n in (1, 2))
    assert largest(one, two) < 1e-13


def test_isotopes_move_differently(make_model, make_system):
    _, model = make_model()
    engine, system = Engine(model), make_system()
    heavy = np.where(system["species"] == 1, 2.014, system["mass"])
    assert np.abs(call(engine, system)[0] - call(engine, system, mass=heavy)[0]).max() > 1e-4


# ---------------------------------------------------------------------- tables


MIXING = np.array([[1.0, 0.5, 0.0], [0.0, -0.7, 1.0]])


def narrow(r):
    return np.stack(
        [np.sin(5.0 * r) / r * (r < 3.0) * (1.0 - r / 3.0) ** 4, np.cos(3.0 * r) * (r < 3.0) * (1 - r / 3) ** 4], 1
    )


def smooth(r):
    return narrow(r) @ MIXING


def spline(table, r):
    scaled = (r - table.shortest) / table.spacing
    place = np.minimum(scaled.astype(int), len(table.coefficients) - 4)
    b = basis(scaled - place)
    return sum(b[:, k, None] * table.coefficients[place + k] for k in range(4))


@pytest.mark.parametrize("tolerance", [1e-5, 1e-7, 1e-9])
def test_tables_keep_their_bound(tolerance):
    table = tabulate(narrow, MIXING, 0.5, 3.0, tolerance, "float64")
    r = np.random.default_rng(1).uniform(0.5, 3.0, 5000)
    size = np.abs(smooth(r)).max()
    error = np.abs(spline(table, r) - smooth(r)).max() / size
    assert error <= 1.1 * table.error <= 1.1 * tolerance
    assert error > 1e-14
    inner = r[r > 0.6]  # the bound holds away from the ends, where the spline's condition is felt
    assert np.abs(spline(table, inner) - smooth(inner)).max() / size <= 1.5 * table.bound


def test_halving_the_spacing_gains_sixteen():
    coarse, fine = (tabulate(narrow, MIXING, 0.5, 3.0, t, "float64") for t in (1e-6, 4e-9))
    order = np.log(coarse.error / fine.error) / np.log(coarse.spacing / fine.spacing)
    assert 3.6 < order < 4.4


def test_what_cannot_be_tabulated_is_refused():
    with pytest.raises(InputError, match="cannot be tabulated"):
        tabulate(lambda r: np.sign(np.sin(50.0 * r))[:, None], np.eye(1), 0.5, 3.0, 1e-6)


# ---------------------------------------------------------------------- refusals


def test_close_pairs_are_refused(make_model, make_system):
    _, model = make_model()
    system = make_system()
    position = system["position"].copy()
    position[1] = position[0] + [0.1, 0.0, 0.0]
    with pytest.raises(InputError, match=r"atoms [01] and [01] are 0\.1 Angstrom apart"):
        call(Engine(model), system, position=position)


def test_a_card_says_how_close_pairs_may_come(make_model, make_system):
    _, model = make_model()
    system = make_system()
    told = Model(model.architecture, model.weights, {"shortest_pair": 2.9})
    assert Engine(told).shortest == pytest.approx(0.8 * 2.9)
    with pytest.raises(InputError, match=r"down to 2\.32 Angstrom"):
        call(Engine(told), system)


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"species": [2] * 8}, "species 2"), ({"position": np.full((8, 3), np.nan)}, "not finite")],
)
def test_bad_states_are_refused(make_model, make_system, changes, words):
    _, model = make_model()
    with pytest.raises(InputError, match=words):
        call(Engine(model), make_system(), **changes)


def test_other_models_and_precisions_are_refused(make_model):
    _, model = make_model()
    with pytest.raises(InputError, match="dtype is 'float16'"):
        Engine(model, dtype="float16")
    _, energy = make_model(head="energy")
    with pytest.raises(InputError, match="has the head 'energy'"):
        Engine(energy)


def test_a_stride_needs_no_torch(make_model, tmp_path):
    _, model = make_model()
    save_model(tmp_path / "model.safetensors", model)
    code = (
        "import sys; sys.modules['torch'] = None; import numpy as np\n"
        "from askel.equivariant import Engine, load_model\n"
        f"e = Engine(load_model({str(tmp_path / 'model.safetensors')!r}))\n"
        "x = 1.2 * np.arange(9.0).reshape(3, 3)\n"
        "print(e.stride([1, 6, 8], [1.0, 12.0, 16.0], x, 0.01 * x, None, [False] * 3, 7.0)[0].shape)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "(3, 3)"
