"""Every kernel in the table resolves, and equals its NumPy reference on the sample arguments below."""

import inspect
from importlib.util import find_spec

import askel.equivariant
import askel.mpi
import askel.nbody  # noqa: F401 - registers its kernels
import numpy as np
import pytest
from askel.equivariant import Architecture, Graph
from askel.equivariant.fused import FusedLayer
from askel.equivariant.harmonics import slopes
from askel.equivariant.operations import HostEdges
from askel.equivariant.parameters import layer_irreps, parameters, speed_inputs
from askel.equivariant.paths import dimension, paths
from askel.equivariant.tables import RadialTable
from askel.particles import KERNELS, InputError, resolve

N = 37  # no multiple of a vector register


def _bodies(rng):
    mass = rng.uniform(0.1, 1.0, N)
    mass[5] = 0.0
    return mass, rng.normal(size=(N, 3)), rng.normal(size=(N, 3))


def _law(rng, weight):
    return rng.uniform(0.0, 0.5, N) * (rng.random(N) < 0.7), rng.random(N) < 0.3, weight, 0.7


def acceleration(rng, weight):
    mass, position, _ = _bodies(rng)
    return (mass, position, *_law(rng, weight)), (np.full((N, 3), np.nan), np.full(N, np.nan))


def acceleration_compact(rng, weight):
    *given, constant = _law(rng, weight)
    law = 1 if weight else 2
    return (*_bodies(rng)[:2], *given, law, constant), (np.full((N, 3), np.nan), np.full(N, np.nan))


def acceleration_tide(rng, weight):
    *given, constant = _law(rng, 0.6)
    out = (np.full((N, 3), np.nan), np.full(N, np.nan), np.full((N, 3, 3), np.nan))
    return (*_bodies(rng)[:2], *given, 0 if weight else 1, constant), out


def fmm(rng, weight):
    mass, position, _ = _bodies(rng)
    softening, law = (rng.uniform(0.0, 0.1, N), 0) if weight else (np.full(N, 0.2), 1)
    out = (np.full((N, 3), np.nan), np.full(N, np.nan), np.full((N, 3, 3), np.nan))
    return (mass, 5.0 * position**3, softening, law, 4, 3, 1e-2, 0.1, 0.7), out


def octree(rng, weight):
    n = 500
    position = rng.normal(size=(n, 3)) * 10.0 ** rng.integers(-12, 1, n)[:, None]
    position[30:60] = position[30]
    return (position, 4), (np.zeros(n, np.int64), np.zeros((2 * n + 1, 4), np.int64), np.zeros(1, np.int64))


def acceleration_jerk(rng, weight):
    out = (np.full((N, 3), np.nan), np.full((N, 3), np.nan), np.full(N, np.nan))
    return (*_bodies(rng), *_law(rng, weight)), out


def post_newtonian(rng, weight):
    n, terms = 5, 511 if weight else 2 + 64
    position, velocity = rng.normal(size=(n, 3)), 0.3 * rng.normal(size=(n, 3))
    acts = (rng.random((n, n)) < 0.8) & ~np.eye(n, dtype=bool)
    acts |= acts.T
    inputs = (terms, 1.3, 2.0, rng.random(n) + 0.1, acts, position[:, None] - position[None], velocity)
    return (*inputs, rng.normal(size=(n, 3))), (np.full((n, 3), np.nan), np.full((n, 3), np.nan))


def chain_row(rng, weight):
    n, terms = 5, 511 if weight else 0
    bodies = (rng.random(n) + 0.5, rng.normal(size=(n, 3)), 0.3 * rng.normal(size=(n, 3)), rng.normal(size=(n, 3)))
    out = (*(np.full((n, 3), np.nan) for _ in range(3)), np.full(1, np.nan))
    return (0.3, 4, 1.0, 8.0, terms, *bodies), out


def ensemble_row(rng, weight):
    k = 19  # no multiple of the lanes
    mass, position, velocity = 0.5 + rng.random((k, 3)), rng.normal(size=(k, 3, 3)), 0.3 * rng.normal(size=(k, 3, 3))
    for state in (position, velocity):
        state -= (mass[..., None] * state).sum(axis=1, keepdims=True) / mass.sum(axis=1)[:, None, None]
    out = (np.full((k, 3, 3), np.nan), np.full((k, 3, 3), np.nan), np.full(k, np.nan))
    return (0.1 + 0.2 * rng.random(k), 4 if weight else 2, 1.3, mass, position, velocity), out


def ensemble_relativity_row(rng, weight):
    k, n, terms = (19, 3, 63) if weight else (3, 2, 1 + 8)
    mass, position, velocity = 0.5 + rng.random((k, n)), rng.normal(size=(k, n, 3)), 0.6 * rng.normal(size=(k, n, 3))
    hole = (rng.random((k, n)) < 0.7).astype(np.int64)
    out = (np.full((k, n, 3), np.nan), np.full((k, n, 3), np.nan), np.full(k, np.nan), np.full(k, np.nan))
    return (0.1 + 0.2 * rng.random(k), 4, 1.3, 8.0, terms, mass, position, velocity, hole), out


def _messages(rng, weight):
    """Return the tables of paths, and x, y, w, g, sender, receiver of a graph in which one atom sends and gets nothing."""
    kinds = ((0, 1), (0, -1), (1, -1), (1, 1), (2, 1), (2, -1)) if weight else ((0, 1), (1, -1), (2, 1), (3, -1))
    l_max = kinds[-1][0]
    table = paths(kinds, kinds, l_max)
    n, edges, channels = 9, 41, 19  # no multiples of a vector register, nor of a chunk of edges
    sender, receiver = rng.integers(0, n - 1, edges), np.sort(rng.integers(0, n - 1, edges))
    sizes = {
        "x": (n, table.dim_in, channels),
        "y": (edges, (l_max + 1) ** 2),
        "w": (edges, table.n, channels),
        "g": (table.rows * n * channels,),
    }
    arrays = {name: rng.normal(size=size) for name, size in sizes.items()}
    return (table.table, table.entries, table.values), arrays, sender, receiver


def _first(index, n=9):
    return np.concatenate([[0], np.cumsum(np.bincount(index, minlength=n))])


def couple(rng, weight):
    tables, a, sender, receiver = _messages(rng, weight)
    return (a["x"], a["y"], a["w"], sender, receiver, _first(receiver), *tables), (np.full_like(a["g"], np.nan),)


def couple_x(rng, weight):
    tables, a, sender, receiver = _messages(rng, weight)
    by_sender = np.argsort(sender, kind="stable"), _first(sender)
    return (a["g"], a["y"], a["w"], sender, receiver, *by_sender, *tables), (np.full_like(a["x"], np.nan),)


def couple_w(rng, weight):
    tables, a, sender, receiver = _messages(rng, weight)
    return (a["x"], a["y"], a["g"], sender, receiver, *tables), (np.full_like(a["w"], np.nan),)


def couple_y(rng, weight):
    tables, a, sender, receiver = _messages(rng, weight)
    return (a["x"], a["w"], a["g"], sender, receiver, *tables), (np.full_like(a["y"], np.nan),)


def couple_tabulated(rng, weight):
    tables, a, sender, receiver = _messages(rng, weight)
    rows, edges = 7, len(sender)
    radial = (rng.integers(0, rows - 3, edges), rng.random((edges, 4)), rng.normal(size=(rows, *a["w"].shape[1:])))
    inputs = (a["x"], a["y"], *radial, sender, receiver, _first(receiver), *tables)
    return inputs, (np.full_like(a["g"], np.nan),)


def layer(rng, weight):
    """Catch what a layer of the engine gives to its kernel."""
    kinds = {"l_max": 3} if weight else {"l_max": 2, "parity": "both"}
    a = Architecture(
        species=(1, 6, 8), masses=(1.0, 12.0, 16.0), cutoff=3.0, average_neighbours=5.0, strides=(7.0,), layers=2, channels=19,
        velocity_scale=(0.1,) * 3, drift=((0.5,) * 3,), memory=((0.3,) * 3,), displacement_scale=((0.1,) * 3,),
        velocity_change_scale=((0.1,) * 3,), **kinds,
    )  # fmt: skip
    weights = {name: p.scale * rng.normal(size=p.shape) for name, p in parameters(a).items()}
    caught = []
    one = FusedLayer(lambda *given: caught.extend(given), a, 1, layer_irreps(a, 1)[2], weights)
    before = layer_irreps(a, 1)[0]
    n, edges, receiver = 23, 61, np.sort(rng.integers(0, 22, 61))
    width = paths(before, layer_irreps(a, 1)[1], a.l_max).n * a.channels
    table = RadialTable(rng.normal(size=(7, width)), 0.5, 0.625, 0.0, 0.0)
    graph = Graph(rng.integers(0, n + 2, edges), receiver, np.zeros((edges, 3)), _first(receiver, n))
    harmonics = (a.l_max + 1) ** 2
    x, species = rng.normal(size=(n + 2, dimension(before), a.channels)), np.sort(rng.integers(0, 3, n))
    links = HostEdges(graph, np.zeros((edges, 3)), rng.uniform(0.5, 3.0, edges), rng.normal(size=(edges, harmonics)))
    one(table, x[:n], x, links, rng.normal(size=(n, speed_inputs(a))), rng.normal(size=(n, harmonics)), species, None)
    return tuple(caught[:-1]), (np.full_like(caught[-1], np.nan),)


def _kinds(table):
    """Return for each kind out: first row of its block, components, paths, first row among the features."""
    rows = np.cumsum([0, *(2 * degree + 1 for degree, _ in table.irreps_out)])[:-1]
    blocks = zip(table.blocks, rows, strict=True)
    return np.array([(first, 2 * degree + 1, width, row) for (first, degree, width), row in blocks])


def update_back(rng, weight):
    before, after = (
        ((0, 1), (1, -1), (2, 1)),
        ((0, 1), (0, -1), (1, -1), (1, 1)) if weight else ((0, 1), (1, -1), (3, -1)),
    )
    kinds, (n, c), columns = _kinds(paths(before, after, 3)), (23, 19), 3
    first = {kind: dimension(before[:k]) for k, kind in enumerate(before)}
    old = np.array([(first.get(kind, -1), 2 * k * columns * c * c) for k, kind in enumerate(after)])
    sizes = ((n, dimension(after), c), (n, dimension(after), c), (n, columns, c))
    g, new, kept = (rng.uniform(0.0, 1.0, size) for size in sizes)
    residual = rng.normal(size=2 * len(after) * columns * c * c)
    species = np.sort(rng.integers(0, 2, n))
    out = (np.full((n, columns + dimension(after) - 1, c), np.nan), np.full((n, dimension(before), c), np.nan))
    return (g, new, kept, np.column_stack([kinds, old]), residual, species, 7), out


def messages_back(rng, weight):
    kinds = ((0, 1), (0, -1), (1, -1), (1, 1), (2, 1)) if weight else ((0, 1), (1, -1), (3, -1))
    l_max = kinds[-1][0]
    table, (n, ghosts, edges, c) = paths(kinds, kinds, l_max), (9, 2, 61, 19)
    receiver, columns = np.sort(rng.integers(0, n - 1, edges)), 1 + sum(degree > 0 for degree, _ in kinds)
    unit = rng.normal(size=(edges, 3))
    unit /= np.linalg.norm(unit, axis=1)[:, None]
    y = np.concatenate([np.ones((edges, 1)), 3**0.5 * unit, rng.normal(size=(edges, (l_max + 1) ** 2 - 4))], axis=1)
    radial = (rng.uniform(0.5, 3.0, edges), 0.5, 0.625, rng.normal(size=(7, table.n * c)))
    x, pulled = (rng.normal(size=size) for size in ((n, table.dim_in, c), (n + ghosts, columns + table.dim_in - 1, c)))
    update = rng.normal(size=c * c * (table.n + (columns - 1) * table.blocks[0][2]))
    layout = (table.table, table.entries, table.values, *slopes(l_max), _kinds(table), update)
    inputs = (x, pulled, y, *radial, rng.integers(0, n + ghosts, edges), _first(receiver, n), *layout, 4)
    sums = (rng.normal(size=(n, table.dim_in, c)), rng.normal(size=(edges, 3)))
    return inputs, (np.full((n + ghosts, table.rows, c), np.nan), *sums)


def open_pairs(rng, weight):
    starts = np.array([0, 9, 9, 20, N]) if weight else np.array([0, N])
    room = int((np.diff(starts) ** 2).sum())
    rows = (np.full(room, -1), np.full(room, -1), np.full(N + 1, -1))
    return (rng.normal(size=(N, 3)), starts, 1.1), rows


def hilbert_index(rng, weight):
    grid = rng.integers(0, 2**21, (N, 3))
    return (grid,), (np.full(N, -1),)


#: operation -> function(rng, weight) -> (inputs, outputs), every output filled with NaN
SAMPLES = {
    f.__name__: f
    for f in (
        acceleration, acceleration_compact, acceleration_jerk, acceleration_tide, fmm, octree,
        chain_row, couple, couple_tabulated, couple_w, couple_x, couple_y, ensemble_row,
        ensemble_relativity_row, hilbert_index, layer, messages_back, open_pairs, post_newtonian, update_back,
    )
}  # fmt: skip

#: operation of the device -> operation that gives the same, where it has another name
TWINS = {"acceleration_mixed": "acceleration"}

COMPARED = sorted((o, b) for o, b in KERNELS if b in ("cpu",) and (o, "reference") in KERNELS)


@pytest.mark.parametrize("key", sorted(k for k in KERNELS if k[1] != "cuda"), ids="-".join)
def test_path_resolves(key):
    assert callable(resolve(*key))


def test_every_compared_operation_has_a_sample():
    assert {operation for operation, _ in COMPARED} | {"couple_tabulated"} == set(SAMPLES)  # that one for devices alone


@pytest.mark.parametrize(("operation", "backend"), COMPARED)
def test_same_signature(operation, backend):
    names = [list(inspect.signature(resolve(operation, b)).parameters) for b in ("reference", backend)]
    assert names[0] == names[1]


@pytest.mark.skipif(find_spec("numba_cuda") is None, reason="needs numba-cuda[cu12], which the test extra has on Linux")
@pytest.mark.parametrize("operation", sorted(o for o, b in KERNELS if b == "cuda"))
def test_a_kernel_of_the_device_is_called_like_its_twin(operation):
    """None touches a device at import; the simulator runs each of them in tests/nbody/test_*_cuda.py."""
    kernel = resolve(operation, "cuda")
    twin = TWINS.get(operation, operation)
    for backend in ("reference", "cpu"):
        if (twin, backend) in KERNELS:
            assert list(inspect.signature(kernel).parameters) == list(
                inspect.signature(resolve(twin, backend)).parameters
            )


@pytest.mark.parametrize("weight", [1.0, 0.0])
@pytest.mark.parametrize(("operation", "backend"), COMPARED)
def test_equals_reference(operation, backend, weight):
    inputs, expected = SAMPLES[operation](np.random.default_rng(7), weight)
    kept = [np.array(x) for x in inputs]
    outputs = [np.array(x) for x in expected]
    assert resolve(operation, "reference")(*inputs, *expected) == 0
    assert resolve(operation, backend)(*inputs, *outputs) == 0
    assert all(np.array_equal(a, b) for a, b in zip(inputs, kept, strict=True))
    for mine, reference in zip(outputs, expected, strict=True):
        assert np.isfinite(reference).all()
        size = np.abs(reference).max()
        assert size > 1e-3  # an empty sample would pass
        assert np.abs(mine - reference).max() <= 2e-14 * size


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("operation", ["acceleration", "acceleration_jerk"])
def test_coincident_particles_are_reported(operation, backend):
    inputs, outputs = SAMPLES[operation](np.random.default_rng(7), 1.0)
    softening, position = inputs[-4], inputs[1]
    softening[:] = 0.0
    position[3] = position[11]
    with np.errstate(all="ignore"):
        assert resolve(operation, backend)(*inputs, *outputs) != 0


def test_unknown_kernel_is_an_input_error():
    with pytest.raises(InputError, match="backends that have it: cpu, cuda, reference"):
        resolve("acceleration", "abacus")
